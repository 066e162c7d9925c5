// Maps and unmaps memory for large arrays, and finds a kept block that fits. NumPy calls it from any thread.
#include "runtime/kept_memory.h"

#include <cstring>
#include <mutex>
#include <new>

#include "runtime/system.h"

namespace nonlin {
namespace {

constexpr size_t kSmallestPage = 4096, kLargestPage = 65536;
constexpr size_t kHugePagesFrom = 4 << 20;  // as NumPy does
constexpr size_t kMaxWaste = 8;             // a block may be larger than what it is handed out for by 1 / 8

// One for all. Never destroyed: arrays may outlive static objects. A fork waits for it, so that the child gets it
// free.
std::mutex& Mutex() {
  static std::mutex& mutex = *[] {
    AtFork([] { Mutex().lock(); }, [] { Mutex().unlock(); }, [] { Mutex().unlock(); });
    return new std::mutex;
  }();
  return mutex;
}
using Lock = std::lock_guard<std::mutex>;

}  // namespace

KeptMemory::~KeptMemory() { Unmap(kept_); }

void KeptMemory::Unmap(const Blocks& blocks) {
  for (const auto& [data, block] : blocks) UnmapMemory(data, block.capacity);
}

bool KeptMemory::Fits(size_t capacity, size_t size) { return size <= capacity && capacity - size <= size / kMaxWaste; }

void* KeptMemory::Allocate(size_t size, bool zeroed) {
  if (void* const data = Reuse(size)) return zeroed ? std::memset(data, 0, size) : data;
  return Map(size);
}

size_t KeptMemory::Capacity(void* data) {
  if (reinterpret_cast<uintptr_t>(data) % kSmallestPage != 0) return 0;
  const Lock lock(Mutex());
  const auto found = used_.find(data);
  return found == used_.end() ? 0 : found->second.capacity;
}

void KeptMemory::Free(void* data) {
  Blocks dropped;
  {
    const Lock lock(Mutex());
    auto node = used_.extract(data);
    Block& block = node.mapped();
    if (block.capacity > limit_) {
      dropped.insert(std::move(node));
    } else {
      DropDownTo(limit_ - block.capacity, &dropped);
      block.freed = ++frees_;
      kept_bytes_ += block.capacity;
      kept_.insert(std::move(node));
    }
  }
  Unmap(dropped);
}

void KeptMemory::Close() {
  Blocks dropped;
  {
    const Lock lock(Mutex());
    limit_ = 0;
    DropDownTo(0, &dropped);
  }
  Unmap(dropped);
}

size_t KeptMemory::KeptBytes() {
  const Lock lock(Mutex());
  return kept_bytes_;
}

void* KeptMemory::Reuse(size_t size) {
  const Lock lock(Mutex());
  auto best = kept_.end();
  for (auto it = kept_.begin(); it != kept_.end(); ++it) {
    if (Fits(it->second.capacity, size) && (best == kept_.end() || it->second.capacity < best->second.capacity)) best = it;
  }
  if (best == kept_.end()) return nullptr;
  kept_bytes_ -= best->second.capacity;
  return used_.insert(kept_.extract(best)).position->first;
}

void* KeptMemory::Map(size_t size) {
  const size_t capacity = (size + kLargestPage - 1) / kLargestPage * kLargestPage;
  const Lock lock(Mutex());
  if (limit_ == 0 || capacity < size) return nullptr;
  void* const data = MapMemory(capacity);
  if (data == nullptr) return nullptr;
  try {
    used_.insert({data, {capacity, 0}});
  } catch (const std::bad_alloc&) {
    UnmapMemory(data, capacity);
    return nullptr;
  }
  if (capacity >= kHugePagesFrom) PreferHugePages(data, capacity);
  return data;
}

void KeptMemory::DropDownTo(size_t bytes, Blocks* dropped) {
  while (kept_bytes_ > bytes) {
    auto oldest = kept_.begin();
    for (auto it = kept_.begin(); it != kept_.end(); ++it) {
      if (it->second.freed < oldest->second.freed) oldest = it;
    }
    kept_bytes_ -= oldest->second.capacity;
    dropped->insert(kept_.extract(oldest));
  }
}

}  // namespace nonlin
