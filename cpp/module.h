// Registration of the kernels with NumPy, and of the runtime functions with Python.
#pragma once

#include <pybind11/pybind11.h>

namespace nonlin {

void RegisterBuffers(pybind11::module_& m);      // the data handler
void RegisterActivations(pybind11::module_& m);  // ufuncs
void RegisterFunctions(pybind11::module_& m);    // of ufuncs
void RegisterRows(pybind11::module_& m);         // generalised ufuncs
void RegisterPlain(pybind11::module_& m);
void RegisterLosses(pybind11::module_& m);
void RegisterContext(pybind11::module_& m);  // the context variable
void RegisterRuntime(pybind11::module_& m);

}  // namespace nonlin
