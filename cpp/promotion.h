// Which loop a ufunc takes for inputs that match none exactly.
#pragma once

#include <Python.h>

namespace nonlin {

// Floats keep their type, Python numbers beside them do not count, booleans and integers become float64. All other types
// raise TypeError. Throws pybind11::error_already_set.
void AddPromotion(PyObject* ufunc, int operands);

}  // namespace nonlin
