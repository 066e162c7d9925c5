// The float types among NumPy's: their numbers, ufuncs with a loop for each of them, and the arrays that values become.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "kernels.h"
#include "python/numpy_api.h"

namespace nonlin {

// NumPy's number of a type, and the type of a number: -1 where there is none, as of bfloat16 without ml_dtypes.
int NumberOfType(int dtype);
int TypeOfNumber(int number);
inline int NumberOf(const pybind11::array& array) { return PyArray_TYPE(ArrayOf(array.ptr())); }
inline bool IsInteger(int number) { return PyTypeNum_ISBOOL(number) || PyTypeNum_ISINTEGER(number); }
// NumPy's number of the type that a type is computed in.
inline int ComputedNumber(DType dtype) { return dtype == kFloat64 ? NPY_DOUBLE : NPY_FLOAT; }

// Whether a Python number is normal in every float type, so that NumPy does not warn of casting it.
bool IsOrdinaryNumber(PyObject* value);

// Sets a Python error and throws pybind11::error_already_set; the format is that of PyErr_Format.
[[noreturn]] void Raise(PyObject* type, const char* format, ...);

// A new reference as an object. Throws where it is null.
template <class T = pybind11::object>
T Checked(PyObject* object) {
  if (object == nullptr) throw pybind11::error_already_set();
  return pybind11::reinterpret_steal<T>(object);
}

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

// In the place of an array, where there is none: the default of pybind11 is a new one.
inline pybind11::array NoArray() { return pybind11::reinterpret_steal<pybind11::array>(pybind11::handle()); }

// Whether np.asarray gives all that a value means: arrays of other packages may mean more. Null is a missing argument.
bool IsPlainValue(PyObject* value);
inline bool IsPlain(PyObject* value) {
  return value == nullptr || value == Py_None || PyArray_CheckExact(value) || IsPlainValue(value);
}

// What np.asarray returns of an argument. Where there is no such array, as of rows of several lengths, the error names it.
pybind11::array AsArray(PyObject* value, const char* name = nullptr);

// An array in a type, aligned, in native byte order, and with NumPy's further flags; a copy where that is needed.
pybind11::array Cast(const pybind11::array& array, int number, int flags = 0);

// A value as an array of a float type; booleans and integers become float64. Others raise TypeError, which names the
// argument.
pybind11::array FloatArray(const char* name, PyObject* value);

// A ufunc with a loop for each float type, or for those that have data, or a generalised one where it has a signature.
struct Ufunc {
  const char *name, *doc, *signature;
  int inputs, outputs;
  PyUFuncGenericFunction loop;
  void* data[kDTypes];
  int (*type_of)(const void* data, int operand, int number);  // of an operand, where floats have this number
  bool promotes;  // floats keep their type, Python numbers beside them do not count, booleans and integers become float64
  InputList names = {};  // of the inputs, or none
};

// What `ufunc` points to must live for ever.
pybind11::object NewUfunc(const Ufunc& ufunc);

}  // namespace nonlin
