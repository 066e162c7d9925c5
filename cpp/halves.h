// 16-bit floats: functions of one by table, and their place among NumPy's types.
#pragma once

#include <atomic>
#include <cstddef>
#include <new>
#include <numeric>
#include <vector>

#include "kernels.h"
#include "numpy_api.h"

namespace nonlin {

// All results of a function of one 16-bit number, by its bits.
class ResultTable {
 public:
  static constexpr size_t kSize = 1 << 16;

  // The table, made when more results were asked for than it holds; nullptr before. For any thread. compute(numbers) puts
  // results in the place of kSize numbers.
  template <class Compute>
  const uint16_t* Get(size_t n, Compute&& compute) {
    const uint16_t* table = table_.load(std::memory_order_acquire);
    if (table != nullptr || asked_.fetch_add(n, std::memory_order_relaxed) + n <= kSize) return table;
    auto* const made = new (std::nothrow) uint16_t[kSize];
    if (made == nullptr) return nullptr;
    std::iota(made, made + kSize, uint16_t{0});
    compute(made);
    // Without a lock, which a fork might find held. A table lives for ever, as ufuncs do.
    if (table_.compare_exchange_strong(table, made, std::memory_order_acq_rel)) return made;
    delete[] made;
    return table;
  }

 private:
  std::atomic<const uint16_t*> table_{nullptr};
  std::atomic<size_t> asked_{0};
};

// The number of ml_dtypes.bfloat16 among NumPy's types, or -1 where ml_dtypes is not installed.
int BFloat16Number();

// NumPy's number of a type, and the type of a number: -1 where there is none.
int NumberOfType(int dtype);
int TypeOfNumber(int number);

// Adds a ufunc's last loop, which NumPy takes apart from those of its own types, where ml_dtypes is installed.
void AddBFloat16Loop(PyObject* ufunc, PyUFuncGenericFunction loop, const std::vector<int>& types, void* data);

}  // namespace nonlin
