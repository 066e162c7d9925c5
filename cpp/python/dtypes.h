// The float types among NumPy's: their numbers, ufuncs with a loop for each of them, and the arrays that values become.
#pragma once

#include <pybind11/pybind11.h>

#include "kernels.h"
#include "python/numpy_api.h"

namespace nonlin {

// NumPy's number of a type, and the type of a number: -1 where there is none, as of bfloat16 without ml_dtypes.
int NumberOfType(int dtype);
int TypeOfNumber(int number);
// NumPy's number of the type that a type is computed in.
inline int ComputedNumber(DType dtype) { return dtype == kFloat64 ? NPY_DOUBLE : NPY_FLOAT; }

// Sets a Python error and throws pybind11::error_already_set; the format is that of PyErr_Format.
[[noreturn]] void Raise(PyObject* type, const char* format, ...);

// A new reference as an object. Throws where it is null.
pybind11::object Checked(PyObject* object);

// While it lives, NumPy does not warn of floating-point errors.
class QuietErrors {
 public:
  QuietErrors();
  ~QuietErrors();
  QuietErrors(const QuietErrors&) = delete;
  QuietErrors& operator=(const QuietErrors&) = delete;

 private:
  pybind11::object state_;
};

// What np.asarray returns.
pybind11::object AsArray(PyObject* value);

// An array in a type, aligned, in native byte order, and with NumPy's further flags; a copy where that is needed.
pybind11::object Cast(PyObject* array, int number, int flags = 0);

// A value as an array of a float type; booleans and integers become float64. Others raise TypeError, which names the
// argument.
pybind11::object FloatArray(const char* name, PyObject* value);

// A ufunc with a loop for each float type, or a generalised one where it has a signature.
struct Ufunc {
  const char *name, *doc, *signature;
  int inputs, outputs;
  PyUFuncGenericFunction loop;
  void* data[kDTypes];
  int (*type_of)(const void* data, int operand, int number);  // of an operand, where floats have this number
  bool promotes;  // floats keep their type, Python numbers beside them do not count, booleans and integers become float64
};

// What `ufunc` points to must live for ever.
pybind11::object NewUfunc(const Ufunc& ufunc);

}  // namespace nonlin
