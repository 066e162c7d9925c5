// NumPy's C API: the only file that includes it. module.cc imports it (NONLIN_IMPORTS_NUMPY), the others share its table.
#pragma once

#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL nonlin_array_api
#define PY_UFUNC_UNIQUE_SYMBOL nonlin_ufunc_api
#ifndef NONLIN_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#define NO_IMPORT_UFUNC
#endif
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>
#include <numpy/ufuncobject.h>

namespace nonlin {

inline PyArrayObject* ArrayOf(PyObject* object) { return reinterpret_cast<PyArrayObject*>(object); }

}  // namespace nonlin
