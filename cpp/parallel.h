// Threads. OpenMP is used in parallel.cc and nowhere else.
#pragma once

#include <cstddef>

namespace nonlin {

int MaxThreads();               // how many threads one call may use
void SetMaxThreads(int count);  // count >= 1
const char* OpenMPRuntime();    // e.g. "OpenMP 201511", or "none"

using RangeFunction = void (*)(void* context, size_t begin, size_t end);
void ParallelRanges(size_t n, size_t multiple, double cycles, RangeFunction function, void* context);

// Calls f(begin, end) on ranges that make up [0, n), on as many threads as `cycles`, the estimated cost of an item,
// make worthwhile. Ranges begin at multiples of `multiple`. f must not throw.
template <class F>
void ParallelFor(size_t n, size_t multiple, double cycles, const F& f) {
  ParallelRanges(
      n, multiple, cycles, [](void* context, size_t begin, size_t end) { (*static_cast<const F*>(context))(begin, end); },
      const_cast<F*>(&f));
}

}  // namespace nonlin
