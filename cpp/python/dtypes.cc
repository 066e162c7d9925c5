#include "python/dtypes.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <deque>
#include <string>
#include <vector>

#include "python/ufunc.h"

namespace py = pybind11;

namespace nonlin {
namespace {

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

bool IsAbstract(const PyArray_DTypeMeta* dtype) {  // of a Python number, which does not widen a float
  return dtype == &PyArray_PyLongDType || dtype == &PyArray_PyFloatDType || dtype == &PyArray_IntAbstractDType ||
         dtype == &PyArray_FloatAbstractDType;
}

bool IsFloat(const PyArray_DTypeMeta* dtype) {
  return dtype == &PyArray_FloatDType || dtype == &PyArray_DoubleDType || dtype == &PyArray_HalfDType ||
         (BFloat16Number() >= 0 && dtype->type_num == BFloat16Number());
}

// The type that all inputs are brought to, a new reference, or null. In a reduction NumPy gives null for the result so far.
PyArray_DTypeMeta* LoopType(PyArray_DTypeMeta* const* given, int count) {
  PyArray_DTypeMeta* arrays[NPY_MAXARGS];
  int n = 0;
  for (int i = 0; i < count; ++i) {
    if (given[i] != nullptr && !IsAbstract(given[i])) arrays[n++] = given[i];
  }
  PyArray_DTypeMeta* common = n == 0 ? nullptr : PyArray_PromoteDTypeSequence(n, arrays);
  PyErr_Clear();
  PyArray_DTypeMeta* loop = nullptr;
  if (n == 0 || (common != nullptr && IsInteger(common->type_num))) loop = &PyArray_DoubleDType;
  if (common != nullptr && IsFloat(common)) loop = common;
  Py_XINCREF(loop);
  Py_XDECREF(common);
  return loop;
}

// Whether an operand is float64 in all loops, as numbers of pieces of rows are.
bool IsAlwaysDouble(const PyUFuncObject* ufunc, int operand) {
  for (int loop = 0; loop < ufunc->ntypes; ++loop) {
    if (ufunc->types[loop * ufunc->nargs + operand] != NPY_DOUBLE) return false;
  }
  return true;
}

int Promote(PyObject* object, PyArray_DTypeMeta* const given[], PyArray_DTypeMeta* const signature[],
            PyArray_DTypeMeta* promoted[]) {
  const auto* ufunc = reinterpret_cast<PyUFuncObject*>(object);
  PyArray_DTypeMeta* const* const fixed =  // by dtype= or signature=
      std::find_if(signature, signature + ufunc->nargs, [](const PyArray_DTypeMeta* dtype) { return dtype != nullptr; });
  PyArray_DTypeMeta* loop = nullptr;
  if (fixed != signature + ufunc->nargs) {
    loop = *fixed;
    Py_INCREF(loop);
  } else {
    PyArray_DTypeMeta* rows[NPY_MAXARGS];
    for (int i = 0; i < ufunc->nin; ++i) rows[i] = IsAlwaysDouble(ufunc, i) ? nullptr : given[i];
    loop = LoopType(given, ufunc->nin);
    if (loop != nullptr) Py_XSETREF(loop, LoopType(rows, ufunc->nin));
  }
  if (loop == nullptr) return RefuseDTypes(object, given);
  for (int i = 0; i < ufunc->nargs; ++i) {
    promoted[i] = signature[i] != nullptr ? signature[i] : IsAlwaysDouble(ufunc, i) ? &PyArray_DoubleDType : loop;
    Py_INCREF(promoted[i]);
  }
  Py_DECREF(loop);
  return 0;
}

void AddPromotion(PyObject* ufunc, int operands) {
  py::tuple any(operands);
  for (int i = 0; i < operands; ++i) any[i] = py::none();
  const auto promoter = Checked(PyCapsule_New(reinterpret_cast<void*>(&Promote), "numpy._ufunc_promoter", nullptr));
  if (PyUFunc_AddPromoter(ufunc, any.ptr(), promoter.ptr()) < 0) throw py::error_already_set();
}

}  // namespace

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

bool IsOrdinaryNumber(PyObject* value) {
  constexpr double kLeast = 0x1p-14, kLargest = 65504;  // of float16
  double size = 0;
  if (PyFloat_CheckExact(value)) {
    size = std::abs(PyFloat_AS_DOUBLE(value));
  } else {
    int overflow = 0;
    if (!PyLong_CheckExact(value)) return false;
    size = std::abs(static_cast<double>(PyLong_AsLongAndOverflow(value, &overflow)));
    if (overflow != 0) return false;
  }
  return size == 0 || (kLeast <= size && size <= kLargest);
}

void Raise(PyObject* type, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  PyErr_FormatV(type, format, arguments);
  va_end(arguments);
  throw py::error_already_set();
}

QuietErrors::QuietErrors() : state_(py::module_::import("numpy").attr("errstate")(py::arg("all") = "ignore")) {
  state_.attr("__enter__")();
}

QuietErrors::~QuietErrors() {
  const py::error_scope error;
  PyObject* done = PyObject_CallMethod(state_.ptr(), "__exit__", "OOO", Py_None, Py_None, Py_None);
  if (done == nullptr) PyErr_WriteUnraisable(state_.ptr());  // by the handler of a signal, say
  Py_XDECREF(done);
}

bool IsPlainValue(PyObject* value) {
  return PyList_CheckExact(value) || PyTuple_CheckExact(value) || PyFloat_CheckExact(value) || PyLong_CheckExact(value) ||
         PyBool_Check(value) || PyUnicode_Check(value) || PyArray_CheckScalar(value);
}

py::array AsArray(PyObject* value, const char* name) {
  if (PyArray_CheckExact(value)) return py::reinterpret_borrow<py::array>(value);
  PyObject* const array = PyArray_FromAny(value, nullptr, 0, 0, NPY_ARRAY_ENSUREARRAY, nullptr);
  if (array == nullptr && name != nullptr && PyErr_ExceptionMatches(PyExc_ValueError) != 0) {
    const py::error_already_set error;
    Raise(PyExc_ValueError, "%s is no array of numbers: %S", name, error.value().ptr());
  }
  return Checked<py::array>(array);
}

py::array Cast(const py::array& array, int number, int flags) {
  auto* const from = ArrayOf(array.ptr());
  const int wanted = flags | NPY_ARRAY_ALIGNED;
  if (PyArray_TYPE(from) == number && PyArray_ISNOTSWAPPED(from) && PyArray_CHKFLAGS(from, wanted)) return array;
  const QuietErrors quiet;
  return Checked<py::array>(PyArray_FromArray(from, PyArray_DescrFromType(number), wanted | NPY_ARRAY_FORCECAST));
}

py::array FloatArray(const char* name, PyObject* value) {
  if (value == Py_None || PyUnicode_Check(value))
    Raise(PyExc_TypeError, "%s is %R; it takes an array of numbers", name, value);
  const py::array array = AsArray(value, name);
  if (IsInteger(NumberOf(array))) return Cast(array, NPY_DOUBLE);
  if (TypeOfNumber(NumberOf(array)) == -1) {
    Raise(PyExc_TypeError, "%s has dtype %S; it takes float16, bfloat16, float32, float64, booleans or integers", name,
          reinterpret_cast<PyObject*>(PyArray_DESCR(ArrayOf(array.ptr()))));
  }
  return Cast(array, NumberOf(array));
}

py::object NewUfunc(const Ufunc& ufunc) {
  // What NumPy points to as long as a ufunc lives: for ever.
  struct Registered {
    PyUFuncGenericFunction loops[kDTypes];
    void* data[kDTypes];
    std::vector<char> types;
  };
  static std::deque<Registered>& all = *new std::deque<Registered>;
  Registered& registered = all.emplace_back();
  const int operands = ufunc.inputs + ufunc.outputs;
  int loops = 0;  // that NumPy knows of; ufunc.cc finds that of bfloat16 behind them
  for (const int dtype : {kFloat32, kFloat64, kFloat16, kBFloat16}) {
    if (ufunc.data[dtype] == nullptr) continue;
    registered.loops[loops] = ufunc.loop;
    registered.data[loops] = ufunc.data[dtype];
    if (dtype == kBFloat16) break;
    ++loops;
    for (int k = 0; k < operands; ++k)
      registered.types.push_back(static_cast<char>(ufunc.type_of(ufunc.data[dtype], k, NumberOfType(dtype))));
  }
  py::object made = Checked(PyUFunc_FromFuncAndDataAndSignature(registered.loops, registered.data, registered.types.data(),
                                                                loops, ufunc.inputs, ufunc.outputs, PyUFunc_None, ufunc.name,
                                                                ufunc.doc, 0, ufunc.signature));
  if (ufunc.promotes) AddPromotion(made.ptr(), operands);
  // NumPy takes this loop apart from those of its own types.
  if (BFloat16Number() >= 0 && ufunc.data[kBFloat16] != nullptr) {
    std::vector<int> types(operands);
    for (int k = 0; k < operands; ++k) types[k] = ufunc.type_of(ufunc.data[kBFloat16], k, BFloat16Number());
    auto* const object = reinterpret_cast<PyUFuncObject*>(made.ptr());
    if (PyUFunc_RegisterLoopForType(object, BFloat16Number(), ufunc.loop, types.data(), ufunc.data[kBFloat16]) < 0)
      throw py::error_already_set();
  }
  AdoptUfunc(made.ptr(), ufunc.names);
  return made;
}

}  // namespace nonlin
