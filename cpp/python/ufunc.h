// The type of nonlin's ufuncs: NumPy's, whose arguments also go by their names, and whose casts do not warn.
#pragma once

#include "kernels.h"
#include "python/numpy_api.h"

namespace nonlin {

// Gives a new ufunc of NumPy this type. Without names it takes its arguments by position alone.
void AdoptUfunc(PyObject* ufunc, const InputList& names);

// Sets the error of a promoter and returns -1. Calls replace it by one that names the argument and its dtype, which
// promoters do not see.
int RefuseDTypes(PyObject* ufunc, PyArray_DTypeMeta* const* given);

}  // namespace nonlin
