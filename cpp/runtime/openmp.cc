// A team of OpenMP's threads. They should wait passively (OMP_WAIT_POLICY, which python/nonlin/_startup.py sets): otherwise
// a call between two products of a BLAS library waits 4 to 8 ms for the scheduler.
#include <omp.h>

#include <atomic>

#include "runtime/system.h"
#include "runtime/team.h"

namespace nonlin {
namespace {

constexpr double kLeastMicroseconds = 80;  // of work for which waking a team pays, in a burst of calls too

// A child of fork() inherits libgomp's record of its threads but not the threads, and would wait for them forever. So the
// team is ended before a fork; if the runtime has no such call, or a team is at work, the child stays serial.
std::atomic<bool> is_working{false}, serial_after_fork{false};
using PauseFunction = int (*)(int);
PauseFunction pause_all = nullptr;

void BeforeFork() {
  constexpr int kPauseSoft = 1;  // omp_pause_soft, of OpenMP 5.0
  if (pause_all != nullptr && !is_working && !omp_in_parallel() && pause_all(kPauseSoft) == 0) return;
  serial_after_fork = true;
}
void AfterForkInParent() { serial_after_fork = false; }

}  // namespace

void RunTeam(const TeamJob& job) {
  if (job.microseconds < kLeastMicroseconds || omp_in_parallel() || serial_after_fork) return job.alone(job.context);
  is_working = true;
#pragma omp parallel num_threads(job.threads)
  job.together(job.context, omp_get_thread_num());
  is_working = false;
}

void InitTeam() {
  pause_all = reinterpret_cast<PauseFunction>(LoadedFunction("omp_pause_resource_all"));
  AtFork(BeforeFork, AfterForkInParent, nullptr);
}

// The runtime counts, as it read the affinity before it pinned this thread.
int AvailableCpus() { return omp_get_num_procs(); }

const char* TeamLibrary() {
#define NONLIN_TEXT_OF(x) #x
#define NONLIN_TEXT(x) NONLIN_TEXT_OF(x)
  return "OpenMP " NONLIN_TEXT(_OPENMP);
}

}  // namespace nonlin
