// The seam between kernels and everything above them: plain pointers and numbers, and the tables. Neither a SIMD type nor a
// Python type crosses it. Kernels are compiled once per instruction set; the tables hold those of the set in use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace nonlin {

// 16-bit types are only stored: kernels compute in float.
enum DType : int { kFloat32, kFloat64, kFloat16, kBFloat16, kDTypes };

constexpr bool Is16Bit(int dtype) { return dtype >= kFloat16; }
constexpr DType ComputedType(DType dtype) { return Is16Bit(dtype) ? kFloat32 : dtype; }
constexpr size_t ItemSize(int dtype) { return Is16Bit(dtype) ? 2 : dtype == kFloat32 ? 4 : 8; }

size_t FloatLanes();  // of the instruction set in use

// ---------------------------------------------------------------- elementwise

constexpr int kMaxInputs = 4, kMaxOutputs = 2;

// Contiguous arrays of n elements. steps[i] is 1, or 0 for an input of one value that serves all n. An output may be an
// input's very array. `stream` stores past the caches.
using ElementwiseKernel = void (*)(const void* const* inputs, const size_t* steps, void* const* outputs, size_t n,
                                   bool stream);

using ElementwiseKernels = std::array<ElementwiseKernel, kDTypes>;

struct ActivationKernels {
  ElementwiseKernels forward, backward;
};

// An argument of an activation. One with a default is a parameter: a keyword of the Python function.
struct Input {
  constexpr Input(const char* name = nullptr) : name(name) {}
  constexpr Input(const char* name, double value) : name(name), is_parameter(true), value(value) {}
  const char* name;
  bool is_parameter = false;
  double value = 0;
};
constexpr Input Parameter(const char* name, double value) { return {name, value}; }

struct InputList {
  Input items[kMaxInputs];
  int count = 0;
  constexpr const Input* begin() const { return items; }
  constexpr const Input* end() const { return items + count; }
  constexpr int Operands() const {  // without parameters
    int operands = 0;
    for (int i = 0; i < count; ++i) operands += !items[i].is_parameter;
    return operands;
  }
};
template <class... Items>
constexpr InputList Inputs(Items... items) {
  return {{Input(items)...}, sizeof...(items)};
}

enum class Slope { kOfArgument, kOfResult };  // what a gradient is computed from

// "grad" and what the gradient is computed from
constexpr InputList BackwardInputs(const InputList& inputs, Slope slope) {
  InputList list = Inputs("grad");
  if (slope == Slope::kOfResult) {
    list.items[list.count++] = "y";
  } else {
    for (int i = 0; i < inputs.count; ++i) list.items[list.count++] = inputs.items[i];
  }
  return list;
}

// Bounds of the forward error.
struct Ulp {
  constexpr Ulp(double float32, double float64) : float32(float32), float64(float64) {}
  double float32, float64;
};

// Of the docstring: the results for the arguments (-2, 0, 2), with grad 1 and up 3.
struct Example {
  constexpr Example(const char* forward, const char* backward) : forward(forward), backward(backward) {}
  const char *forward, *backward;
};

// Of another activation's row, whose function takes this one for a value of an option.
struct FormOf {
  constexpr FormOf(const char* name, const char* option, const char* usual, const char* value, const char* description)
      : name(name), option(option), usual(usual), value(value), description(description) {}
  constexpr FormOf() = default;
  const char *name = nullptr, *option = nullptr, *usual = nullptr, *value = nullptr, *description = nullptr;
};

struct Activation {
  const char* name;
  InputList inputs;
  Slope slope;
  Ulp ulp;
  double cost;  // of an element, forward; see tuning.h
  const char *summary, *source;
  Example example;
  FormOf form = {};
};

extern const Activation kActivations[];
extern const int kActivationCount;
const ActivationKernels* GetActivationKernels();  // in the order of kActivations

// to[i] = table[from[i]] for n numbers of 16 bits.
using LookUpKernel = void (*)(const uint16_t* table, const uint16_t* from, uint16_t* to, size_t n, bool stream);
LookUpKernel GetLookUpKernel();

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
constexpr bool HasClasses(Operand kind) { return IsRow(kind) || kind == Operand::kOptionalIn || kind == Operand::kMaskIn; }

struct RowOperand {
  char* data;
  ptrdiff_t row, item;  // strides in bytes
};

// NumPy gives stride 0 to a single class too.
constexpr bool IsAbsent(Operand kind, const RowOperand& o, size_t classes) {
  return kind == Operand::kOptionalIn && o.item == 0 && classes > 1;
}

enum class Layout {
  kInPlace,     // one by one where they are, each over many lanes
  kShortRows,   // where they are, as many together as there are lanes
  kSideBySide,  // through a buffer, a row in a lane
  kOneByOne,    // through a buffer, each over many lanes
};

// From a group of rows side by side to the next, in elements. An odd number of vectors, as caches hold few lines at the same
// place of a page.
constexpr size_t GroupStep(size_t classes, size_t lanes) { return (classes | 1) * lanes; }

// Runs f(context, begin, end) on ranges that make up [0, n), on threads that are free.
using ForRanges = void (*)(size_t n, double cycles, void (*f)(const void* context, size_t begin, size_t end),
                           const void* context);

// How the rows of a call are computed: decided once, by PlanRows of runtime/rows.cc, for kernels and for their memory.
struct RowPlan {
  DType dtype;
  Layout layout;
  size_t classes;                   // that are computed: 1 where nothing of a row is read but the entry of its class
  size_t all_classes;               // in memory
  size_t lanes;                     // rows side by side
  size_t rows;                      // that are worked on together
  bool fetches;                     // the rows behind them, meanwhile
  bool stream;                      // results past the caches
  size_t offsets[kMaxRowOperands];  // of the operands' buffers in scratch memory, in bytes
  size_t scratch_bytes;
  size_t chunk_steps;    // vectors of a huge row that a thread takes, else 0
  ForRanges for_ranges;  // of a huge row
  double cycles;         // of a row, estimated
};

// Groups of rows side by side in buffers, as a plan lays them out.
struct PackedRows {
  char* data[kMaxRowOperands];    // of the first group; null where an operand is absent
  size_t steps[kMaxRowOperands];  // to the next one, in bytes
  void* spare;                    // a buffer of the result, which itself takes the place of the first row operand
};

struct RowOperation;

// Of one operation and type.
struct RowKernels {
  // Rows [begin, end) of a call. A result may be an operand's very array.
  void (*run)(const RowOperation& operation, const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end,
              void* scratch);
  // The same for rows whose classes are neighbours in memory; null where there is none.
  void (*in_place)(const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end, void* buffer);
  // Groups that begin with a row; those behind them are fetched meanwhile. Not of 16-bit types, which are computed in float.
  void (*side_by_side)(const RowPlan& plan, const PackedRows& packed, size_t groups, const RowOperand* operands,
                       size_t next_row, size_t fetched);
};

// Of an operation, whatever the type: what a plan depends on.
struct RowTraits {
  OperandList operands;
  size_t narrow;        // see kNarrow of tuning.h
  size_t short_steps;   // vectors of classes up to which rows are short
  bool own_entry_only;  // nothing of a row is read but the entry of its class
  // of the instruction set
  size_t float_lanes, double_lanes;
  bool has_masked_stores;
};

struct RowOperation {
  const char* name;
  double cycles;  // of a float32 element, estimated
  RowTraits traits;
  bool float_scalars;  // beside 16-bit rows
  std::array<RowKernels, kDTypes> kernels;
};

struct RowTable {
  const RowOperation* operations;
  size_t count;
};
RowTable GetRowTable();  // of rows.def

// ---------------------------------------------------------------- losses

enum class Targets {
  kClassesOrRows,  // integers are classes; floats, a number for each
  kRows,           // a number for each class; they are the first argument
  kEntries,        // a number for each entry, and no class axis
};

enum LossOption : unsigned {
  kAxis = 1,
  kWeight = 2,
  kPosWeight = 4,
  kIgnoreIndex = 8,
  kLabelSmoothing = 16,
  kZLoss = 32,
};

// Of an element, see tuning.h: with targets that are classes, and otherwise.
struct LossCost {
  constexpr LossCost(double of_class, double of_row) : of_class(of_class), of_row(of_row) {}
  double of_class, of_row;
};

// A loss's functions.
enum LossFunction : int { kLoss, kBackward, kWithGrad, kLossFunctions };

struct Loss {
  const char* name;
  Targets targets;
  const char *first, *second;  // arguments
  unsigned options;
  bool with_grad;  // fused
  LossCost cost;
  // The argument that the gradient is taken by.
  constexpr const char* Operand() const { return targets == Targets::kRows ? second : first; }
  constexpr const char* Target() const { return targets == Targets::kRows ? first : second; }
};

extern const Loss kLosses[];
extern const int kLossCount;

struct LossKernel {
  RowTraits traits;
  RowKernels kernels;
};
// For one kind of targets; what there is not, has no operands.
struct LossKernelsOfTargets {
  LossKernel functions[kLossFunctions];
  LossKernel count_outside;  // of probabilities: how many of a row are outside [0, 1]
};
struct LossKernels {
  LossKernelsOfTargets of_class, of_row;
};
// In the order of kLosses, each from a file of its own.
const LossKernels* GetLossKernels32();
const LossKernels* GetLossKernels64();
const LossKernels* GetLossKernelsFloat16();
const LossKernels* GetLossKernelsBFloat16();

// ---------------------------------------------------------------- ceilings

// Passes over memory that the benchmark takes as the machine's ceilings. Both arrays are aligned to kPassBytes, and `bytes`
// is a multiple of it. The result depends on everything read.
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
