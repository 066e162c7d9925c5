// NumPy's arrays as rows, and their run.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "python/numpy_api.h"
#include "runtime/rows.h"

namespace nonlin {

// Of arguments in messages: a shape, without one of its axes where that is not -1, and a dtype.
pybind11::tuple TupleOf(const npy_intp* shape, int dims, int without = -1);
inline pybind11::tuple ShapeOf(pybind11::handle array) {
  return TupleOf(PyArray_DIMS(ArrayOf(array.ptr())), PyArray_NDIM(ArrayOf(array.ptr())));
}
inline PyObject* DTypeOf(pybind11::handle array) { return reinterpret_cast<PyObject*>(PyArray_DESCR(ArrayOf(array.ptr()))); }

inline bool IsNone(PyObject* value) { return value == nullptr || value == Py_None; }

// An array with a class axis, or one without where `axis` is -1.
void SetOperand(RowArrays::Array& operand, PyObject* array, int axis);

// Sets the outer axes and classes from those of an array.
void SetShape(RowArrays& arrays, PyObject* array, int axis);

// An axis of an array with so many, counted from the front. Raises AxisError, and TypeError for what is no integer.
int AxisOf(PyObject* axis, int dims, const char* taken = "an integer");

// Whether `out` may be filled by a kernel that reads `input`: it is that very array, or apart from it.
bool MayFill(PyObject* out, PyObject* input);

// A new array of a shape, without one of its axes where that is not -1.
pybind11::array NewArray(int dims, const npy_intp* shape, int without, int number);

// Computes rows, without the GIL if it is worth that. Throws error_already_set.
void Compute(const RowOperation& operation, DType dtype, RowArrays& arrays);

// What a ufunc returns of an array.
inline pybind11::object Returned(pybind11::object array) {
  return pybind11::reinterpret_steal<pybind11::object>(PyArray_Return(ArrayOf(array.release().ptr())));
}

}  // namespace nonlin
