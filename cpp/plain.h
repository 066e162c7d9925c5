// Plain arrays: C-contiguous ndarrays of a float type. NumPy's machinery for axes, casts and overlap costs as much as a row
// of 1000, and they need none of it; nor do they need to be worked on block by block where the class axis is not the last.
#pragma once

#include <pybind11/pybind11.h>

#include "numpy_api.h"
#include "rows.h"

namespace nonlin {

// Whether an object is an ndarray, of no subclass, C-contiguous, aligned, in native byte order, with this type and shape.
bool IsPlain(PyObject* object, int type, int dims, const npy_intp* shape);

// Whether `out`, a plain array, may be filled by a kernel that reads `input`, another one: it is that very array, or apart.
bool MayFill(PyObject* out, PyObject* input);

struct PlainRows {
  int dims;
  const npy_intp* shape;
  int type;  // NumPy's
  DType dtype;
  npy_intp rows, classes;
  npy_intp inner;  // rows that are neighbours in memory, where the class axis is not the last, else 1
  const npy_intp* shape_of_rows;

  // False for an object that is no such array or has an empty axis of classes.
  bool From(PyObject* object, PyObject* axis);
  bool IsLike(PyObject* object) const { return IsPlain(object, type, dims, shape); }
  ptrdiff_t Item() const { return static_cast<ptrdiff_t>(ItemSize(dtype)); }
  RowOperand RowsOf(PyObject* array) const { return RowsOf(array, Item()); }
  RowOperand RowsOf(PyObject* array, ptrdiff_t item) const;
  RowOperand ScalarsOf(PyObject* array) const;
  pybind11::object NewRows() const { return New(dims, shape, type); }
  pybind11::object NewScalars() const { return New(dims - 1, shape_of_rows, type); }
  static pybind11::object New(int dims, const npy_intp* shape, int type);

 private:
  npy_intp without_axis[64];  // NumPy's limit
};

// Runs a loop without the GIL, if it is worth that. Throws error_already_set.
void RunPlain(const RowLoop& loop, const RowOperand* operands, size_t rows, size_t classes, size_t inner = 1);

// What a ufunc returns of an array.
inline PyObject* Returned(pybind11::object array) {
  return PyArray_Return(reinterpret_cast<PyArrayObject*>(array.release().ptr()));
}

}  // namespace nonlin
