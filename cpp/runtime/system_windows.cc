// The system's part for Windows.
#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <cstdint>
#include <thread>

#include "runtime/system.h"

namespace nonlin {
namespace {
int cpu_count = 0;
}

// Windows keeps a thread on its CPU or moves it as it sees fit; only the count matters here.
void InitCpus() {
  DWORD_PTR process = 0, system = 0;
  if (!GetProcessAffinityMask(GetCurrentProcess(), &process, &system)) return;
  for (cpu_count = 0; process != 0; process &= process - 1) ++cpu_count;  // 0 with more than 64 CPUs
}
int CpuCount() { return cpu_count; }
int CurrentCpu() { return -1; }
void RunAnywhere() {}
bool RunAnywhereBut(int) { return false; }

void StartThread(const std::function<void()>& f) { std::thread(f).detach(); }
size_t StackBytes() { return SIZE_MAX; }
void AtFork(void (*)(), void (*)(), void (*)()) {}

void* MapMemory(size_t bytes) { return VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }
void UnmapMemory(void* data, size_t) { VirtualFree(data, 0, MEM_RELEASE); }
void PreferHugePages(void*, size_t) {}
bool OfferMemory(void* data, size_t bytes) { return VirtualAlloc(data, bytes, MEM_RESET, PAGE_READWRITE) != nullptr; }

// Asked for only to prepare for forks.
void* LoadedFunction(const char*) { return nullptr; }

}  // namespace nonlin
