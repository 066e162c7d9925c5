// Registration of the kernels with NumPy, and of the runtime functions with Python.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <new>
#include <vector>

namespace nonlin {

// What a C function returns: a new reference, or null with a Python error in the place of an exception of C++.
template <class F>
PyObject* Guarded(const F& f) {
  try {
    return f().release().ptr();
  } catch (pybind11::error_already_set& error) {
    error.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

void RegisterRuntime(pybind11::module_& m);
void RegisterContext(pybind11::module_& m);  // the context variable
void RegisterDataHandler(pybind11::module_& m);
void RegisterElementwise(pybind11::module_& m);  // ufuncs
// The ufunc of a row's operands; parameters have the defaults that stand in arrays for each type, by input.
pybind11::object NewUfuncOfDefaults(int row, bool backward, const std::vector<PyObject*>* defaults);
void RegisterKeywords(pybind11::module_& m);  // functions of these ufuncs
void RegisterRows(pybind11::module_& m);      // generalised ufuncs
void RegisterLosses(pybind11::module_& m);
void RegisterXla(pybind11::module_& m);  // behind the others: the handler of JAX's compiler

}  // namespace nonlin
