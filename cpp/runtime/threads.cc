// Divides the work of a call: how many threads it uses, in which chunks, and which thread takes which. The threads
// themselves belong to the team (team.h).
#include "runtime/threads.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <thread>

#include "runtime/float_status.h"
#include "runtime/system.h"
#include "runtime/team.h"

namespace nonlin {
namespace {

// The grain of parallel work. pool.cc and openmp.cc have more measured numbers.
constexpr double kChunkMicroseconds = 1;  // the least work of a chunk: claiming one costs some 20 ns
constexpr size_t kChunksPerThread = 4;    // so that a thread that is late or loses its core delays little
constexpr int kMaxTeam = 256;

int FromEnvironment(const char* name, int fallback) {
  const char* text = std::getenv(name);
  if (text == nullptr) return fallback;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);  // OMP_NUM_THREADS may continue with ",2", for nested levels
  return end != text && value >= 1 && value <= 1 << 16 ? static_cast<int>(value) : fallback;
}

// CPUs that a container's quota grants, rounded up; a large number if there is no quota.
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
  const int cpus = AvailableCpus();
  const int available =
      std::min(cpus > 0 ? cpus : static_cast<int>(std::max(1u, std::thread::hardware_concurrency())), QuotaCount());
  return std::min(
      {available, FromEnvironment("NONLIN_NUM_THREADS", available), FromEnvironment("OMP_NUM_THREADS", available)});
}

std::atomic<int> process_limit{1};
thread_local int call_limit = -1;

// A thread's own memory while it works.
class Scratch {
 public:
  // Uses `small` if it is large enough.
  explicit Scratch(size_t bytes, void* small = nullptr, size_t small_bytes = 0) : small_(small), data_(small) {
    if (bytes > small_bytes) data_ = ::operator new(bytes, kAlignment, std::nothrow);
    has_room_ = bytes == 0 || data_ != nullptr;
  }
  ~Scratch() {
    if (data_ != small_) ::operator delete(data_, kAlignment);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  bool has_room() const { return has_room_; }
  void* data() const { return data_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  void *small_, *data_;
  bool has_room_;
};

// Whether this thread's stack is large enough for a kernel, whose frame may take 17 KB. OMP_STACKSIZE, or the limit that new
// threads inherit, can make it too small.
bool HasStack() {
  constexpr size_t kLeastStack = size_t{48} << 10;
  static thread_local const bool has = StackBytes() >= kLeastStack;
  return has;
}

// Neighbouring chunks, which any thread may claim: the owner of the share takes them from the front, others from the back.
class alignas(64) Share {
 public:
  void Reset(size_t begin, size_t end) { ends_.store(begin << 32 | end, std::memory_order_relaxed); }

  bool Claim(bool own, size_t* chunk) {
    uint64_t ends = ends_.load(std::memory_order_relaxed);
    for (;;) {
      const uint64_t begin = ends >> 32, end = ends & UINT32_MAX;
      if (begin == end) return false;
      if (ends_.compare_exchange_weak(ends, own ? ends + (uint64_t{1} << 32) : ends - 1, std::memory_order_relaxed)) {
        *chunk = own ? begin : end - 1;
        return true;
      }
    }
  }

 private:
  std::atomic<uint64_t> ends_{0};
};

// The job that the team works on: one at a time in a process.
std::atomic<bool> has_job{false};
Share shares[kMaxTeam];

struct Job {
  const Work& work;
  void* scratch;  // of the caller
  size_t chunk, share_count;

  void RunAlone() const { work.run(work.context, 0, work.n, scratch); }

  void RunChunks(int place, void* memory) const {
    for (size_t i = 0; i < share_count; ++i) {
      Share& share = shares[(place + i) % share_count];
      for (size_t index; share.Claim(i == 0, &index);) {
        work.run(work.context, index * chunk, std::min((index + 1) * chunk, work.n), memory);
      }
    }
  }

  void Help(int place) const {
    if (!HasStack()) return;  // the others do its work
    const Scratch own(work.scratch_bytes);
    if (!own.has_room()) return;
    const FloatScope scope;
    RunChunks(place, own.data());
  }
};

// Divides the work among at most `threads` threads, and runs it.
void RunTogether(const Work& work, void* scratch, int threads, double microseconds) {
  const size_t units = (work.n + work.multiple - 1) / work.multiple;
  const size_t most = std::min({units, kChunksPerThread * threads, static_cast<size_t>(microseconds / kChunkMicroseconds)});
  const size_t chunk_units = (units + most - 1) / most, chunks = (units + chunk_units - 1) / chunk_units;
  Job job{work, scratch, chunk_units * work.multiple, std::min<size_t>(threads, chunks)};
  for (size_t i = 0; i < job.share_count; ++i) {
    shares[i].Reset(chunks * i / job.share_count, chunks * (i + 1) / job.share_count);
  }
  const auto alone = [](void* context) { static_cast<Job*>(context)->RunAlone(); };
  const auto together = [](void* context, int place) {
    auto* const shared = static_cast<Job*>(context);
    place == 0 ? shared->RunChunks(0, shared->scratch) : shared->Help(place);
  };
  RunTeam({static_cast<int>(job.share_count), microseconds, alone, together, &job});
}

}  // namespace

void InitThreads() {
  static const bool once = [] {
    InitTeam();
    process_limit = DefaultThreads();
    AtFork(nullptr, nullptr, [] { has_job = false; });  // the child lacks the thread whose job it was
    return true;
  }();
  (void)once;
}

int MaxThreads() { return call_limit > 0 ? call_limit : process_limit.load(std::memory_order_relaxed); }
void SetMaxThreads(int count) { process_limit = count; }

CallLimit::CallLimit(int count) : before_(call_limit) { call_limit = count; }
CallLimit::~CallLimit() { call_limit = before_; }
int CallLimit::Current() { return call_limit; }

bool RunInParallel(const Work& work) {
  if (work.n == 0) return true;
  alignas(64) char small[4096];
  const Scratch scratch(work.scratch_bytes, small, sizeof(small));
  if (!scratch.has_room()) return false;
  const double cycles = static_cast<double>(work.n) * work.cycles, microseconds = cycles / kCyclesPerMicrosecond;
  int threads = 1;
  if (cycles >= kLeastSharedCycles) {
    const double useful =
        std::min(microseconds / kThreadMicroseconds, std::ceil(static_cast<double>(work.n) / work.multiple));
    threads = static_cast<int>(std::min<double>({useful, static_cast<double>(MaxThreads()), kMaxTeam}));
  }
  // A call made while another call has the team works alone: it never waits in line.
  if (threads < 2 || has_job.exchange(true, std::memory_order_acquire)) {
    work.run(work.context, 0, work.n, scratch.data());
    return true;
  }
  RunTogether(work, scratch.data(), threads, microseconds);
  has_job.store(false, std::memory_order_release);
  return true;
}

}  // namespace nonlin
