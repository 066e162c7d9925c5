#define NONLIN_IMPORTS_NUMPY
#include "module.h"

#include "numpy_api.h"

namespace py = pybind11;

static bool ImportNumpy() {
  import_array1(false);
  import_umath1(false);
  return true;
}

PYBIND11_MODULE(_core, m) {
  if (!ImportNumpy()) throw py::error_already_set();
  nonlin::RegisterRuntime(m);  // first: it chooses the instruction set
  nonlin::RegisterContext(m);
  nonlin::RegisterBuffers(m);
  nonlin::RegisterActivations(m);
  nonlin::RegisterFunctions(m);
  nonlin::RegisterRows(m);
  nonlin::RegisterPlain(m);
  nonlin::RegisterLosses(m);
}
