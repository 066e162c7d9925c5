#include "halves.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstring>

namespace py = pybind11;

namespace nonlin {
namespace {

constexpr ptrdiff_t kItem = sizeof(uint16_t);

}  // namespace

void LookUpStrided(const uint16_t* table, const char* from, ptrdiff_t from_step, char* to, ptrdiff_t to_step, size_t n) {
  size_t i = 0;
  if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && from_step == kItem && to_step == kItem) {
    // Two loads of arguments and one store for eight results, which are put together in a register: 1.6 times as fast as one
    // by one or with gather instructions. Arguments from main memory arrive late without a prefetch: another 1.2 times.
    constexpr ptrdiff_t kAhead = 2048;
    using Results = uint16_t __attribute__((vector_size(16)));
    for (; i + 8 <= n; i += 8) {
      __builtin_prefetch(from + i * kItem + kAhead);
      uint64_t low, high;
      std::memcpy(&low, from + i * kItem, sizeof(low));
      std::memcpy(&high, from + i * kItem + sizeof(low), sizeof(high));
      Results results{};
      for (int k = 0; k < 4; ++k) results[k] = table[low >> 16 * k & 0xFFFF];
      for (int k = 0; k < 4; ++k) results[4 + k] = table[high >> 16 * k & 0xFFFF];
      std::memcpy(to + i * kItem, &results, sizeof(results));
    }
  }
  for (; i < n; ++i) {
    uint16_t bits;
    std::memcpy(&bits, from + static_cast<ptrdiff_t>(i) * from_step, kItem);
    std::memcpy(to + static_cast<ptrdiff_t>(i) * to_step, &table[bits], kItem);
  }
}

int BFloat16Number() {
  static const int kNumber = [] {
    try {
      return py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16")).num();
    } catch (const py::error_already_set& error) {
      if (!error.matches(PyExc_ImportError)) throw;
      return -1;
    }
  }();
  return kNumber;
}

void AddBFloat16Loop(PyObject* ufunc, PyUFuncGenericFunction loop, const std::vector<int>& types, void* data) {
  if (BFloat16Number() < 0) return;
  auto* object = reinterpret_cast<PyUFuncObject*>(ufunc);
  if (PyUFunc_RegisterLoopForType(object, BFloat16Number(), loop, types.data(), data) < 0) throw py::error_already_set();
}

}  // namespace nonlin
