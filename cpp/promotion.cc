#include "promotion.h"

#include <pybind11/pybind11.h>

#include "numpy_api.h"

namespace py = pybind11;

namespace nonlin {
namespace {

bool IsInteger(const PyArray_DTypeMeta* dtype) {
  return dtype == &PyArray_PyLongDType || dtype == &PyArray_IntAbstractDType || PyTypeNum_ISBOOL(dtype->type_num) ||
         PyTypeNum_ISINTEGER(dtype->type_num);
}

// The type that all inputs are brought to, or null.
PyArray_DTypeMeta* LoopType(PyArray_DTypeMeta* common) {
  if (common == &PyArray_FloatDType || common == &PyArray_DoubleDType) return common;
  if (common == &PyArray_PyFloatDType || IsInteger(common)) return &PyArray_DoubleDType;
  return nullptr;
}

int Promote(PyObject* object, PyArray_DTypeMeta* const given[], PyArray_DTypeMeta* const signature[],
            PyArray_DTypeMeta* promoted[]) {
  const auto* ufunc = reinterpret_cast<PyUFuncObject*>(object);
  PyArray_DTypeMeta* inputs[NPY_MAXARGS];
  for (int i = 0; i < ufunc->nin; ++i) inputs[i] = given[i];
  PyArray_DTypeMeta* common = PyArray_PromoteDTypeSequence(ufunc->nin, inputs);
  PyErr_Clear();
  PyArray_DTypeMeta* loop = common == nullptr ? nullptr : LoopType(common);
  Py_XDECREF(common);
  if (loop == nullptr) {
    py::list names;
    for (int i = 0; i < ufunc->nin; ++i) names.append(reinterpret_cast<PyTypeObject*>(given[i])->tp_name);
    PyErr_Format(PyExc_TypeError, "%s: the inputs have dtypes %S; they take float32, float64, booleans and integers",
                 ufunc->name, names.ptr());
    return -1;
  }
  for (int i = 0; i < ufunc->nargs; ++i) {
    promoted[i] = signature[i] != nullptr ? signature[i] : loop;
    Py_INCREF(promoted[i]);
  }
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
