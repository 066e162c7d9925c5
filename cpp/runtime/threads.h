// Threads: how many a call may use, and the division of its work among them.
#pragma once

#include <cstddef>

namespace nonlin {

void InitThreads();             // at import: reads the environment, and what the kernel grants, before anyone pins threads
int MaxThreads();               // how many threads a call of this thread may use
void SetMaxThreads(int count);  // of the process; count >= 1

// While it lives, calls of this thread use at most `count` threads; 0 stands for those of the process.
class CallLimit {
 public:
  explicit CallLimit(int count);
  ~CallLimit();
  CallLimit(const CallLimit&) = delete;
  CallLimit& operator=(const CallLimit&) = delete;
  static int Current();  // of the innermost, or -1 where there is none

 private:
  int before_;
};

// Work on the ranges that make up [0, n), which begin at multiples of `multiple`.
struct Work {
  size_t n, multiple;
  double cycles;                                                        // estimated cost of an item
  size_t scratch_bytes;                                                 // that each thread needs
  void (*run)(void* context, size_t begin, size_t end, void* scratch);  // must not throw
  void* context;
};

// Does the work, on as many threads as its cost makes worthwhile. False where there is no memory, and nothing was done.
bool RunInParallel(const Work& work);

// f(begin, end, scratch), with so many bytes aligned to 64 that are the thread's own.
template <class F>
bool ParallelForWithScratch(size_t n, size_t multiple, double cycles, size_t scratch_bytes, const F& f) {
  const auto run = [](void* context, size_t begin, size_t end, void* scratch) {
    (*static_cast<const F*>(context))(begin, end, scratch);
  };
  return RunInParallel({n, multiple, cycles, scratch_bytes, run, const_cast<F*>(&f)});
}

// f(begin, end)
template <class F>
void ParallelFor(size_t n, size_t multiple, double cycles, const F& f) {
  const auto run = [](void* context, size_t begin, size_t end, void*) { (*static_cast<const F*>(context))(begin, end); };
  RunInParallel({n, multiple, cycles, 0, run, const_cast<F*>(&f)});
}

}  // namespace nonlin
