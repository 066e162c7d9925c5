// Maps and unmaps memory for large arrays, and finds a kept block that fits. NumPy calls it from any thread.
#include "runtime/kept_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "runtime/system.h"

namespace nonlin {
namespace {

constexpr size_t kSmallestPage = 4096, kLargestPage = 65536;
constexpr size_t kHugePagesFrom = 4 << 20;  // as NumPy does
constexpr size_t kMaxWaste = 8;             // a block may be larger than what it is handed out for by 1 / 8, or a page
// Of results. To offer 64 MB and use them again takes 40 us in huge pages, but 12 ms in small ones, a tenth of what fresh
// ones take. Without a part that is ready, results of 1 to 3 MB take 1.3 to 2.2 times as long.
constexpr size_t kKeptBytes = size_t{1} << 28, kReadyBytes = size_t{1} << 25;

// One for all. Never destroyed: arrays may outlive static objects. A fork waits for it, so that the child gets it
// free. What both processes kept, they would have to copy before they write to it.
std::mutex& Mutex() {
  static std::mutex& mutex = *[] {
    const auto prepare = [] {
      MemoryOfResults().GiveBack();
      Mutex().lock();
    };
    AtFork(prepare, [] { Mutex().unlock(); }, [] { Mutex().unlock(); });
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

bool KeptMemory::Fits(size_t capacity, size_t size) {
  return size <= capacity && capacity - size <= std::max(size / kMaxWaste, kLargestPage);
}

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
      ready_bytes_ += block.capacity;
      kept_.insert(std::move(node));
      OfferDownTo(ready_limit_, &dropped);
    }
  }
  Unmap(dropped);
}

void KeptMemory::GiveBack() {
  Blocks dropped;
  {
    const Lock lock(Mutex());
    DropDownTo(0, &dropped);
  }
  Unmap(dropped);
}

void KeptMemory::Close() {
  {
    const Lock lock(Mutex());
    limit_ = 0;
  }
  GiveBack();
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
  return used_.insert(Take(best)).position->first;
}

KeptMemory::Blocks::node_type KeptMemory::Take(Blocks::iterator block) {
  auto node = kept_.extract(block);
  kept_bytes_ -= node.mapped().capacity;
  if (!node.mapped().is_offered) ready_bytes_ -= node.mapped().capacity;
  node.mapped().is_offered = false;
  return node;
}

void* KeptMemory::Map(size_t size) {
  const size_t capacity = (size + kLargestPage - 1) / kLargestPage * kLargestPage;
  const Lock lock(Mutex());
  if (limit_ == 0 || capacity < size) return nullptr;
  void* data = MapMemory(capacity);
  if (data == nullptr && kept_bytes_ > 0) {
    Blocks dropped;
    DropDownTo(0, &dropped);
    Unmap(dropped);
    data = MapMemory(capacity);
  }
  if (data == nullptr) return nullptr;
  try {
    used_.insert({data, {capacity, 0, false}});
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
    dropped->insert(Take(oldest));
  }
}

void KeptMemory::OfferDownTo(size_t bytes, Blocks* dropped) {
  while (ready_bytes_ > bytes) {
    auto largest = kept_.end();
    for (auto it = kept_.begin(); it != kept_.end(); ++it) {
      if (it->second.is_offered || (largest != kept_.end() && it->second.capacity <= largest->second.capacity)) continue;
      largest = it;
    }
    Block& block = largest->second;
    if (OfferMemory(largest->first, block.capacity)) {
      block.is_offered = true;
      ready_bytes_ -= block.capacity;
    } else {
      dropped->insert(Take(largest));
    }
  }
}

KeptMemory& MemoryOfResults() {
  static KeptMemory& memory = *[] {
    const char* const text = std::getenv("NONLIN_KEPT_BYTES");
    char* end = nullptr;
    const auto limit = static_cast<size_t>(text == nullptr ? 0 : std::strtoull(text, &end, 10));
    return new KeptMemory(end == text ? kKeptBytes : limit, kReadyBytes);
  }();
  return memory;
}

}  // namespace nonlin
