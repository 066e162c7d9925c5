// The elementwise functions with keyword parameters: they pass these on to a ufunc as further inputs, so that they broadcast
// too. They are C functions because a wrapper written in Python costs as much as the ufunc.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "kernels.h"
#include "python/dtypes.h"
#include "python/module.h"
#include "python/numpy_api.h"

namespace py = pybind11;

namespace nonlin {
namespace {

struct Function {
  std::string name, doc;
  PyObject* ufunc;
  PyObject* of_defaults;  // the ufunc of the operands alone, or null
  const FormOf* form;     // of another ufunc, which a further argument chooses; or null
  PyObject* other_form;   // that ufunc
  std::vector<PyObject*> names;
  std::vector<PyObject*> defaults;         // or null
  std::vector<PyObject*> arrays[kDTypes];  // the defaults as arrays of a type
  PyMethodDef method;
};

enum Row {
#define NONLIN_ACTIVATION(name, ...) kRow_##name,
#include "activations.def"
#undef NONLIN_ACTIVATION
  kRows
};

Function functions[kRows][2];  // forward, backward

PyObject* NewNumber(int dtype, PyObject* value) {
  PyObject* object = PyArray_SimpleNew(0, nullptr, NumberOfType(dtype));
  if (object == nullptr) throw py::error_already_set();
  void* data = PyArray_DATA(ArrayOf(object));
  if (dtype == kFloat32) {
    *static_cast<float*>(data) = static_cast<float>(PyFloat_AS_DOUBLE(value));
  } else if (dtype == kFloat64) {
    *static_cast<double*>(data) = PyFloat_AS_DOUBLE(value);
  } else {
    std::optional<QuietErrors> quiet;
    if (!IsOrdinaryNumber(value)) quiet.emplace();
    if (PyArray_SETITEM(ArrayOf(object), static_cast<char*>(data), value) < 0) {
      Py_DECREF(object);
      throw py::error_already_set();
    }
  }
  return object;
}

// The float type of all operands that are no Python floats, or -1 if they are not all arrays of it.
int TypeOfOperands(const Function& f, PyObject* const* values, int inputs) {
  int number = -1;
  for (int i = 0; i < inputs; ++i) {
    if (f.defaults[i] != nullptr || PyFloat_CheckExact(values[i])) continue;
    if (!PyArray_CheckExact(values[i])) return -1;
    const int other = PyArray_TYPE(ArrayOf(values[i]));
    if (number != -1 && number != other) return -1;
    number = other;
  }
  return TypeOfNumber(number);
}

// A parameter as a Python float, which takes the type of the arrays beside it; null if it is no real number.
py::object AsFloat(PyObject* value) {
  if (PyFloat_CheckExact(value)) return py::reinterpret_borrow<py::object>(value);
  if (PyLong_Check(value)) return Checked(PyNumber_Float(value));
  int number = -1;
  if (PyArray_CheckExact(value) && PyArray_NDIM(ArrayOf(value)) == 0) {
    number = PyArray_TYPE(ArrayOf(value));
  } else if (PyArray_IsScalar(value, Generic)) {
    number = Checked<py::dtype>(reinterpret_cast<PyObject*>(PyArray_DescrFromScalar(value))).num();
  }
  const bool is_real = number >= 0 && (IsInteger(number) || TypeOfNumber(number) >= 0 || number == NPY_LONGDOUBLE);
  return is_real ? Checked(PyNumber_Float(value)) : py::object();
}

// The ufunc that the further argument chooses.
PyObject* ChosenForm(const Function& f, PyObject* value) {
  const auto is = [=](const char* text) {
    return PyUnicode_Check(value) && PyUnicode_CompareWithASCIIString(value, text) == 0;
  };
  if (value == nullptr || is(f.form->usual)) return f.ufunc;
  if (is(f.form->value)) return f.other_form;
  return PyErr_Format(PyExc_ValueError, "%s is %R; it takes '%s' or '%s'", f.form->option, value, f.form->usual,
                      f.form->value);
}

PyObject* Call(const Function& f, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  constexpr Py_ssize_t kMost = 32;  // more than there are keywords
  const auto count = static_cast<Py_ssize_t>(f.names.size());
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  if (given > count || named > kMost) {
    return PyErr_Format(PyExc_TypeError,
                        "%s() takes %zd positional arguments and keywords of a ufunc; %zd and %zd were given",
                        f.name.c_str(), count, given, named);
  }
  PyObject* values[kMaxInputs + 1 + kMost] = {};  // own arguments, then the others, which are the ufunc's
  PyObject* others[kMost];
  Py_ssize_t other_count = 0;
  bool has_only_out = true;
  std::copy_n(args, given, values);
  for (Py_ssize_t i = 0; i < named; ++i) {
    PyObject* name = PyTuple_GET_ITEM(keywords, i);
    const bool is_interned = PyUnicode_CHECK_INTERNED(name);  // as are names in a program's text
    const auto own = std::find_if(f.names.begin(), f.names.end(), [&](PyObject* n) {
      return n == name || (!is_interned && PyUnicode_Compare(n, name) == 0);
    });
    if (own == f.names.end()) {
      values[count + other_count] = args[given + i];
      others[other_count++] = name;
      has_only_out &= PyUnicode_CompareWithASCIIString(name, "out") == 0;
      continue;
    }
    PyObject*& value = values[own - f.names.begin()];
    if (value != nullptr) return PyErr_Format(PyExc_TypeError, "%s() got two values for %R", f.name.c_str(), name);
    value = args[given + i];
  }
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (values[i] == nullptr && f.defaults[i] == nullptr)
      return PyErr_Format(PyExc_TypeError, "%s() takes an argument %R, which is missing", f.name.c_str(), f.names[i]);
  }

  PyObject* ufunc = f.ufunc;
  int inputs = reinterpret_cast<PyUFuncObject*>(ufunc)->nin;
  if (f.form != nullptr) {
    ufunc = ChosenForm(f, values[inputs]);
    if (ufunc == nullptr) return nullptr;
    std::copy_n(values + count, other_count, values + inputs);
  }

  // NumPy brings numbers to the type of the arrays beside them, at twice the price of arrays of that type.
  const int dtype = has_only_out ? TypeOfOperands(f, values, inputs) : -1;
  if (dtype != -1 && f.of_defaults != nullptr) {
    const int operands = reinterpret_cast<PyUFuncObject*>(f.of_defaults)->nin;
    const auto is_given = [](const PyObject* value) { return value != nullptr; };
    if (std::none_of(values + operands, values + inputs, is_given)) {  // 100 ns less than with parameters
      std::copy_n(values + inputs, other_count, values + operands);
      ufunc = f.of_defaults;
      inputs = operands;
    }
  }
  py::object numbers[kMaxInputs];
  for (int i = 0; i < inputs; ++i) {
    PyObject*& value = values[i];
    if (value == nullptr) {
      value = dtype == -1 ? f.defaults[i] : f.arrays[dtype][i];
      continue;
    }
    if (f.defaults[i] == nullptr && !PyFloat_CheckExact(value)) continue;
    numbers[i] = AsFloat(value);
    if (!numbers[i]) continue;
    if (dtype != -1) numbers[i] = py::reinterpret_steal<py::object>(NewNumber(dtype, numbers[i].ptr()));
    value = numbers[i].ptr();
  }

  py::object names = py::reinterpret_borrow<py::object>(keywords);
  if (other_count < named) {
    names = other_count == 0 ? py::object() : py::tuple(other_count);
    for (Py_ssize_t i = 0; i < other_count; ++i) PyTuple_SET_ITEM(names.ptr(), i, Py_NewRef(others[i]));
  }
  return PyObject_Vectorcall(ufunc, values, inputs, names.ptr());
}

// A C function for each row: pickle and help() know functions of this kind, which have no room for a pointer to their data.
template <int kRow, bool kBackward>
PyObject* CallRow(PyObject*, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  return Guarded([&] { return Checked(Call(functions[kRow][kBackward], args, given, keywords)); });
}

using FastFunction = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);
const FastFunction kCalls[kRows][2] = {
#define NONLIN_ACTIVATION(name, ...) {CallRow<kRow_##name, false>, CallRow<kRow_##name, true>},
#include "activations.def"
#undef NONLIN_ACTIVATION
};

// The row that is a form of another one, or none.
const FormOf* FormOfRow(const Activation& a, const char** form_name) {
  for (int i = 0; i < kActivationCount; ++i) {
    const FormOf& form = kActivations[i].form;
    if (form.name == nullptr || std::strcmp(form.name, a.name) != 0) continue;
    *form_name = kActivations[i].name;
    return &form;
  }
  return nullptr;
}

// The function of a row, or none where the ufunc itself will do.
py::object MakeFunction(const py::module_& m, const Activation& a, Function& f, FastFunction call, bool backward) {
  const std::string ending = backward ? "_backward" : "";
  f.name = a.name + ending;
  f.ufunc = m.attr(f.name.c_str()).ptr();
  const char* form_name = nullptr;
  f.form = FormOfRow(a, &form_name);
  bool has_keywords = f.form != nullptr;
  std::string signature = "(";
  const auto add = [&](const char* name, const py::object& value) {
    signature += name;
    if (value) signature += "=" + std::string(py::repr(value));
    signature += ", ";
    f.names.push_back(PyUnicode_InternFromString(name));
    f.defaults.push_back(value.inc_ref().ptr());
  };
  for (const Input& input : backward ? BackwardInputs(a.inputs, a.slope) : a.inputs) {
    const py::object value = input.is_parameter ? py::float_(input.value) : py::object();
    has_keywords |= input.is_parameter;
    for (int dtype = 0; dtype < kDTypes; ++dtype) {
      const bool is_there = input.is_parameter && NumberOfType(dtype) != -1;
      f.arrays[dtype].push_back(is_there ? NewNumber(dtype, value.ptr()) : nullptr);
    }
    add(input.name, value);
  }
  if (!has_keywords) return py::none();
  if (a.inputs.Operands() < a.inputs.count)
    f.of_defaults = NewUfuncOfDefaults(static_cast<int>(&a - kActivations), backward, f.arrays).release().ptr();

  std::string doc = reinterpret_cast<PyUFuncObject*>(f.ufunc)->doc;
  if (f.form != nullptr) {
    f.other_form = m.attr((form_name + ending).c_str()).ptr();
    add(f.form->option, py::str(f.form->usual));
    const std::string text = std::string(f.form->option) + " : {\"" + f.form->usual + "\", \"" + f.form->value +
                             "\"}\n    " + f.form->description + "\n";
    doc.insert(doc.find("**kwargs"), text);
  }
  f.doc = f.name + signature + "**kwargs)\n--\n\n" + doc;  // a first line of this form makes __text_signature__
  f.method = {f.name.c_str(), reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(call)), METH_FASTCALL | METH_KEYWORDS,
              f.doc.c_str()};
  const py::str module = "nonlin._activations";
  return Checked(PyCFunction_NewEx(&f.method, nullptr, module.ptr()));
}

}  // namespace

void RegisterKeywords(py::module_& m) {
  py::dict made;
  for (int row = 0; row < kRows; ++row) {
    for (const bool backward : {false, true}) {
      Function& f = functions[row][backward];
      const py::object function = MakeFunction(m, kActivations[row], f, kCalls[row][backward], backward);
      if (!function.is_none()) made[f.name.c_str()] = function;
    }
  }
  m.def("functions", [made] { return made; }, "The elementwise functions that have keyword parameters.");
}

}  // namespace nonlin
