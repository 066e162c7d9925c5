// Data handlers of NumPy (NEP 49): large arrays get memory that is kept when they are freed. The memory itself is that of
// runtime/kept_memory.h. One handler serves nonlin's results, as long as calls make them; others are those of
// `reuse_buffers`.
#include "python/data_handler.h"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "python/dtypes.h"
#include "python/module.h"
#include "python/numpy_api.h"
#include "runtime/kept_memory.h"

namespace py = pybind11;

namespace nonlin {
namespace {

constexpr char kCapsuleName[] = "mem_handler";  // NumPy insists on it
constexpr size_t kMinSize = 1 << 20;            // what is smaller comes from NumPy's own handler: malloc reuses it well

PyObject* handler_of_results = nullptr;  // set at import, and for ever

const PyDataMemAllocator& Default() {
  static const auto* handler = static_cast<PyDataMem_Handler*>(PyCapsule_GetPointer(PyDataMem_DefaultHandler, kCapsuleName));
  return handler->allocator;
}

// A handler of NumPy and its memory.
struct Handler {
  std::unique_ptr<KeptMemory> own;  // or null
  KeptMemory& memory;
  size_t min_size;
  PyDataMem_Handler numpy{};
};

KeptMemory& MemoryOf(void* context) { return static_cast<Handler*>(context)->memory; }

bool IsSmall(void* context, size_t size) { return size < static_cast<Handler*>(context)->min_size; }

void* Malloc(void* context, size_t size) {
  void* const data = IsSmall(context, size) ? nullptr : MemoryOf(context).Allocate(size, false);
  return data != nullptr ? data : Default().malloc(Default().ctx, size);
}

void* Calloc(void* context, size_t count, size_t item) {
  const bool small = item == 0 || count > SIZE_MAX / item || IsSmall(context, count * item);  // or too large for anyone
  void* const data = small ? nullptr : MemoryOf(context).Allocate(count * item, true);
  return data != nullptr ? data : Default().calloc(Default().ctx, count, item);
}

void Free(void* context, void* data, size_t size) {
  if (MemoryOf(context).Capacity(data) != 0) return MemoryOf(context).Free(data);
  Default().free(Default().ctx, data, size);
}

void* Realloc(void* context, void* data, size_t size) {
  const size_t capacity = MemoryOf(context).Capacity(data);
  if (capacity == 0) return Default().realloc(Default().ctx, data, size);
  if (KeptMemory::Fits(capacity, size)) return data;
  void* const moved = Malloc(context, size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, data, std::min(capacity, size));
  MemoryOf(context).Free(data);
  return moved;
}

KeptMemory& MemoryOf(const py::object& handler) {
  auto* pointer = static_cast<PyDataMem_Handler*>(PyCapsule_GetPointer(handler.ptr(), kCapsuleName));
  if (pointer == nullptr) throw py::error_already_set();
  return MemoryOf(pointer->allocator.ctx);
}

// Every array holds a reference to the handler that its memory is from: the last one ends it.
py::object NewHandler(const char* name, size_t min_size, KeptMemory& memory, std::unique_ptr<KeptMemory> own = nullptr) {
  auto handler = std::unique_ptr<Handler>(new Handler{std::move(own), memory, min_size});
  std::strcpy(handler->numpy.name, name);
  handler->numpy.version = 1;
  handler->numpy.allocator = {handler.get(), Malloc, Calloc, Realloc, Free};
  py::object capsule = Checked(PyCapsule_New(&handler->numpy, kCapsuleName, [](PyObject* self) {
    auto* numpy = static_cast<PyDataMem_Handler*>(PyCapsule_GetPointer(self, kCapsuleName));
    delete static_cast<Handler*>(numpy->allocator.ctx);
  }));
  static_cast<void>(handler.release());  // the capsule deletes it
  return capsule;
}

py::object ReusingHandler(size_t max_bytes) {
  auto own = std::make_unique<KeptMemory>(max_bytes);
  KeptMemory& memory = *own;
  return NewHandler("nonlin_reuse_buffers", kMinSize, memory, std::move(own));
}

}  // namespace

bool ResultScope::Begin() {
  const py::object before = Checked(PyDataMem_GetHandler());
  if (before.ptr() != PyDataMem_DefaultHandler) return false;  // the caller's choice
  Checked(PyDataMem_SetHandler(handler_of_results));
  return true;
}

void ResultScope::End() {
  const py::error_scope error;
  PyObject* const before = PyDataMem_SetHandler(PyDataMem_DefaultHandler);
  if (before == nullptr) PyErr_WriteUnraisable(handler_of_results);
  Py_XDECREF(before);
}

void RegisterDataHandler(py::module_& m) {
  Default();  // looked up while Python can tell
  handler_of_results = NewHandler("nonlin_results", kMinResult, MemoryOfResults()).release().ptr();
  m.def("handler_of_results", [] { return py::reinterpret_borrow<py::object>(handler_of_results); });
  m.def("reusing_handler", &ReusingHandler, py::arg("max_bytes"));
  m.def("data_handler", [] { return Checked(PyDataMem_GetHandler()); });
  m.def(
      "set_data_handler", [](const py::object& handler) { Checked(PyDataMem_SetHandler(handler.ptr())); },
      py::arg("handler"));
  m.def("close_handler", [](const py::object& handler) { MemoryOf(handler).Close(); }, py::arg("handler"));
  m.def("give_back", [](const py::object& handler) { MemoryOf(handler).GiveBack(); }, py::arg("handler"));
  m.def("kept_bytes", [](const py::object& handler) { return MemoryOf(handler).KeptBytes(); }, py::arg("handler"));
}

}  // namespace nonlin
