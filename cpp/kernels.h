// The seam between kernels and everything above them: plain pointers and numbers. Neither a SIMD type nor a Python type
// crosses it. Implementations are compiled once per instruction set; the tables hold those of the set in use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace nonlin {

// 16-bit types are only stored: kernels compute in float.
enum DType : int { kFloat32, kFloat64, kFloat16, kBFloat16, kDTypes };

constexpr bool IsHalf(int dtype) { return dtype >= kFloat16; }
constexpr size_t ItemSize(int dtype) { return IsHalf(dtype) ? 2 : dtype == kFloat32 ? 4 : 8; }

// Bytes of a result that is stored past the caches: they hold no more, and a usual store reads the line that it overwrites.
// From 32 MB on it wins (1.1 to 1.4 times as fast), also where the result is read next; at 16 MB it loses (0.8 to 0.9).
constexpr size_t kStreamBytes = size_t{1} << 25;
// Rows with fewer classes go past the caches only from a buffer, where it wins from a quarter of that on: with short rows in
// memory the stores to lines that two share cost more (0.75 of the speed at 1024 classes, 1.4 at 4096; 0.97 to 1.4 at
// 32000).
constexpr size_t kMinStreamedClasses = 2048;

// Costs are in cycles (of 1/3 ns) per float32 element in the caches, measured with AVX-512: they tell how many threads a
// call is worth. Other instruction sets take about as many times as long as they have fewer lanes, doubles 2.5 times.
constexpr double kCostLanes = 16, kDoubleCost = 2.5;
size_t FloatLanes();  // of the instruction set in use

// ---------------------------------------------------------------- elementwise

constexpr int kMaxInputs = 4, kMaxOutputs = 2;

// Contiguous arrays of n elements. steps[i] is 1, or 0 for an input of one value that serves all n. An output may be an
// input's very array. `stream` stores past the caches.
using MapKernel = void (*)(const void* const* inputs, const size_t* steps, void* const* outputs, size_t n, bool stream);

using MapKernels = std::array<MapKernel, kDTypes>;

struct ActivationKernels {
  MapKernels forward, backward;
};

struct Activation {
  const char* name;
  const char* inputs;           // names; "=1.0" gives a parameter's default
  const char* backward_inputs;  // names
  double ulp32, ulp64;          // bounds of the forward error
  double cost;                  // of an element, forward
  const char *summary, *source, *example, *backward_example;
};

// to[i] = table[from[i]] for n numbers of 16 bits.
using LookUpKernel = void (*)(const uint16_t* table, const uint16_t* from, uint16_t* to, size_t n, bool stream);
LookUpKernel GetLookUpKernel();

extern const Activation kActivations[];
extern const int kActivationCount;
const ActivationKernels* GetActivationKernels();  // in the order of kActivations

// ---------------------------------------------------------------- rows

enum class Operand {
  kRowIn,       // (n): a row of classes
  kOptionalIn,  // (n), absent where its strides are 0
  kRowOut,      // (n)
  kMaskIn,      // (n), boolean
  kScalarIn,    // ()
  kScalarOut,   // ()
  kIndexIn,     // (), int64: a class, or negative for a row that does not count
};

constexpr int kMaxRowOperands = 10;

struct OperandList {
  Operand kinds[kMaxRowOperands];
  int count;
};

template <class... Kinds>
constexpr OperandList Operands(Kinds... kinds) {
  return {{kinds...}, sizeof...(kinds)};
}

constexpr bool Has(const OperandList& list, Operand kind) {
  for (int k = 0; k < list.count; ++k) {
    if (list.kinds[k] == kind) return true;
  }
  return false;
}

constexpr bool IsRow(Operand kind) { return kind == Operand::kRowIn || kind == Operand::kRowOut; }
constexpr bool IsScalar(Operand kind) { return kind == Operand::kScalarIn || kind == Operand::kScalarOut; }
constexpr bool IsOutput(Operand kind) { return kind == Operand::kRowOut || kind == Operand::kScalarOut; }

constexpr bool HasClasses(Operand kind) {
  return kind == Operand::kRowIn || kind == Operand::kOptionalIn || kind == Operand::kRowOut || kind == Operand::kMaskIn;
}

struct RowOperand {
  char* data;
  ptrdiff_t row, item;  // strides in bytes
};

// Rows [begin, end). `scratch` has room for `scratch_size` elements, unless rows are in place. A result may be an operand's
// very array.
struct RowOperation {
  const char* name;
  double cost;  // of an element
  const char* doc;
  OperandList operands;
  bool float_scalars;  // beside 16-bit rows
  void (*run[kDTypes])(const RowOperand* operands, size_t classes, size_t begin, size_t end, void* scratch, bool stream);
  size_t (*scratch_size[kDTypes])(const RowOperand* operands, size_t classes);
};

struct RowTable {
  const RowOperation* operations;
  size_t count;
};
RowTable GetRowTable();   // of rows.def
RowTable GetLossTable();  // of loss_rows.def

// ---------------------------------------------------------------- passes

// What the benchmark takes as the machine's ceilings. Both arrays are aligned to kPassBytes, and `bytes` is a multiple of
// it. The result depends on everything read.
constexpr size_t kPassBytes = 4096;

struct Pass {
  const char* name;
  double (*run)(const void* source, void* target, size_t bytes);
};

struct PassTable {
  const Pass* passes;
  size_t count;
};
PassTable GetPassTable();

}  // namespace nonlin
