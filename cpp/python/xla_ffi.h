// The part of XLA's C interface for custom calls (version 0 of xla/ffi/api/c_api.h, which is stable) that a handler on the
// CPU needs, so that no header of XLA's is needed to build. Structs begin with their size, and grow at their end alone.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nonlin::xla {

// The newest version that the handler was written for. A minor version only adds, so it serves older ones too. XLA is told
// the older one of this and its own, which 0.1 does not say, when the handler is registered; it refuses what it has left
// behind.
constexpr int kMajorVersion = 0, kMinorVersion = 3;

enum DataType : int { kPred = 1, kS32 = 4, kS64, kU32 = 8, kU64, kF16 = 10, kF32, kF64, kBF16 = 16 };
enum ErrorCode : int { kInvalidArgument = 3, kResourceExhausted = 8, kOutOfRange = 11 };

struct Extension {
  size_t size;
  int type;
  Extension* next;
};
constexpr int kMetadataExtension = 1;

struct Header {
  size_t size;
  Extension* extensions;
};

struct Version {
  Header header;
  int major_number, minor_number;
};

struct Error;
struct ErrorArguments {
  Header header;
  const char* message;
  int code;
};

struct Api {
  Header header;
  Version version;
  const void* internal;
  Error* (*create_error)(ErrorArguments* arguments);
};

struct Buffer {
  Header header;
  int dtype;
  void* data;
  int64_t rank;
  int64_t* dims;
};

struct Buffers {
  Header header;
  int64_t count;
  int* types;
  Buffer** items;
};

struct Span {
  const char* data;
  size_t size;
};
struct Scalar {
  int dtype;
  void* value;
};
struct Array {
  int dtype;
  size_t size;
  void* data;
};

struct Attributes {
  Header header;
  int64_t count;
  int* types;
  Span** names;
  void** values;  // each a Span, a Scalar or an Array
};

struct CallFrame {
  Header header;
  const Api* api;
  void* context;
  int stage;
  Buffers arguments, results;
  Attributes attributes;
};

struct Metadata {
  size_t size;
  Version version;
  uint32_t traits;
};
struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

}  // namespace nonlin::xla
