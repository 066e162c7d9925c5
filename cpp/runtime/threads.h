// How many threads a call may use, and how its work is divided among them. The threads themselves belong to team.h.
#pragma once

#include <cstddef>

namespace nonlin {

// Work of fewer cycles, of about 1/3 ns, is done by one thread.
constexpr double kCyclesPerMicrosecond = 3000;
constexpr double kThreadMicroseconds = 2;  // of work for each further thread
constexpr double kLeastSharedCycles = 2 * kThreadMicroseconds * kCyclesPerMicrosecond;

void InitThreads();             // at import: reads the environment and the CPUs granted, before anyone pins threads
int MaxThreads();               // how many threads a call of this thread may use
void SetMaxThreads(int count);  // of the process; count >= 1

// While it lives, calls of this thread use at most `count` threads; 0 stands for the limit of the process.
class CallLimit {
 public:
  explicit CallLimit(int count);
  ~CallLimit();
  CallLimit(const CallLimit&) = delete;
  CallLimit& operator=(const CallLimit&) = delete;
  static int Current();  // of the innermost limit, or -1 if there is none

 private:
  int before_;
};

// Work on ranges that together cover [0, n) and begin at multiples of `multiple`.
struct Work {
  size_t n, multiple;
  double cycles;                                                        // estimated cost of an item
  size_t scratch_bytes;                                                 // for each thread
  void (*run)(void* context, size_t begin, size_t end, void* scratch);  // must not throw
  void* context;
};

// Does the work on as many threads as its cost justifies. Returns false, with nothing done, if there is no memory.
bool RunInParallel(const Work& work);

// Calls f(begin, end, scratch) on ranges, where `scratch` is the thread's own memory of `scratch_bytes`, aligned to 64.
template <class F>
bool ParallelForWithScratch(size_t n, size_t multiple, double cycles, size_t scratch_bytes, const F& f) {
  const auto run = [](void* context, size_t begin, size_t end, void* scratch) {
    (*static_cast<const F*>(context))(begin, end, scratch);
  };
  return RunInParallel({n, multiple, cycles, scratch_bytes, run, const_cast<F*>(&f)});
}

// Calls f(begin, end) on ranges.
template <class F>
void ParallelFor(size_t n, size_t multiple, double cycles, const F& f) {
  const auto run = [](void* context, size_t begin, size_t end, void*) { (*static_cast<const F*>(context))(begin, end); };
  RunInParallel({n, multiple, cycles, 0, run, const_cast<F*>(&f)});
}

}  // namespace nonlin
