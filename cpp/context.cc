#include "context.h"

#include <pybind11/pybind11.h>

#include "module.h"
#include "numpy_api.h"
#include "runtime/threads.h"

namespace py = pybind11;

namespace nonlin {
namespace {

PyObject* Variable() {
  static PyObject* const kVariable = PyContextVar_New("nonlin.num_threads", nullptr);
  return kVariable;
}

vectorcallfunc call_ufunc = nullptr;  // NumPy's

PyObject* CallLimited(PyObject* ufunc, PyObject* const* args, size_t given, PyObject* keywords) {
  const CallLimit limit(LimitOfContext());
  return call_ufunc(ufunc, args, given, keywords);
}

}  // namespace

int LimitOfContext() {
  PyObject* found = nullptr;
  if (PyContextVar_Get(Variable(), nullptr, &found) < 0) PyErr_Clear();
  const py::object count = py::reinterpret_steal<py::object>(found);
  return count ? static_cast<int>(PyLong_AsLong(count.ptr())) : 0;
}

// The inner loop of a ufunc has no GIL, and runs in the middle of a call: the context is asked at its beginning. Methods
// of a ufunc, such as outer, go another way and keep to the number of the process.
void LimitCalls(PyObject* ufunc) {
  auto* const object = reinterpret_cast<PyUFuncObject*>(ufunc);
  call_ufunc = object->vectorcall;
  object->vectorcall = CallLimited;
}

void RegisterContext(py::module_& m) { m.attr("context_limit") = py::handle(Variable()); }

}  // namespace nonlin
