// A subtype of numpy.ufunc. It stands between callers and NumPy's calls and methods; what they compute is NumPy's affair.
#include "python/ufunc.h"

#include <pybind11/eval.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "python/context.h"
#include "python/data_handler.h"
#include "python/dtypes.h"
#include "python/module.h"
#include "python/numpy_api.h"
#include "runtime/threads.h"
#include "tuning.h"

namespace py = pybind11;

namespace nonlin {
namespace {

constexpr const char* kTaken = "float16, bfloat16, float32, float64, booleans or integers";

// Set at import.
vectorcallfunc call_ufunc = nullptr;  // NumPy's
PyObject* out_name = nullptr;         // "out"
PyArray_Descr* descrs[kDTypes] = {};  // of the float types in native byte order

thread_local bool refused = false;  // whether the promoter refused the last call

PyUFuncObject* UfuncOf(PyObject* object) { return reinterpret_cast<PyUFuncObject*>(object); }

// ---------------------------------------------------------------- names

// A tuple of the inputs' names, or null. NumPy keeps an object here for ufuncs made of Python functions, and looks at it
// only to free it.
PyObject* NamesOf(PyObject* ufunc) { return UfuncOf(ufunc)->obj; }

// The input with this name, or -1. Names in a program's text are interned.
Py_ssize_t InputNamed(PyObject* names, PyObject* name) {
  const Py_ssize_t count = PyTuple_GET_SIZE(names);
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (PyTuple_GET_ITEM(names, i) == name) return i;
  }
  if (PyUnicode_CHECK_INTERNED(name)) return -1;
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (PyUnicode_Compare(PyTuple_GET_ITEM(names, i), name) == 0) return i;
  }
  return -1;
}

bool NamesInputs(PyObject* names, PyObject* keywords) {
  if (names == nullptr) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords); ++i) {
    if (InputNamed(names, PyTuple_GET_ITEM(keywords, i)) >= 0) return true;
  }
  return false;
}

// ---------------------------------------------------------------- casts

// The most common calls, without a look at anything else.
bool AreArraysOfOneType(PyObject* const* values, Py_ssize_t count) {
  bool same = true;
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (!PyArray_CheckExact(values[i])) return false;
    same &= PyArray_DESCR(ArrayOf(values[i])) == PyArray_DESCR(ArrayOf(values[0]));
  }
  return same;
}

// Whether all are arrays of one type, which `number` becomes, or masks, or numbers of ordinary size.
bool AreOfType(PyObject* const* values, Py_ssize_t count, int* number) {
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* const value = values[i];
    if (!PyArray_CheckExact(value)) {
      if (value == Py_None || IsOrdinaryNumber(value)) continue;
      return false;
    }
    const int other = PyArray_TYPE(ArrayOf(value));
    if (*number == -1) *number = other;
    if (other != *number && other != NPY_BOOL) return false;
  }
  return true;
}

// The items of the largest argument, where all are arrays or numbers: of others, it is not NumPy that makes the result.
double LargestSize(PyObject* const* values, Py_ssize_t count) {
  double largest = 0;
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (PyArray_CheckExact(values[i])) {
      double items = 1;
      for (int k = 0; k < PyArray_NDIM(ArrayOf(values[i])); ++k)
        items *= static_cast<double>(PyArray_DIM(ArrayOf(values[i]), k));
      largest = std::max(largest, items);
    } else if (!PyArray_CheckScalar(values[i]) && !PyFloat_CheckExact(values[i]) && !PyLong_CheckExact(values[i])) {
      return 0;
    }
  }
  return largest;
}

bool IsName(PyObject* name, const char* text) { return PyUnicode_CompareWithASCIIString(name, text) == 0; }

// Whether NumPy casts nothing that may overflow, underflow or be NaN.
bool CastsNothing(PyObject* const* args, Py_ssize_t inputs, Py_ssize_t given, PyObject* keywords) {
  if (given == 1 && inputs == 1 && keywords == nullptr) return true;  // integers become float64
  int number = -1;
  if (!AreOfType(args, std::min(inputs, given), &number)) return false;
  if (number == -1) number = NPY_DOUBLE;  // of Python numbers
  if (given > inputs && !AreOfType(args + inputs, given - inputs, &number)) return false;
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  for (Py_ssize_t i = 0; i < named; ++i) {
    PyObject *const name = PyTuple_GET_ITEM(keywords, i), *const *const value = args + given + i;
    if (IsName(name, "out")) {
      const bool is_tuple = PyTuple_CheckExact(*value);
      if (!AreOfType(is_tuple ? &PyTuple_GET_ITEM(*value, 0) : value, is_tuple ? PyTuple_GET_SIZE(*value) : 1, &number))
        return false;
    } else if (IsName(name, "dtype") || IsName(name, "signature") || IsName(name, "sig")) {
      return false;
    }
  }
  return true;
}

// ---------------------------------------------------------------- errors

std::string NameOf(PyObject* ufunc, Py_ssize_t input) {
  PyObject* const names = NamesOf(ufunc);
  if (names == nullptr) return "operand " + std::to_string(input + 1);
  return PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, input));
}

[[noreturn]] void RaiseRefusal(PyObject* ufunc, PyObject* const* args, Py_ssize_t given) {
  std::string all;
  for (Py_ssize_t i = 0; i < std::min<Py_ssize_t>(given, UfuncOf(ufunc)->nin); ++i) {
    const std::string name = NameOf(ufunc, i);
    if (args[i] == Py_None) Raise(PyExc_TypeError, "%s is None; it takes %s", name.c_str(), kTaken);
    const py::array array = AsArray(args[i]);
    const auto dtype = py::str(array.dtype());
    if (!IsInteger(NumberOf(array)) && TypeOfNumber(NumberOf(array)) == -1)
      Raise(PyExc_TypeError, "%s has dtype %S; it takes %s", name.c_str(), dtype.ptr(), kTaken);
    all += (all.empty() ? "" : ", ") + name + " has dtype " + std::string(dtype);
  }
  Raise(PyExc_TypeError, "%s; NumPy has no dtype that holds them all: cast them to one first", all.c_str());
}

// Sets the error of a call that the promoter refused; returns null.
PyObject* Explained(PyObject* ufunc, PyObject* const* args, Py_ssize_t given) {
  if (!PyErr_ExceptionMatches(PyExc_TypeError)) return nullptr;
  PyErr_Clear();
  return Guarded([&]() -> py::object { RaiseRefusal(ufunc, args, given); });
}

// ---------------------------------------------------------------- the direct way

// What a loop takes of an array.
struct LoopOperand {
  char* data;
  npy_intp step;
};

// Whether two operands, of so many elements and an extent of so many bytes from the first one on, have bytes in common.
bool Overlap(const LoopOperand& a, const LoopOperand& b, npy_intp count, npy_intp item) {
  const auto first = [=](const LoopOperand& o) { return o.data + std::min<npy_intp>(0, (count - 1) * o.step); };
  const auto end = [=](const LoopOperand& o) { return o.data + std::max<npy_intp>(0, (count - 1) * o.step) + item; };
  return first(a) < end(b) && first(b) < end(a);
}

// The float type of an array in native byte order and without metadata, which only NumPy hands on; or -1. Unpickled arrays
// have a description of their own.
int OrdinaryType(PyArrayObject* array) {
  PyArray_Descr* const descr = PyArray_DESCR(array);
  const auto* const type = std::find(std::begin(descrs), std::end(descrs), descr);
  if (type != std::end(descrs)) return static_cast<int>(type - descrs);
  return PyArray_ISNOTSWAPPED(array) && PyDataType_METADATA(descr) == nullptr ? TypeOfNumber(descr->type_num) : -1;
}

// Calls the loop as NumPy would, in a fourth of the time, on ordinary arrays: of no subclass, of one type and shape,
// aligned, without gaps or of one axis, and single numbers beside them. A result overlaps no other array, but for that very
// array. Returns false, with nothing done, for all else; sets `result` to null where there is an error.
bool CallDirectly(PyUFuncObject* ufunc, PyObject* const* args, Py_ssize_t given, PyObject** result) {
  const int inputs = ufunc->nin, operands = ufunc->nargs;
  if ((given != inputs && given != operands) || !PyArray_CheckExact(args[0]) || ufunc->core_enabled != 0) return false;
  auto* const first = ArrayOf(args[0]);
  const int type = OrdinaryType(first), dims = PyArray_NDIM(first);
  const bool has_all = ufunc->ntypes > 1;  // else float64 alone
  if (type == -1 || dims == 0 || (!has_all && type != kFloat64)) return false;
  npy_intp count = PyArray_SIZE(first);
  const auto item = static_cast<npy_intp>(ItemSize(type));
  const int flags = NPY_ARRAY_ALIGNED | (dims == 1 ? 0 : NPY_ARRAY_C_CONTIGUOUS);
  char* data[kMaxInputs + kMaxOutputs];
  npy_intp steps[kMaxInputs + kMaxOutputs];
  for (int k = 0; k < given; ++k) {
    if (!PyArray_CheckExact(args[k])) return false;
    auto* const array = ArrayOf(args[k]);
    const bool is_number = PyArray_NDIM(array) == 0 && k < inputs;
    if (OrdinaryType(array) != type || !PyArray_CHKFLAGS(array, flags)) return false;
    if (!is_number && (PyArray_NDIM(array) != dims || !PyArray_CompareLists(PyArray_DIMS(array), PyArray_DIMS(first), dims)))
      return false;
    data[k] = PyArray_BYTES(array);
    steps[k] = is_number ? 0 : dims == 1 && count > 1 ? PyArray_STRIDE(array, 0) : item;
    for (int other = 0; other < k && k >= inputs; ++other) {
      const bool same = other < inputs && data[other] == data[k] && steps[other] == steps[k];
      if (!same && Overlap({data[k], steps[k]}, {data[other], steps[other]}, count, item)) return false;
    }
  }
  PyObject* outputs[kMaxOutputs] = {};
  bool done = true;
  for (int k = inputs; k < operands && done; ++k) {
    PyObject*& output = outputs[k - inputs];
    if (given == operands) {
      output = Py_NewRef(args[k]);
      done = PyArray_FailUnlessWriteable(ArrayOf(output), "output array") == 0;
    } else {
      const ResultScope scope(static_cast<double>(count));
      Py_INCREF(descrs[type]);
      output = PyArray_NewFromDescr(&PyArray_Type, descrs[type], dims, PyArray_DIMS(first), nullptr, nullptr, 0, nullptr);
      done = output != nullptr;
      if (done) data[k] = PyArray_BYTES(ArrayOf(output));
      steps[k] = item;
    }
  }
  if (done && count > 0) {
    const int loop = has_all ? type : 0;
    const auto run = [&] { ufunc->functions[loop](data, &count, steps, ufunc->data[loop]); };
    if (count < static_cast<npy_intp>(kManyEntries)) {
      run();
    } else {
      const CallLimit limit(LimitOfContext());
      PyThreadState* const state = PyEval_SaveThread();
      run();
      PyEval_RestoreThread(state);
    }
    done = PyErr_Occurred() == nullptr;
  }
  *result = nullptr;
  if (done) *result = operands - inputs == 1 ? Py_NewRef(outputs[0]) : PyTuple_Pack(2, outputs[0], outputs[1]);
  for (PyObject* const output : outputs) Py_XDECREF(output);
  return true;
}

// ---------------------------------------------------------------- calls

PyObject* Call(PyObject* ufunc, PyObject* const* args, size_t flags, PyObject* keywords);

py::object CalledNamed(PyObject* ufunc, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  PyObject* const names = NamesOf(ufunc);
  const Py_ssize_t inputs = PyTuple_GET_SIZE(names), named = PyTuple_GET_SIZE(keywords);
  std::vector<PyObject*> values(args, args + given), others;
  values.resize(std::max(inputs, given));
  py::list other_names;
  for (Py_ssize_t i = 0; i < named; ++i) {
    PyObject* const name = PyTuple_GET_ITEM(keywords, i);
    const Py_ssize_t k = InputNamed(names, name);
    if (k < 0) {
      others.push_back(args[given + i]);
      other_names.append(py::handle(name));
      continue;
    }
    if (values[k] != nullptr) Raise(PyExc_TypeError, "%s() got two values for %R", UfuncOf(ufunc)->name, name);
    values[k] = args[given + i];
  }
  const auto missing = std::find(values.begin(), values.end(), nullptr) - values.begin();
  if (missing < inputs) {
    Raise(PyExc_TypeError, "%s() takes an argument %R, which is missing", UfuncOf(ufunc)->name,
          PyTuple_GET_ITEM(names, missing));
  }
  const size_t count = values.size();
  values.insert(values.end(), others.begin(), others.end());
  return Checked(Call(ufunc, values.data(), count, others.empty() ? nullptr : py::tuple(other_names).ptr()));
}

PyObject* CallNamed(PyObject* ufunc, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  return Guarded([&] { return CalledNamed(ufunc, args, given, keywords); });
}

PyObject* CallQuietly(PyObject* ufunc, PyObject* const* args, size_t flags, PyObject* keywords) {
  return Guarded([&] {
    const QuietErrors quiet;
    return Checked(call_ufunc(ufunc, args, flags, keywords));
  });
}

// Whether an argument is of another package, which leaves ufuncs to NumPy.
bool IsForeign(PyObject* value) {
  if (IsPlain(value) || PyArray_Check(value) || PyLong_Check(value) || PyFloat_Check(value)) return false;
  return PyObject_HasAttrString(value, "__array_ufunc__") == 0;
}

// What `nonlin._others` makes of a call, by one of its functions.
py::object CalledByOthers(const char* function, PyObject* ufunc, PyObject* const* args, Py_ssize_t given,
                          PyObject* keywords) {
  py::tuple inputs(given);
  for (Py_ssize_t i = 0; i < given; ++i) inputs[i] = py::handle(args[i]);
  py::dict options;
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  for (Py_ssize_t i = 0; i < named; ++i) options[PyTuple_GET_ITEM(keywords, i)] = py::handle(args[given + i]);
  return py::module_::import("nonlin._others").attr(function)(py::handle(ufunc), inputs, options);
}

// What is made of a call that the package of an argument refused, as dask and polars refuse ufuncs of several results; or
// an error that says more. Else the error stays as it is.
PyObject* CallOthers(PyObject* ufunc, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  const bool is_refusal = PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_NotImplementedError);
  if (NamesOf(ufunc) == nullptr || !is_refusal) return nullptr;
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyObject* const result = Guarded([&] { return CalledByOthers("refused", ufunc, args, given, keywords); });
  if (result == Py_NotImplemented) {
    Py_DECREF(result);
    PyErr_Restore(type, value, trace);
    return nullptr;
  }
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
  return result;
}

// The inner loop of a ufunc has no GIL, for which it would have to wait: the context is asked when a call begins.
PyObject* Call(PyObject* ufunc, PyObject* const* args, size_t flags, PyObject* keywords) {
  const auto given = static_cast<Py_ssize_t>(PyVectorcall_NARGS(flags));
  const bool has_out = keywords != nullptr && PyTuple_GET_SIZE(keywords) == 1 && PyTuple_GET_ITEM(keywords, 0) == out_name;
  const bool has_others = keywords != nullptr && !has_out;
  if (has_others && NamesInputs(NamesOf(ufunc), keywords)) return CallNamed(ufunc, args, given, keywords);
  PyObject* direct = nullptr;
  if (!has_others && (!has_out || given == UfuncOf(ufunc)->nin) &&
      CallDirectly(UfuncOf(ufunc), args, given + has_out, &direct))
    return direct;
  const CallLimit limit(LimitOfContext());
  refused = false;
  const bool is_plain =
      (!has_others && AreArraysOfOneType(args, given + has_out)) || CastsNothing(args, UfuncOf(ufunc)->nin, given, keywords);
  if (std::any_of(args, args + std::min<Py_ssize_t>(given, UfuncOf(ufunc)->nin), IsForeign))
    return Guarded([&] { return CalledByOthers("elementwise", ufunc, args, given, keywords); });
  const ResultScope scope(keywords == nullptr ? LargestSize(args, given) : 0);
  PyObject* const result = (is_plain ? call_ufunc : CallQuietly)(ufunc, args, flags, keywords);
  if (result != nullptr) return result;
  return refused ? Explained(ufunc, args, given) : CallOthers(ufunc, args, given, keywords);
}

// ---------------------------------------------------------------- methods

enum Method { kReduce, kAccumulate, kReduceAt, kOuter, kAt, kMethods };
constexpr const char* kMethodNames[] = {"reduce", "accumulate", "reduceat", "outer", "at"};

PyObject* methods[kMethods];  // NumPy's

// NumPy 2.4 crashes where the result of `accumulate` goes to an array without dimensions.
void CheckAccumulated(PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  constexpr Py_ssize_t kOutPlace = 3;
  PyObject* out = given > kOutPlace ? args[kOutPlace] : nullptr;
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  for (Py_ssize_t i = 0; i < named; ++i) {
    if (IsName(PyTuple_GET_ITEM(keywords, i), "out")) out = args[given + i];
  }
  if (out != nullptr && PyTuple_CheckExact(out) && PyTuple_GET_SIZE(out) == 1) out = PyTuple_GET_ITEM(out, 0);
  if (out != nullptr && PyArray_Check(out) && PyArray_NDIM(ArrayOf(out)) == 0)
    Raise(PyExc_ValueError, "out has shape (); accumulate takes the shape of its array, of one dimension or more");
}

template <int kMethod>
PyObject* CallMethod(PyObject* ufunc, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  return Guarded([&] {
    if constexpr (kMethod == kAccumulate) CheckAccumulated(args, given, keywords);
    const QuietErrors quiet;
    std::vector<PyObject*> all{ufunc};
    all.insert(all.end(), args, args + given + (keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords)));
    return Checked(PyObject_Vectorcall(methods[kMethod], all.data(), given + 1, keywords));
  });
}

PyObject* GetName(PyObject* ufunc, PyObject*) { return PyUnicode_FromString(UfuncOf(ufunc)->name); }

template <int... kMethod>
PyMethodDef* MethodTable(std::integer_sequence<int, kMethod...>) {
  static PyMethodDef table[] = {
      {kMethodNames[kMethod], reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&CallMethod<kMethod>)),
       METH_FASTCALL | METH_KEYWORDS, reinterpret_cast<PyMethodDescrObject*>(methods[kMethod])->d_method->ml_doc}...,
      {"__reduce__", GetName, METH_NOARGS, "The name, by which pickle finds a ufunc."},
      {}};
  return table;
}

// ---------------------------------------------------------------- the signature

// As that of NumPy's ufuncs, with other names.
std::string SignatureOf(PyObject* ufunc) {
  std::string text;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(NamesOf(ufunc)); ++i) text += NameOf(ufunc, i) + ", ";
  return text + "out=None, *, where=True, casting='same_kind', order='K', dtype=None, subok=True, signature=None";
}

PyObject* GetSignature(PyObject* ufunc, void*) {
  return Guarded([&]() -> py::object {
    if (NamesOf(ufunc) == nullptr) Raise(PyExc_AttributeError, "%s has no signature", UfuncOf(ufunc)->name);
    const py::object inspect = py::module_::import("inspect");
    return inspect.attr("signature")(py::eval("lambda " + SignatureOf(ufunc) + ": None"));
  });
}

PyObject* GetDoc(PyObject* ufunc, void*) {
  if (NamesOf(ufunc) == nullptr) return PyUnicode_FromString(UfuncOf(ufunc)->doc);
  return Guarded([&] { return py::str(UfuncOf(ufunc)->name + ("(" + SignatureOf(ufunc)) + ")\n\n" + UfuncOf(ufunc)->doc); });
}

// Null where NumPy's type has no static subtypes: then names still serve, and NumPy's own signatures, texts and methods.
PyTypeObject* MakeType() {
  static PyGetSetDef properties[] = {
      {"__signature__", GetSignature, nullptr, nullptr, nullptr}, {"__doc__", GetDoc, nullptr, nullptr, nullptr}, {}};
  static PyVarObject head[] = {PyVarObject_HEAD_INIT(nullptr, 0)};
  static PyTypeObject type{};
  for (int i = 0; i < kMethods; ++i) {
    methods[i] = PyObject_GetAttrString(reinterpret_cast<PyObject*>(&PyUFunc_Type), kMethodNames[i]);
    if (methods[i] == nullptr) throw py::error_already_set();
  }
  type.ob_base = head[0];
  type.tp_name = "nonlin.ufunc";
  type.tp_base = &PyUFunc_Type;
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL;
  type.tp_call = PyVectorcall_Call;
  type.tp_vectorcall_offset = PyUFunc_Type.tp_vectorcall_offset;
  type.tp_methods = MethodTable(std::make_integer_sequence<int, kMethods>());
  type.tp_getset = properties;
  if (PyType_Ready(&type) == 0) return &type;
  PyErr_Clear();
  return nullptr;
}

}  // namespace

void AdoptUfunc(PyObject* ufunc, const InputList& names) {
  static PyTypeObject* const kType = MakeType();
  out_name = PyUnicode_InternFromString("out");
  auto* const object = UfuncOf(ufunc);
  call_ufunc = object->vectorcall;
  for (int i = 0; i < kDTypes; ++i) {
    if (descrs[i] == nullptr && NumberOfType(i) != -1) descrs[i] = PyArray_DescrFromType(NumberOfType(i));
  }
  object->vectorcall = Call;
  if (names.count > 0) {
    object->obj = PyTuple_New(names.count);
    if (object->obj == nullptr) throw py::error_already_set();
    for (int i = 0; i < names.count; ++i) PyTuple_SET_ITEM(object->obj, i, PyUnicode_InternFromString(names.items[i].name));
  }
  if (kType != nullptr) Py_SET_TYPE(ufunc, kType);
}

int RefuseDTypes(PyObject* ufunc, PyArray_DTypeMeta* const* given) {
  refused = true;
  Guarded([&]() -> py::object {
    std::string names;
    for (int i = 0; i < UfuncOf(ufunc)->nin; ++i) {
      if (given[i] == nullptr || given[i]->singleton == nullptr) continue;
      names +=
          (names.empty() ? "" : ", ") + std::string(py::str(py::handle(reinterpret_cast<PyObject*>(given[i]->singleton))));
    }
    Raise(PyExc_TypeError, "%s: the dtypes are %s; they take %s", UfuncOf(ufunc)->name, names.c_str(), kTaken);
  });
  return -1;
}

}  // namespace nonlin
