// Calls of row operations: the arrays of a call, the plan that is made of it, and its run on threads. No Python.
#pragma once

#include "kernels.h"

namespace nonlin {

constexpr int kMaxAxes = 64;  // NumPy's limit

// The operands of a call: outer axes, and the class axis of those that have one. Strides are in bytes.
struct RowArrays {
  int axes;
  size_t shape[kMaxAxes];
  size_t classes;
  struct Array {
    char* data;
    ptrdiff_t item;  // along the class axis
    ptrdiff_t strides[kMaxAxes];
  } operands[kMaxRowOperands];

  size_t Rows() const;
};

// Computes rows with 1 class or more; changes the order of their axes. Works with or without Python's GIL, and leaves no
// floating-point status behind. False where there is no memory for `*bytes`, and nothing was done.
bool RunRows(const RowOperation& operation, DType dtype, RowArrays& arrays, size_t* bytes);

}  // namespace nonlin
