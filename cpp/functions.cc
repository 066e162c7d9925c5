// The elementwise functions with keyword parameters: they pass these on to a ufunc as further inputs, so that they broadcast
// too. They are C functions because a wrapper written in Python costs as much as the ufunc.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "halves.h"
#include "kernels.h"
#include "module.h"
#include "numpy_api.h"

namespace py = pybind11;

namespace nonlin {
namespace {

struct Function {
  std::string name, doc;
  PyObject* ufunc;
  PyObject* tanh;  // of gelu: the ufunc of its other form, which a further argument chooses
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
  auto* array = reinterpret_cast<PyArrayObject*>(object);
  void* data = PyArray_DATA(array);
  if (dtype == kFloat32) {
    *static_cast<float*>(data) = static_cast<float>(PyFloat_AS_DOUBLE(value));
  } else if (dtype == kFloat64) {
    *static_cast<double*>(data) = PyFloat_AS_DOUBLE(value);
  } else if (PyArray_SETITEM(array, static_cast<char*>(data), value) < 0) {
    Py_DECREF(object);
    throw py::error_already_set();
  }
  return object;
}

// Whether a Python number overflows or underflows in some float type, of which NumPy would warn.
bool IsExtreme(PyObject* value) {
  if (!PyFloat_CheckExact(value) && !PyLong_CheckExact(value)) return false;
  constexpr double kLeast = 0x1p-14, kLargest = 65504;  // of float16
  const double size = std::abs(PyFloat_AsDouble(value));
  if (PyErr_Occurred()) {
    PyErr_Clear();
    return true;
  }
  return size != 0 && !(kLeast <= size && size <= kLargest);
}

// The float type of all inputs that are no Python floats (null stands for a default), or -1 if they are not all arrays of
// it, or a float is extreme in 16 bits.
int TypeOfArrays(PyObject* const* inputs, int count) {
  int number = -1;
  bool extreme = false;
  for (int i = 0; i < count; ++i) {
    if (inputs[i] == nullptr) continue;
    if (PyFloat_CheckExact(inputs[i])) {
      extreme |= IsExtreme(inputs[i]);
      continue;
    }
    if (!PyArray_CheckExact(inputs[i])) return -1;
    const int other = PyArray_TYPE(reinterpret_cast<PyArrayObject*>(inputs[i]));
    if (number != -1 && number != other) return -1;
    number = other;
  }
  const int dtype = TypeOfNumber(number);
  return extreme && IsHalf(dtype) ? -1 : dtype;
}

PyObject* CallQuietly(PyObject* ufunc, PyObject* const* values, int inputs, PyObject* keywords) {
  const py::object ignore = py::module_::import("numpy").attr("errstate")(py::arg("all") = "ignore");
  ignore.attr("__enter__")();
  PyObject* result = PyObject_Vectorcall(ufunc, values, inputs, keywords);
  const py::error_scope error;
  ignore.attr("__exit__")(py::none(), py::none(), py::none());
  return result;
}

// The ufunc that `approximate` chooses.
PyObject* FormOfGelu(const Function& f, PyObject* approximate) {
  if (approximate == nullptr || (PyUnicode_Check(approximate) && PyUnicode_CompareWithASCIIString(approximate, "none") == 0))
    return f.ufunc;
  if (PyUnicode_Check(approximate) && PyUnicode_CompareWithASCIIString(approximate, "tanh") == 0) return f.tanh;
  PyErr_Format(PyExc_ValueError, "approximate is %R; it takes 'none' or 'tanh'", approximate);
  return nullptr;
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
    const auto own = std::find_if(f.names.begin(), f.names.end(),
                                  [&](PyObject* n) { return n == name || PyUnicode_Compare(n, name) == 0; });
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
  const int inputs = reinterpret_cast<PyUFuncObject*>(ufunc)->nin;
  if (f.tanh != nullptr) {
    ufunc = FormOfGelu(f, values[inputs]);
    if (ufunc == nullptr) return nullptr;
    std::copy_n(values + count, other_count, values + inputs);
  }

  // NumPy brings numbers to the type of the arrays beside them, at twice the price of arrays of that type.
  const int dtype = has_only_out ? TypeOfArrays(values, inputs) : -1;
  py::object numbers[kMaxInputs];
  bool extreme = false;
  for (int i = 0; i < inputs; ++i) {
    PyObject*& value = values[i];
    if (value == nullptr) {
      value = dtype == -1 ? f.defaults[i] : f.arrays[dtype][i];
    } else if (dtype == -1) {
      extreme |= IsExtreme(value);
    } else if (PyFloat_CheckExact(value)) {
      numbers[i] = py::reinterpret_steal<py::object>(NewNumber(dtype, value));
      value = numbers[i].ptr();
    }
  }

  py::object names = py::reinterpret_borrow<py::object>(keywords);
  if (other_count < named) {
    names = py::tuple(other_count);
    for (Py_ssize_t i = 0; i < other_count; ++i) PyTuple_SET_ITEM(names.ptr(), i, Py_NewRef(others[i]));
  }
  return extreme ? CallQuietly(ufunc, values, inputs, names.ptr()) : PyObject_Vectorcall(ufunc, values, inputs, names.ptr());
}

// A C function for each row: pickle and help() know functions of this kind, which have no room for a pointer to their data.
template <int kRow, bool kBackward>
PyObject* CallRow(PyObject*, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  try {
    return Call(functions[kRow][kBackward], args, given, keywords);
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  return nullptr;
}

using FastFunction = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);
const FastFunction kCalls[kRows][2] = {
#define NONLIN_ACTIVATION(name, ...) {CallRow<kRow_##name, false>, CallRow<kRow_##name, true>},
#include "activations.def"
#undef NONLIN_ACTIVATION
};

const char kApproximate[] =
    "approximate : {\"none\", \"tanh\"}\n"
    "    ``\"none\"`` is the exact function, ``\"tanh\"`` is\n"
    "    ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``.\n";

// The function of a row, or none where the ufunc itself will do.
py::object MakeFunction(const py::module_& m, const Activation& a, Function& f, FastFunction call, bool backward) {
  f.name = std::string(a.name) + (backward ? "_backward" : "");
  f.ufunc = m.attr(f.name.c_str()).ptr();
  f.tanh = std::strcmp(a.name, "gelu") == 0 ? m.attr(backward ? "gelu_tanh_backward" : "gelu_tanh").ptr() : nullptr;
  std::string signature = "(", word;
  const auto add = [&](const std::string& name, PyObject* value) {
    signature += name;
    if (value != nullptr) signature += "=" + std::string(py::repr(value));
    signature += ", ";
    f.names.push_back(PyUnicode_InternFromString(name.c_str()));
    f.defaults.push_back(value);
  };
  bool has_parameters = f.tanh != nullptr;
  std::istringstream inputs(backward ? a.backward_inputs : a.inputs);
  for (std::string name; inputs >> name;) {
    name = name.substr(0, name.find('='));
    PyObject* value = nullptr;
    std::istringstream forward(a.inputs);  // which have the defaults
    while (forward >> word) {
      if (word.compare(0, name.size() + 1, name + "=") == 0)
        value = PyFloat_FromDouble(std::stod(word.substr(name.size() + 1)));
    }
    has_parameters |= value != nullptr;
    for (int dtype = 0; dtype < kDTypes; ++dtype) {
      const bool absent = value == nullptr || NumberOfType(dtype) == -1;
      f.arrays[dtype].push_back(absent ? nullptr : NewNumber(dtype, value));
    }
    add(name, value);
  }
  if (!has_parameters) return py::none();

  std::string doc = reinterpret_cast<PyUFuncObject*>(f.ufunc)->doc;
  if (f.tanh != nullptr) {
    add("approximate", PyUnicode_InternFromString("none"));
    doc.insert(doc.find("**kwargs"), kApproximate);
  }
  f.doc = f.name + signature + "**kwargs)\n--\n\n" + doc;  // a first line of this form makes __text_signature__
  f.method = {f.name.c_str(), reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(call)), METH_FASTCALL | METH_KEYWORDS,
              f.doc.c_str()};
  const py::str module = "nonlin.activations";
  return py::reinterpret_steal<py::object>(PyCFunction_NewEx(&f.method, nullptr, module.ptr()));
}

}  // namespace

void RegisterFunctions(py::module_& m) {
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
