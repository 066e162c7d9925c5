// The memory of results.
#pragma once

#include <cstddef>

#include "runtime/kept_memory.h"

namespace nonlin {

// Bytes of a result from which malloc gives memory back to the system, and gets it anew, where a loop has another array of
// that size: 3.7 times the price.
constexpr size_t kMinResult = size_t{1} << 18;

// While it lives, large arrays that NumPy makes for this thread get memory of results freed before, unless the caller has
// set a data handler. It does nothing, in no time, where an array of so many items would be too small in any type.
class ResultScope {
 public:
  explicit ResultScope(double items) : is_on_(items >= kMinResult / sizeof(double) && Begin()) {}
  ~ResultScope() {
    if (is_on_) End();
  }
  ResultScope(const ResultScope&) = delete;
  ResultScope& operator=(const ResultScope&) = delete;

 private:
  static bool Begin();
  static void End();
  const bool is_on_;
};

}  // namespace nonlin
