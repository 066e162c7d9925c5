#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#ifdef _OPENMP
#include <dlfcn.h>
#include <omp.h>
#include <pthread.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

namespace nonlin {
namespace {

// A chunk below this many cycles is not worth another thread: starting a team costs 2 to 5 us, and more where another
// library's threads, such as a BLAS's, have just used the cores. Half of this made a small network train 3 times slower.
[[maybe_unused]] constexpr double kGrainCycles = 32768;

int FromEnvironment(const char* name, int fallback) {
  const char* text = std::getenv(name);
  if (text == nullptr) return fallback;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);  // OMP_NUM_THREADS may go on with ",2": levels below the first
  return end != text && value >= 1 && value <= 1 << 16 ? static_cast<int>(value) : fallback;
}

int AffinityCount() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

// CPUs that a container's quota grants, rounded up; a large number where there is no quota.
int QuotaCount() {
  double quota = -1, period = -1;
  if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {  // version 2: "max 100000" or "150000 100000"
    if (std::fscanf(file, "%lf %lf", &quota, &period) != 2) quota = -1;
    std::fclose(file);
  } else {
    const char* const paths[] = {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"};
    double* const values[] = {&quota, &period};
    for (int i = 0; i < 2; ++i) {
      if (std::FILE* part = std::fopen(paths[i], "r")) {
        if (std::fscanf(part, "%lf", values[i]) != 1) *values[i] = -1;
        std::fclose(part);
      }
    }
  }
  return quota > 0 && period > 0 ? std::max(1, static_cast<int>(std::ceil(quota / period))) : 1 << 16;
}

int DefaultThreads() {
  const int available = std::min(AffinityCount(), QuotaCount());
  return std::min(
      {available, FromEnvironment("NONLIN_NUM_THREADS", available), FromEnvironment("OMP_NUM_THREADS", available)});
}

std::atomic<int>& ThreadLimit() {
  static std::atomic<int> limit{DefaultThreads()};
  return limit;
}

#ifdef _OPENMP
// A child of fork() inherits libgomp's record of its threads but not the threads, and waits for them for ever. Ending
// the team before the fork cures it; where the runtime has no such call, the child stays serial.
std::atomic<bool> serial_after_fork{false};
using PauseFunction = int (*)(int);
PauseFunction pause_all = nullptr;

void BeforeFork() {
  constexpr int kPauseSoft = 1;  // omp_pause_soft, of OpenMP 5.0
  if (pause_all != nullptr && !omp_in_parallel() && pause_all(kPauseSoft) == 0) return;
  serial_after_fork = true;
}
void AfterForkInParent() { serial_after_fork = false; }

bool InstallForkHandlers() {
  pause_all = reinterpret_cast<PauseFunction>(dlsym(RTLD_DEFAULT, "omp_pause_resource_all"));
  return pthread_atfork(BeforeFork, AfterForkInParent, nullptr) == 0;
}
#endif

}  // namespace

int MaxThreads() { return ThreadLimit(); }
void SetMaxThreads(int count) { ThreadLimit() = count; }

const char* OpenMPRuntime() {
#ifdef _OPENMP
#define NONLIN_TEXT_OF(x) #x
#define NONLIN_TEXT(x) NONLIN_TEXT_OF(x)
  return "OpenMP " NONLIN_TEXT(_OPENMP);
#else
  return "none";
#endif
}

void ParallelRanges(size_t n, size_t multiple, double cycles, RangeFunction function, void* context) {
  if (n == 0) return;
#ifdef _OPENMP
  const double useful = std::min(n * cycles / kGrainCycles, static_cast<double>((n + multiple - 1) / multiple));
  const int threads = static_cast<int>(std::min<double>(useful, MaxThreads()));
  if (threads > 1 && !omp_in_parallel() && !serial_after_fork) {
    static const bool installed = InstallForkHandlers();
    if (installed) {
      const size_t units = (n + multiple - 1) / multiple;
#pragma omp parallel num_threads(threads)
      {
        // The team may be smaller than asked for.
        const size_t team = omp_get_num_threads(), index = omp_get_thread_num();
        const size_t begin = units * index / team * multiple;
        const size_t end = std::min(n, units * (index + 1) / team * multiple);
        if (begin < end) function(context, begin, end);
      }
      return;
    }
  }
#else
  (void)multiple, (void)cycles;
#endif
  function(context, 0, n);
}

}  // namespace nonlin
