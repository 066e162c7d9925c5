// 16-bit floats in strided memory, and their place among NumPy's types.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels.h"
#include "numpy_api.h"

namespace nonlin {

constexpr size_t kHalfBlock = 512;  // what goes through a small buffer at a time

// n numbers from strided memory to contiguous floats, and back.
void WidenStrided(const HalfConversions& half, const char* from, ptrdiff_t step, float* to, size_t n);
void NarrowStrided(const HalfConversions& half, const float* from, char* to, ptrdiff_t step, size_t n);

// The number of ml_dtypes.bfloat16 among NumPy's types, or -1 where ml_dtypes is not installed.
int BFloat16Number();

constexpr int kLoops = kDTypes + kHalfTypes;  // of a ufunc: float, double, float16, bfloat16

// Adds a ufunc's last loop, which NumPy takes apart from those of its own types, where ml_dtypes is installed.
void AddBFloat16Loop(PyObject* ufunc, PyUFuncGenericFunction loop, const std::vector<int>& types, void* data);

}  // namespace nonlin
