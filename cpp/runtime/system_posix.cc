// The system's part for Linux, macOS and other Unixes.
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include <cstdint>
#include <thread>

#include "runtime/system.h"

#ifdef __linux__
#include <sched.h>
#endif

namespace nonlin {

#ifdef __linux__

namespace {
cpu_set_t granted;
bool has_granted = false;
}  // namespace

void InitCpus() { has_granted = sched_getaffinity(0, sizeof(granted), &granted) == 0; }
int CpuCount() { return has_granted ? CPU_COUNT(&granted) : 0; }
int CurrentCpu() { return has_granted ? sched_getcpu() : -1; }

void RunAnywhere() {
  if (has_granted) sched_setaffinity(0, sizeof(granted), &granted);
}

bool RunAnywhereBut(int cpu) {
  cpu_set_t others = granted;
  CPU_CLR(cpu, &others);
  return CPU_COUNT(&others) != 0 && sched_setaffinity(0, sizeof(others), &others) == 0;
}

size_t StackBytes() {
  pthread_attr_t attributes;
  size_t bytes = SIZE_MAX;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    pthread_attr_getstacksize(&attributes, &bytes);
    pthread_attr_destroy(&attributes);
  }
  return bytes;
}

#else  // macOS counts CPUs, but neither grants them to processes nor pins threads; its threads have stacks of 512 KB.

void InitCpus() {}
int CpuCount() { return 0; }
int CurrentCpu() { return -1; }
void RunAnywhere() {}
bool RunAnywhereBut(int) { return false; }
size_t StackBytes() { return SIZE_MAX; }

#endif

void StartThread(const std::function<void()>& f) {
  struct AllSignalsBlocked {
    AllSignalsBlocked() {
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
    sigset_t before;
  } const blocked;  // a new thread inherits this
  std::thread(f).detach();
}

void AtFork(void (*before)(), void (*after_in_parent)(), void (*after_in_child)()) {
  pthread_atfork(before, after_in_parent, after_in_child);
}

void* MapMemory(size_t bytes) {
  void* const data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return data == MAP_FAILED ? nullptr : data;
}

void UnmapMemory(void* data, size_t bytes) { munmap(data, bytes); }

void PreferHugePages([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#ifdef MADV_HUGEPAGE
  madvise(data, bytes, MADV_HUGEPAGE);
#endif
}

bool OfferMemory([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#ifdef MADV_FREE
  return madvise(data, bytes, MADV_FREE) == 0;
#else
  return false;
#endif
}

void* LoadedFunction(const char* name) { return dlsym(RTLD_DEFAULT, name); }

}  // namespace nonlin
