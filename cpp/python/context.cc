#include "python/context.h"

#include <pybind11/pybind11.h>

#include <atomic>

#include "python/module.h"
#include "runtime/threads.h"

namespace py = pybind11;

namespace nonlin {
namespace {

PyObject* Variable() {
  static PyObject* const kVariable = PyContextVar_New("nonlin.num_threads", nullptr);
  return kVariable;
}

std::atomic<bool> is_used{false};  // whether there was ever a number

py::object LimitContext(int count) {
  is_used = true;
  PyObject* token = PyContextVar_Set(Variable(), py::int_(count).ptr());
  if (token == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(token);
}

}  // namespace

int LimitOfContext() {
  PyObject* found = nullptr;
  if (!is_used) return 0;
  if (PyContextVar_Get(Variable(), nullptr, &found) < 0) PyErr_Clear();
  const py::object count = py::reinterpret_steal<py::object>(found);
  return count ? static_cast<int>(PyLong_AsLong(count.ptr())) : 0;
}

int LimitOfLoop() {
  if (CallLimit::Current() >= 0) return CallLimit::Current();
  if (!is_used) return 0;
  const PyGILState_STATE state = PyGILState_Ensure();
  const int limit = LimitOfContext();
  PyGILState_Release(state);
  return limit;
}

void RegisterContext(py::module_& m) {
  m.attr("context_limit") = py::handle(Variable());
  m.def("limit_context", &LimitContext, py::arg("count"), "Set the context variable; returns what resets it.");
}

}  // namespace nonlin
