// The loops of row ufuncs, for those who call them past NumPy.
#pragma once

#include <Python.h>

#include "kernels.h"

namespace nonlin {

struct RowLoop {
  const RowOperation* operation;
  DType dtype;  // of rows
  double cycles;
};

const RowLoop& LoopOf(PyObject* ufunc, DType dtype);  // of a row ufunc of this module

// Runs a loop on rows with 1 class or more. With `inner`, as many rows are neighbours in memory, and blocks of them with
// their classes lie one behind the other. False with a Python error where there is no memory; works with or without the GIL.
bool RunRows(const RowLoop& loop, const RowOperand* operands, size_t rows, size_t classes, size_t inner = 1);

}  // namespace nonlin
