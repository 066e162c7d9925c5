#include "promotion.h"

#include <pybind11/pybind11.h>

#include "halves.h"
#include "numpy_api.h"

namespace py = pybind11;

namespace nonlin {
namespace {

bool IsAbstract(const PyArray_DTypeMeta* dtype) {  // of a Python number, which does not widen a float
  return dtype == &PyArray_PyLongDType || dtype == &PyArray_PyFloatDType || dtype == &PyArray_IntAbstractDType ||
         dtype == &PyArray_FloatAbstractDType;
}

bool IsInteger(const PyArray_DTypeMeta* dtype) {
  return PyTypeNum_ISBOOL(dtype->type_num) || PyTypeNum_ISINTEGER(dtype->type_num);
}

bool IsFloat(const PyArray_DTypeMeta* dtype) {
  return dtype == &PyArray_FloatDType || dtype == &PyArray_DoubleDType || dtype == &PyArray_HalfDType ||
         (BFloat16Number() >= 0 && dtype->type_num == BFloat16Number());
}

// The type that all inputs are brought to, a new reference, or null.
PyArray_DTypeMeta* LoopType(PyArray_DTypeMeta* const* given, int count) {
  PyArray_DTypeMeta* arrays[NPY_MAXARGS];
  int n = 0;
  for (int i = 0; i < count; ++i) {
    if (!IsAbstract(given[i])) arrays[n++] = given[i];
  }
  PyArray_DTypeMeta* common = n == 0 ? nullptr : PyArray_PromoteDTypeSequence(n, arrays);
  PyErr_Clear();
  PyArray_DTypeMeta* loop = nullptr;
  if (n == 0 || (common != nullptr && IsInteger(common))) loop = &PyArray_DoubleDType;
  if (common != nullptr && IsFloat(common)) loop = common;
  Py_XINCREF(loop);
  Py_XDECREF(common);
  return loop;
}

int Promote(PyObject* object, PyArray_DTypeMeta* const given[], PyArray_DTypeMeta* const signature[],
            PyArray_DTypeMeta* promoted[]) {
  const auto* ufunc = reinterpret_cast<PyUFuncObject*>(object);
  PyArray_DTypeMeta* loop = LoopType(given, ufunc->nin);
  if (loop == nullptr) {
    py::list names;
    for (int i = 0; i < ufunc->nin; ++i) names.append(reinterpret_cast<PyTypeObject*>(given[i])->tp_name);
    PyErr_Format(PyExc_TypeError,
                 "%s: the inputs have dtypes %S; they take float16, bfloat16, float32, float64, booleans and integers",
                 ufunc->name, names.ptr());
    return -1;
  }
  for (int i = 0; i < ufunc->nargs; ++i) {
    promoted[i] = signature[i] != nullptr ? signature[i] : loop;
    Py_INCREF(promoted[i]);
  }
  Py_DECREF(loop);
  return 0;
}

}  // namespace

void AddPromotion(PyObject* ufunc, int operands) {
  py::tuple any(operands);
  for (int i = 0; i < operands; ++i) any[i] = py::none();
  const auto promoter =
      py::reinterpret_steal<py::object>(PyCapsule_New(reinterpret_cast<void*>(&Promote), "numpy._ufunc_promoter", nullptr));
  if (!promoter || PyUFunc_AddPromoter(ufunc, any.ptr(), promoter.ptr()) < 0) throw py::error_already_set();
}

}  // namespace nonlin
