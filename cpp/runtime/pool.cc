// A team of workers that belong to the process. A worker that comes in time joins a job; the caller does the work of one
// that does not. The caller never waits for a worker that has not begun: between two products of a BLAS library, whose own
// threads hold the cores, that takes the scheduler 4 to 8 ms, for 30 us of work.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#include "hwy/cache_control.h"
#include "runtime/system.h"
#include "runtime/team.h"

namespace nonlin {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// How long a worker spins after a job. The next product of a BLAS library, on as many threads as there are cores, is delayed
// by all of it.
constexpr microseconds kSpin{10};
// Estimated work from which it pays to wake workers: waking costs the caller 9 to 30 us, and a worker begins 30 us later. In
// a streak of calls, with gaps below kSpin, the work of the whole streak counts, as workers then stay awake. A lone call
// gains from 60 us on, after 8 ms of idleness from 150 us on; but once two cores have read the result of a product, the next
// product takes 20 to 100 us longer to overwrite it.
constexpr double kStreakMicroseconds = 50, kLoneMicroseconds = 150;
// A worker that has begun may lose its core to another process, for milliseconds. Calls are then serial for a multiple of
// the time lost, and for a larger multiple if it happens again soon.
constexpr int kMinRest = 2, kMaxRest = 16;
constexpr milliseconds kSoon{50}, kLongestRest{100};
constexpr microseconds kPatience{20};
constexpr milliseconds kBetweenMoves{1};
constexpr std::chrono::seconds kBetweenTries{1};  // to create a thread, after the system refused

// Keeps a worker off the caller's CPU, where the system tends to wake it: there it could only take turns with the caller,
// and nothing moves it while it spins.
class Placement {
 public:
  Placement() { RunAnywhere(); }  // the creating thread may be pinned

  void Avoid(int cpu) {
    if (cpu < 0 || cpu == avoided_ || CurrentCpu() != cpu) return;
    const Clock::time_point now = Clock::now();
    if (now - moved_ < kBetweenMoves || !RunAnywhereBut(cpu)) return;
    avoided_ = cpu;
    moved_ = now;
  }

 private:
  int avoided_ = -1;
  Clock::time_point moved_{};
};

class Pool {
 public:
  void Run(const TeamJob& job);

 private:
  bool Pays(const TeamJob& job, Clock::time_point now);
  void Offer(const TeamJob& job);
  void AwaitHelpers(int helpers, Clock::time_point start);
  void Hire(int workers, Clock::time_point now);
  void Work(int place);
  uint32_t AwaitRound(uint32_t seen, Placement& placement);

  // What workers read and write.
  alignas(64) std::atomic<uint32_t> round_{0};  // number of offers
  std::atomic<int> caller_cpu_{-1};
  alignas(64) std::atomic<int> places_{0};  // free in the job on offer; a worker that takes one may read job_
  const TeamJob* job_ = nullptr;
  alignas(64) std::atomic<int> done_{0};  // workers that have left the job
  std::mutex mutex_;
  std::condition_variable offered_;
  std::atomic<int> asleep_{0};

  // What only the caller uses.
  alignas(64) int workers_ = 0;
  double streak_ = 0;  // microseconds of work in calls that follow each other closely
  bool wakes_ = false;
  int rest_ = kMinRest;
  Clock::time_point ended_{}, rest_until_{}, hire_from_{};
};

void Pool::Run(const TeamJob& job) {
  const Clock::time_point start = Clock::now();
  if (Pays(job, start)) {
    Offer(job);
    job.together(job.context, 0);
    // A worker without a place by now does not get one.
    AwaitHelpers(job.threads - 1 - places_.exchange(0, std::memory_order_acq_rel), start);
  } else {
    job.alone(job.context);
  }
  ended_ = Clock::now();
}

// Whether to share the job: a worker is awake, or it pays to wake one.
bool Pool::Pays(const TeamJob& job, Clock::time_point now) {
  const bool is_lone = now - ended_ >= kSpin;
  streak_ = is_lone ? job.microseconds : streak_ + job.microseconds;
  if (now < rest_until_) return false;
  const int wanted = job.threads - 1, awake = workers_ - asleep_.load();
  wakes_ = awake < wanted && streak_ >= (is_lone ? kLoneMicroseconds : kStreakMicroseconds);
  if (wakes_ && workers_ < wanted) Hire(wanted, now);
  return wakes_ ? workers_ > 0 : awake > 0;
}

void Pool::Offer(const TeamJob& job) {
  job_ = &job;
  done_.store(0, std::memory_order_relaxed);
  caller_cpu_.store(CurrentCpu(), std::memory_order_relaxed);
  places_.store(job.threads - 1, std::memory_order_release);
  round_.fetch_add(1);
  if (!wakes_ || asleep_.load() == 0) return;
  std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!lock) return;  // a worker is about to sleep, and may have lost its core: next time
  asleep_ = 0;        // here, not in the workers: until they run, they would be woken again
  lock.unlock();
  offered_.notify_all();
}

void Pool::AwaitHelpers(int helpers, Clock::time_point start) {
  if (done_.load(std::memory_order_acquire) >= helpers) return;
  const Clock::time_point own = Clock::now();
  Clock::time_point now = own;
  while (done_.load(std::memory_order_acquire) < helpers) {
    for (int i = 0; i < 16 && done_.load(std::memory_order_relaxed) < helpers; ++i) hwy::Pause();
    now = Clock::now();
    if (now - own > kPatience) std::this_thread::yield();  // the helper may be on this core
  }
  const Clock::duration lost = now - own - std::max<Clock::duration>(kPatience, own - start);
  if (lost <= Clock::duration::zero()) return;
  rest_ = now - rest_until_ < kSoon ? std::min(2 * rest_, kMaxRest) : kMinRest;
  rest_until_ = now + std::min<Clock::duration>(rest_ * lost, kLongestRest);
}

void Pool::Hire(int workers, Clock::time_point now) {
  if (now < hire_from_) return;
  try {
    for (; workers_ < workers; ++workers_) StartThread([this, place = workers_ + 1] { Work(place); });
  } catch (const std::exception&) {  // fewer will do
    hire_from_ = now + kBetweenTries;
  }
}

void Pool::Work(int place) {
  Placement placement;
  for (uint32_t seen = round_.load() - 1;;) {
    seen = AwaitRound(seen, placement);
    placement.Avoid(caller_cpu_.load(std::memory_order_relaxed));
    int places = places_.load(std::memory_order_relaxed);
    while (places > 0 && !places_.compare_exchange_weak(places, places - 1, std::memory_order_acquire)) {
    }
    if (places <= 0) continue;
    job_->together(job_->context, place);
    done_.fetch_add(1, std::memory_order_release);
  }
}

// Waits for a round after `seen`, and returns it.
uint32_t Pool::AwaitRound(uint32_t seen, Placement& placement) {
  const Clock::time_point start = Clock::now();
  for (;;) {
    // Only pauses, no yields: if a worker and a BLAS thread on one core yield to each other, one of them starves.
    for (int i = 0; i < 16; ++i) {
      const uint32_t round = round_.load(std::memory_order_acquire);
      if (round != seen) return round;
      hwy::Pause();
    }
    placement.Avoid(caller_cpu_.load(std::memory_order_relaxed));
    if (Clock::now() - start < kSpin) continue;
    std::unique_lock<std::mutex> lock(mutex_);
    ++asleep_;
    offered_.wait(lock, [&] { return round_.load() != seen; });
  }
}

std::atomic<Pool*> pool{nullptr};  // made when needed, never destroyed: workers may read it at any time

}  // namespace

void RunTeam(const TeamJob& job) {
  if (pool.load(std::memory_order_relaxed) == nullptr) pool = new (std::nothrow) Pool;
  Pool* const team = pool.load(std::memory_order_relaxed);
  team == nullptr ? job.alone(job.context) : team->Run(job);
}

void InitTeam() {
  InitCpus();
  AtFork(nullptr, nullptr, [] { pool = nullptr; });  // the child does not have its threads
}

int AvailableCpus() { return CpuCount(); }
const char* TeamLibrary() { return "pool"; }

}  // namespace nonlin
