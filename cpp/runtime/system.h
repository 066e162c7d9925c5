// What the operating system gives: CPUs, threads, forks, memory, symbols. One of system_posix.cc (Linux, macOS and other
// Unixes) and system_windows.cc is built in; no other file knows systems apart.
#pragma once

#include <cstddef>
#include <functional>

namespace nonlin {

// ---------------------------------------------------------------- CPUs

void InitCpus();  // at import: reads the CPUs granted, before anyone pins threads
int CpuCount();   // of those granted; 0 where the system does not tell

// This thread's CPU, or -1 where the system does not tell or cannot move threads.
int CurrentCpu();
void RunAnywhere();            // lets this thread run on all CPUs granted
bool RunAnywhereBut(int cpu);  // and on all but one; false, with nothing done, where there is no other

// ---------------------------------------------------------------- threads and forks

// Runs f on a new, detached thread, which takes no signals: they are for the program's own threads. Throws std::exception
// where the system refuses.
void StartThread(const std::function<void()>& f);

size_t StackBytes();  // of this thread; a large number where every new thread's stack is large enough

// As pthread_atfork. Does nothing where there are no forks.
void AtFork(void (*before)(), void (*after_in_parent)(), void (*after_in_child)());

// ---------------------------------------------------------------- memory

void* MapMemory(size_t bytes);  // zeroed, from the start of a page; null where there is none
void UnmapMemory(void* data, size_t bytes);
void PreferHugePages(void* data, size_t bytes);
// Lets the system take whole pages whose content is no longer wanted, when it needs memory. They may be written again at any
// time. False where the system has nothing of the kind.
bool OfferMemory(void* data, size_t bytes);

// ---------------------------------------------------------------- libraries

void* LoadedFunction(const char* name);  // of any library of the process, or null

}  // namespace nonlin
