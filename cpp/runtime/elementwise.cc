// Runs elementwise kernels on whole calls: copies strided data to contiguous blocks and back, divides the elements among
// threads, and fills the tables of 16-bit functions. Loops over vectors are in simd/.
#include "runtime/elementwise.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <numeric>

#include "runtime/float_status.h"
#include "runtime/threads.h"
#include "tuning.h"

namespace nonlin {
namespace {

// Strided data goes through contiguous blocks: the same kernel gives the same bits.
template <class T>
void CopyStrided(char* to, ptrdiff_t to_step, const char* from, ptrdiff_t from_step, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; ++i) {
    T value;
    std::memcpy(&value, from + i * from_step, sizeof(T));
    std::memcpy(to + i * to_step, &value, sizeof(T));
  }
}

void CopyItems(ptrdiff_t item, char* to, ptrdiff_t to_step, const char* from, ptrdiff_t from_step, ptrdiff_t n) {
  if (item == 2) {
    CopyStrided<uint16_t>(to, to_step, from, from_step, n);
  } else if (item == 4) {
    CopyStrided<uint32_t>(to, to_step, from, from_step, n);
  } else {
    CopyStrided<uint64_t>(to, to_step, from, from_step, n);
  }
}

// Whether a kernel may work on an operand in place. A step of 0 stands for a single value.
bool IsDirect(const ElementwiseLoop& loop, bool is_input, ptrdiff_t step, ptrdiff_t n) {
  return step == loop.item || n == 1 || (step == 0 && is_input);
}

// Bytes of an operand's block, in whole cache lines.
size_t PackedBytes(const ElementwiseLoop& loop, ptrdiff_t block) { return (block * loop.item + 63) / 64 * 64; }

// Runs a kernel on elements [begin, end) of a call. Operands that are not direct go through `scratch`.
template <class Kernel>
void RunRange(const Kernel& kernel, const ElementwiseLoop& loop, char* const* args, const ptrdiff_t* steps, ptrdiff_t begin,
              ptrdiff_t end, ptrdiff_t block, void* scratch, bool stream) {
  char* packed[kMaxInputs + kMaxOutputs];
  const int nargs = loop.inputs + loop.outputs;
  for (int k = 0; k < nargs; ++k) packed[k] = static_cast<char*>(scratch) + k * PackedBytes(loop, block);
  for (ptrdiff_t i = begin; i < end; i += block) {
    const ptrdiff_t n = std::min(block, end - i);
    const void* in[kMaxInputs];
    size_t in_steps[kMaxInputs];
    void* out[kMaxOutputs] = {};
    for (int k = 0; k < nargs; ++k) {
      char* data = args[k] + i * steps[k];
      const bool direct = IsDirect(loop, k < loop.inputs, steps[k], n);
      if (k < loop.inputs) {
        in_steps[k] = steps[k] != 0 || n == 1;
        if (!direct) CopyItems(loop.item, packed[k], loop.item, data, steps[k], n);
        in[k] = direct ? data : packed[k];
      } else {
        out[k - loop.inputs] = direct ? data : packed[k];
      }
    }
    kernel(in, in_steps, out, n, stream);
    for (int k = loop.inputs; k < nargs; ++k) {
      char* data = args[k] + i * steps[k];
      if (out[k - loop.inputs] != data) CopyItems(loop.item, data, steps[k], packed[k], loop.item, n);
    }
  }
}

// Runs a call on this thread, with up to 8 elements at a time.
template <class Kernel>
void RunInSmallBlocks(const Kernel& kernel, const ElementwiseLoop& loop, char* const* args, const ptrdiff_t* steps,
                      ptrdiff_t n, ptrdiff_t block) {
  alignas(64) char packed[(kMaxInputs + kMaxOutputs) * 8 * sizeof(double)];
  RunRange(kernel, loop, args, steps, 0, n, block, packed, false);
}

// Whether an element's result is another element's input, as in np.ufunc.reduce and accumulate.
bool IsSequential(const ElementwiseLoop& loop, char* const* args, const ptrdiff_t* steps, ptrdiff_t n) {
  const auto first = [&](int k) { return args[k] + std::min<ptrdiff_t>(0, steps[k] * (n - 1)); };
  const auto last = [&](int k) { return args[k] + std::max<ptrdiff_t>(0, steps[k] * (n - 1)); };
  for (int out = loop.inputs; out < loop.inputs + loop.outputs; ++out) {
    if (steps[out] == 0) return true;
    for (int in = 0; in < loop.inputs; ++in) {
      const bool same = args[in] == args[out] && steps[in] == steps[out];
      if (!same && first(in) < last(out) + loop.item && first(out) < last(in) + loop.item) return true;
    }
  }
  return false;
}

struct Plan {
  ptrdiff_t block;  // elements per call of the kernel; 0 for all that a thread takes
  size_t scratch_bytes;
  bool stream;
};

Plan PlanElements(const ElementwiseLoop& loop, const ptrdiff_t* steps, ptrdiff_t n) {
  bool contiguous = true;
  for (int k = 0; k < loop.inputs + loop.outputs; ++k) contiguous &= IsDirect(loop, k < loop.inputs, steps[k], n);
  if (contiguous) return {0, 0, static_cast<size_t>(n * loop.item) >= kStreamBytes};
  const ptrdiff_t block = std::min(ptrdiff_t{kStridedBlock}, n);
  return {block, (loop.inputs + loop.outputs) * PackedBytes(loop, block), false};
}

// Runs a call whose elements do not depend on each other.
template <class Kernel>
void RunAll(const Kernel& kernel, const ElementwiseLoop& loop, char* const* args, const ptrdiff_t* steps, ptrdiff_t n,
            double cycles) {
  const Plan plan = PlanElements(loop, steps, n);
  const auto run = [&](size_t begin, size_t end, void* scratch) {
    const ptrdiff_t block = plan.block == 0 ? static_cast<ptrdiff_t>(end - begin) : plan.block;
    RunRange(kernel, loop, args, steps, begin, end, block, scratch, plan.stream);
  };
  const bool done = ParallelForWithScratch(n, kChunkElements, cycles, plan.scratch_bytes, run);
  if (!done) RunInSmallBlocks(kernel, loop, args, steps, n, 8);
}

}  // namespace

const uint16_t* ResultTable::Get(ElementwiseKernel kernel, size_t n) {
  constexpr size_t kSize = 1 << 16;
  const uint16_t* table = table_.load(std::memory_order_acquire);
  if (table != nullptr || asked_.fetch_add(n, std::memory_order_relaxed) + n <= kSize) return table;
  auto* const made = new (std::nothrow) uint16_t[kSize];
  if (made == nullptr) return nullptr;
  std::iota(made, made + kSize, uint16_t{0});
  const void* const in[kMaxInputs] = {made};
  void* const out[kMaxOutputs] = {made};
  const size_t steps[kMaxInputs] = {1};
  kernel(in, steps, out, kSize, false);
  // Without a lock, which a fork might find held. The table is never freed, as ufuncs are not.
  if (table_.compare_exchange_strong(table, made, std::memory_order_acq_rel)) return made;
  delete[] made;
  return table;
}

bool RunSmall(const ElementwiseLoop& loop, char* const* args, const ptrdiff_t* steps, ptrdiff_t n) {
  if (loop.table != nullptr || static_cast<double>(n) * loop.cycles >= kLeastSharedCycles) return false;
  const void* in[kMaxInputs];
  size_t in_steps[kMaxInputs];
  void* out[kMaxOutputs] = {};
  for (int k = 0; k < loop.inputs; ++k) {
    if (!IsDirect(loop, true, steps[k], n)) return false;
    in[k] = args[k];
    in_steps[k] = steps[k] != 0 || n == 1;
  }
  for (int k = 0; k < loop.outputs; ++k) {
    if (!IsDirect(loop, false, steps[loop.inputs + k], n)) return false;
    out[k] = args[loop.inputs + k];
  }
  if (n > 1 && IsSequential(loop, args, steps, n)) return false;
  const FloatScope scope;
  loop.kernel(in, in_steps, out, n, false);
  return true;
}

void RunElementwise(const ElementwiseLoop& loop, char* const* args, const ptrdiff_t* steps, ptrdiff_t n) {
  const FloatScope scope;
  if (n > 1 && IsSequential(loop, args, steps, n)) {
    RunInSmallBlocks(loop.kernel, loop, args, steps, n, 1);
  } else if (const uint16_t* table = loop.table == nullptr ? nullptr : loop.table->Get(loop.kernel, n)) {
    static const LookUpKernel kLookUp = GetLookUpKernel();
    const auto look_up = [=](const void* const* in, const size_t* in_steps, void* const* out, size_t count, bool stream) {
      const auto* from = static_cast<const uint16_t*>(in[0]);
      auto* to = static_cast<uint16_t*>(out[0]);
      if (in_steps[0] == 0) return static_cast<void>(std::fill_n(to, count, table[*from]));
      kLookUp(table, from, to, count, stream);
    };
    RunAll(look_up, loop, args, steps, n, kLookUpCycles);
  } else {
    RunAll(loop.kernel, loop, args, steps, n, loop.cycles);
  }
}

}  // namespace nonlin
