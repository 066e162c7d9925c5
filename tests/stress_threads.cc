// Callers from many threads, jobs of all sizes, forks in between: for the thread sanitizer (make tsan).
#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "runtime/threads.h"

namespace {

constexpr int kCallers = 6, kThreads = 4;

// Whether every item is visited once, by jobs of random sizes, with scratch memory and nested jobs.
bool Check(unsigned seed, int jobs) {
  std::minstd_rand random(seed);
  std::vector<uint32_t> items(20000);
  for (int job = 0; job < jobs; ++job) {
    const size_t n = random() % items.size() + 1, multiple = 1 + random() % 64;
    const double cycles = 1 << random() % 12;
    const size_t bytes = random() % 3 * 5000;
    std::fill(items.begin(), items.end(), 0);
    std::atomic<size_t> nested{0};
    const bool done =
        nonlin::ParallelForWithScratch(n, multiple, cycles, bytes, [&](size_t begin, size_t end, void* scratch) {
          auto* const own = static_cast<char*>(scratch);
          for (size_t i = 0; i < bytes; ++i) own[i] = static_cast<char>(begin);
          for (size_t i = begin; i < end; ++i) ++items[i];
          nonlin::ParallelFor(10, 1, 1e6, [&](size_t first, size_t last) { nested += last - first; });
          for (size_t i = 0; i < bytes; ++i) {
            if (own[i] != static_cast<char>(begin)) std::abort();
          }
        });
    if (!done || nested % 10 != 0) return false;
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i] != (i < n)) return false;
    }
  }
  return true;
}

// How many forked processes fail to compute.
int WrongInChildren() {
  int wrong = 0;
#ifndef _WIN32
  for (int generation = 0; generation < 3; ++generation) {
    const pid_t child = fork();
    if (child == 0) _exit(Check(generation + 1, 100) ? 0 : 1);
    int status = 0;
    waitpid(child, &status, 0);
    wrong += status != 0;
  }
#endif
  return wrong;
}

}  // namespace

int main(int count, char** arguments) {
  const int jobs = count > 1 ? std::atoi(arguments[1]) : 2000;
  nonlin::InitThreads();
  nonlin::SetMaxThreads(kThreads);
  std::atomic<int> wrong{0};
  for (int callers : {1, kCallers}) {  // alone, so that every job has its team, and in each other's way
    std::vector<std::thread> threads;
    for (int i = 0; i < callers; ++i) threads.emplace_back([&, i] { wrong += !Check(i + 1, jobs); });
    for (std::thread& thread : threads) thread.join();
  }
  wrong += WrongInChildren();
  std::puts(wrong == 0 ? "passed" : "wrong");
  return wrong == 0 ? 0 : 1;
}
