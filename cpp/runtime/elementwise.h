// Runs elementwise kernels on whole calls: on strided arrays, on threads, and by table for 16-bit functions. No Python.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernels.h"

namespace nonlin {

// All results of a function of one 16-bit number, indexed by its bits.
class ResultTable {
 public:
  // Returns the table. The kernel fills it once more elements were asked for than it holds; before that, returns nullptr.
  // Thread-safe.
  const uint16_t* Get(ElementwiseKernel kernel, size_t n);

 private:
  std::atomic<const uint16_t*> table_{nullptr};
  std::atomic<size_t> asked_{0};
};

struct ElementwiseLoop {
  ElementwiseKernel kernel;
  int inputs, outputs;
  ptrdiff_t item;
  double cycles;       // estimated cost of an element
  ResultTable* table;  // for a 16-bit function of one argument where a table pays, else nullptr
};

// The shortest way, for few elements without gaps on this thread. Returns false, with nothing done, for all others.
bool RunSmall(const ElementwiseLoop& loop, char* const* args, const ptrdiff_t* steps, ptrdiff_t n);

// Computes n elements of arrays with any strides. A result may be the input of another element. Leaves no floating-point
// status behind.
void RunElementwise(const ElementwiseLoop& loop, char* const* args, const ptrdiff_t* steps, ptrdiff_t n);

}  // namespace nonlin
