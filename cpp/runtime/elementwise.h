// Calls of elementwise kernels: on strided arrays, on threads, and of 16-bit functions by table. No Python.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernels.h"

namespace nonlin {

// All results of a function of one 16-bit number, by its bits.
class ResultTable {
 public:
  // The table, made by the kernel when more than its size was asked for; nullptr before. For any thread.
  const uint16_t* Get(ElementwiseKernel kernel, size_t n);

 private:
  std::atomic<const uint16_t*> table_{nullptr};
  std::atomic<size_t> asked_{0};
};

struct ElementwiseLoop {
  ElementwiseKernel kernel;
  int inputs, outputs;
  ptrdiff_t item;
  double cycles;       // of an element
  ResultTable* table;  // of a 16-bit function of one argument, or nullptr where it does not pay
};

// Computes n elements of arrays with any strides, whose results may be other elements' inputs. Leaves no floating-point
// status behind.
void RunElementwise(const ElementwiseLoop& loop, char* const* args, const ptrdiff_t* steps, ptrdiff_t n);

}  // namespace nonlin
