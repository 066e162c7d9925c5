// A data handler of NumPy (NEP 49) that keeps the memory of large freed arrays and hands it out again: fresh memory costs
// page faults, more than most functions of this package.
#include <pthread.h>
#include <pybind11/pybind11.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>

#include "python/dtypes.h"
#include "python/module.h"
#include "python/numpy_api.h"

namespace py = pybind11;

namespace nonlin {
namespace {

constexpr char kCapsuleName[] = "mem_handler";  // NumPy insists on it
constexpr size_t kSmallestPage = 4096, kLargestPage = 65536;
constexpr size_t kMinSize = 1 << 20;        // what is smaller comes from NumPy's own handler: malloc reuses it well
constexpr size_t kHugePagesFrom = 4 << 20;  // as NumPy does
constexpr size_t kMaxWaste = 8;             // a block may be larger than what it is handed out for by 1 / 8

// One for all pools. Never destroyed: arrays may outlive static objects. A fork waits for it, so that the child gets it
// free.
std::mutex& Mutex() {
  static std::mutex& mutex = *[] {
    pthread_atfork([] { Mutex().lock(); }, [] { Mutex().unlock(); }, [] { Mutex().unlock(); });
    return new std::mutex;
  }();
  return mutex;
}
using Lock = std::lock_guard<std::mutex>;

const PyDataMemAllocator& Default() {
  static const auto* handler = static_cast<PyDataMem_Handler*>(PyCapsule_GetPointer(PyDataMem_DefaultHandler, kCapsuleName));
  return handler->allocator;
}

struct Block {
  size_t capacity;
  uint64_t freed;  // when, in frees of the pool
};
// By address. Blocks move between maps as nodes, so that to free one takes no memory.
using Blocks = std::map<void*, Block>;

void Unmap(const Blocks& blocks) {
  for (const auto& [data, block] : blocks) munmap(data, block.capacity);
}

bool Fits(size_t capacity, size_t size) { return size <= capacity && capacity - size <= size / kMaxWaste; }

// The blocks of one handler. NumPy may call from any thread.
class Pool {
 public:
  explicit Pool(size_t limit) : limit_(limit) {}
  ~Pool() { Unmap(kept_); }

  PyDataMem_Handler handler{};

  // A kept block, or a new one; nullptr where there is no memory, or none is to be kept.
  void* Allocate(size_t size, bool zeroed) {
    if (void* const data = Reuse(size)) return zeroed ? std::memset(data, 0, size) : data;
    return Map(size);
  }

  // The size of a block in use; 0 for memory that is not the pool's. Sizes do not tell: realloc grows NumPy's own memory
  // too.
  size_t Capacity(void* data) {
    if (reinterpret_cast<uintptr_t>(data) % kSmallestPage != 0) return 0;
    const Lock lock(Mutex());
    const auto found = used_.find(data);
    return found == used_.end() ? 0 : found->second.capacity;
  }

  // Keeps a block that was in use; those freed before make room for it.
  void Free(void* data) {
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

  // Keeps nothing more.
  void Close() {
    Blocks dropped;
    {
      const Lock lock(Mutex());
      limit_ = 0;
      DropDownTo(0, &dropped);
    }
    Unmap(dropped);
  }

  size_t KeptBytes() {
    const Lock lock(Mutex());
    return kept_bytes_;
  }

 private:
  // The smallest of the kept blocks that fit.
  void* Reuse(size_t size) {
    const Lock lock(Mutex());
    auto best = kept_.end();
    for (auto it = kept_.begin(); it != kept_.end(); ++it) {
      if (Fits(it->second.capacity, size) && (best == kept_.end() || it->second.capacity < best->second.capacity)) best = it;
    }
    if (best == kept_.end()) return nullptr;
    kept_bytes_ -= best->second.capacity;
    return used_.insert(kept_.extract(best)).position->first;
  }

  void* Map(size_t size) {
    const size_t capacity = (size + kLargestPage - 1) / kLargestPage * kLargestPage;
    const Lock lock(Mutex());
    if (limit_ == 0 || capacity < size) return nullptr;
    void* const data = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return nullptr;
    try {
      used_.insert({data, {capacity, 0}});
    } catch (const std::bad_alloc&) {
      munmap(data, capacity);
      return nullptr;
    }
#ifdef MADV_HUGEPAGE
    if (capacity >= kHugePagesFrom) madvise(data, capacity, MADV_HUGEPAGE);
#endif
    return data;
  }

  void DropDownTo(size_t bytes, Blocks* dropped) {
    while (kept_bytes_ > bytes) {
      auto oldest = kept_.begin();
      for (auto it = kept_.begin(); it != kept_.end(); ++it) {
        if (it->second.freed < oldest->second.freed) oldest = it;
      }
      kept_bytes_ -= oldest->second.capacity;
      dropped->insert(kept_.extract(oldest));
    }
  }

  Blocks used_, kept_;
  size_t kept_bytes_ = 0, limit_;
  uint64_t frees_ = 0;
};

Pool& PoolOf(void* context) { return *static_cast<Pool*>(context); }

void* Malloc(void* context, size_t size) {
  void* const data = size < kMinSize ? nullptr : PoolOf(context).Allocate(size, false);
  return data != nullptr ? data : Default().malloc(Default().ctx, size);
}

void* Calloc(void* context, size_t count, size_t item) {
  const bool small = item == 0 || count > SIZE_MAX / item || count * item < kMinSize;  // or too large for anyone
  void* const data = small ? nullptr : PoolOf(context).Allocate(count * item, true);
  return data != nullptr ? data : Default().calloc(Default().ctx, count, item);
}

void Free(void* context, void* data, size_t size) {
  if (PoolOf(context).Capacity(data) != 0) return PoolOf(context).Free(data);
  Default().free(Default().ctx, data, size);
}

void* Realloc(void* context, void* data, size_t size) {
  const size_t capacity = PoolOf(context).Capacity(data);
  if (capacity == 0) return Default().realloc(Default().ctx, data, size);
  if (Fits(capacity, size)) return data;
  void* const moved = Malloc(context, size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, data, std::min(capacity, size));
  PoolOf(context).Free(data);
  return moved;
}

Pool& PoolOf(const py::object& handler) {
  auto* pointer = static_cast<PyDataMem_Handler*>(PyCapsule_GetPointer(handler.ptr(), kCapsuleName));
  if (pointer == nullptr) throw py::error_already_set();
  return PoolOf(pointer->allocator.ctx);
}

// Every array holds a reference to the handler that its memory is from: the last one ends the pool.
py::object ReusingHandler(size_t max_bytes) {
  auto pool = std::make_unique<Pool>(max_bytes);
  std::strcpy(pool->handler.name, "nonlin_reuse_buffers");
  pool->handler.version = 1;
  pool->handler.allocator = {pool.get(), Malloc, Calloc, Realloc, Free};
  py::object capsule = Checked(PyCapsule_New(&pool->handler, kCapsuleName, [](PyObject* self) {
    delete &PoolOf(static_cast<PyDataMem_Handler*>(PyCapsule_GetPointer(self, kCapsuleName))->allocator.ctx);
  }));
  pool.release();
  return capsule;
}

}  // namespace

void RegisterDataHandler(py::module_& m) {
  Default();  // looked up while Python can tell
  m.def("reusing_handler", &ReusingHandler, py::arg("max_bytes"));
  m.def("data_handler", [] { return Checked(PyDataMem_GetHandler()); });
  m.def(
      "set_data_handler", [](const py::object& handler) { Checked(PyDataMem_SetHandler(handler.ptr())); },
      py::arg("handler"));
  m.def("close_handler", [](const py::object& handler) { PoolOf(handler).Close(); }, py::arg("handler"));
  m.def("kept_bytes", [](const py::object& handler) { return PoolOf(handler).KeptBytes(); }, py::arg("handler"));
}

}  // namespace nonlin
