// Runs row operations on whole calls: takes the arrays of a call, plans it, and runs it on threads. No Python.
#pragma once

#include "kernels.h"

namespace nonlin {

constexpr int kMaxAxes = 64;  // NumPy's limit

// The operands of a call, with their outer axes and, if they have one, a class axis. Strides are in bytes. Behind the
// operands comes the mask of `where`, if there is one.
struct RowArrays {
  int axes;
  size_t shape[kMaxAxes];
  size_t classes;
  struct Array {
    char* data;
    ptrdiff_t item;  // along the class axis
    ptrdiff_t strides[kMaxAxes];
  } operands[kMaxRowOperands];
  unsigned wide = 0;  // a bit for each operand; see RowOperand
  bool has_mask = false;
  double scale = 1;

  size_t Rows() const;
};

// Computes rows with 1 class or more, and reorders the axes of `arrays`. Works with or without Python's GIL, and leaves no
// floating-point status behind. Returns false, with nothing done, if `*bytes` could not be allocated.
bool RunRows(const RowOperation& operation, DType dtype, RowArrays& arrays, size_t* bytes);

}  // namespace nonlin
