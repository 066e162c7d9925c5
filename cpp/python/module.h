// Registration of the kernels with NumPy, and of the runtime functions with Python.
#pragma once

#include <pybind11/pybind11.h>

namespace nonlin {

void RegisterRuntime(pybind11::module_& m);
void RegisterContext(pybind11::module_& m);  // the context variable
void RegisterDataHandler(pybind11::module_& m);
void RegisterElementwise(pybind11::module_& m);  // ufuncs
void RegisterKeywords(pybind11::module_& m);     // functions of these ufuncs
void RegisterRows(pybind11::module_& m);         // generalised ufuncs
void RegisterLosses(pybind11::module_& m);

}  // namespace nonlin
