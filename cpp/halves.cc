#include "halves.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace nonlin {

int BFloat16Number() {
  static const int kNumber = [] {
    try {
      return py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16")).num();
    } catch (const py::error_already_set& error) {
      if (!error.matches(PyExc_ImportError)) throw;
      return -1;
    }
  }();
  return kNumber;
}

int NumberOfType(int dtype) {
  constexpr int kNumbers[] = {NPY_FLOAT, NPY_DOUBLE, NPY_HALF};
  return dtype == kBFloat16 ? BFloat16Number() : kNumbers[dtype];
}

int TypeOfNumber(int number) {
  for (int dtype = 0; dtype < kDTypes; ++dtype) {
    if (number == NumberOfType(dtype) && number >= 0) return dtype;
  }
  return -1;
}

void AddBFloat16Loop(PyObject* ufunc, PyUFuncGenericFunction loop, const std::vector<int>& types, void* data) {
  if (BFloat16Number() < 0) return;
  auto* object = reinterpret_cast<PyUFuncObject*>(ufunc);
  if (PyUFunc_RegisterLoopForType(object, BFloat16Number(), loop, types.data(), data) < 0) throw py::error_already_set();
}

}  // namespace nonlin
