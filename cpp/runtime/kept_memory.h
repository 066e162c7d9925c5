// Memory that is kept when it is freed, and handed out again: fresh memory costs page faults, more than most functions of
// this package.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace nonlin {

// Blocks of memory, for any thread.
class KeptMemory {
 public:
  // Of what is kept, so many bytes are ready; the others are offered to the system, which may take them.
  explicit KeptMemory(size_t limit, size_t ready_limit = SIZE_MAX) : limit_(limit), ready_limit_(ready_limit) {}
  ~KeptMemory();
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;

  // A kept block, or a new one; nullptr where there is no memory, or none is to be kept.
  void* Allocate(size_t size, bool zeroed);
  // The size of a block in use; 0 for other memory. Sizes do not tell: realloc grows NumPy's own memory too.
  size_t Capacity(void* data);
  // Keeps a block that was in use; those freed before make room for it.
  void Free(void* data);
  void GiveBack();  // all that is kept
  void Close();     // keeps nothing more
  size_t KeptBytes();

  // Whether a block may be handed out for a size: not where it would waste much.
  static bool Fits(size_t capacity, size_t size);

 private:
  struct Block {
    size_t capacity;
    uint64_t freed;  // when, counted in frees
    bool is_offered;
  };
  // By address. Blocks move between maps as nodes, so that to free one takes no memory.
  using Blocks = std::map<void*, Block>;

  static void Unmap(const Blocks& blocks);
  void* Reuse(size_t size);  // the smallest of the kept blocks that fit
  void* Map(size_t size);
  Blocks::node_type Take(Blocks::iterator block);  // of the kept ones
  void DropDownTo(size_t bytes, Blocks* dropped);
  void OfferDownTo(size_t bytes, Blocks* dropped);  // the largest first; drops what cannot be offered

  Blocks used_, kept_;
  size_t kept_bytes_ = 0, ready_bytes_ = 0, limit_;
  const size_t ready_limit_;
  uint64_t frees_ = 0;
};

// That of all results of the process. Its bound is small, or NONLIN_KEPT_BYTES in the environment.
KeptMemory& MemoryOfResults();

}  // namespace nonlin
