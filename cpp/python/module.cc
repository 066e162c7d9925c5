// The extension module, nonlin._core: the one file that imports NumPy's C API.
#define NONLIN_IMPORTS_NUMPY
#include "python/module.h"

#include "python/numpy_api.h"

namespace py = pybind11;

static bool ImportNumpy() {
  import_array1(false);
  import_umath1(false);
  return true;
}

// Without a lock around it: what calls share is set at import, atomic, or behind a lock of its own.
PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  if (!ImportNumpy()) throw py::error_already_set();
  nonlin::RegisterRuntime(m);  // first: it chooses the instruction set
  nonlin::RegisterContext(m);
  nonlin::RegisterDataHandler(m);
  nonlin::RegisterElementwise(m);
  nonlin::RegisterKeywords(m);
  nonlin::RegisterRows(m);
  nonlin::RegisterLosses(m);
  nonlin::RegisterXla(m);
}
