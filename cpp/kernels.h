// The interface between kernels and everything above them: plain pointers, numbers, and tables. No SIMD type and no Python
// type crosses it. Kernels are compiled once per instruction set; the tables hold the kernels of the set in use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace nonlin {

// The 16-bit types are storage only: kernels compute in float.
enum DType : int { kFloat32, kFloat64, kFloat16, kBFloat16, kDTypes };

constexpr bool Is16Bit(int dtype) { return dtype >= kFloat16; }
constexpr DType ComputedType(DType dtype) { return Is16Bit(dtype) ? kFloat32 : dtype; }
constexpr size_t ItemSize(int dtype) { return Is16Bit(dtype) ? 2 : dtype == kFloat32 ? 4 : 8; }

size_t FloatLanes();  // of the instruction set in use

// ---------------------------------------------------------------- elementwise

constexpr int kMaxInputs = 4, kMaxOutputs = 2;

// Runs on contiguous arrays of n elements. steps[i] is 1, or 0 if input i is a single value for all n. An output may be the
// same array as an input. With `stream`, results are stored past the caches.
using ElementwiseKernel = void (*)(const void* const* inputs, const size_t* steps, void* const* outputs, size_t n,
                                   bool stream);

using ElementwiseKernels = std::array<ElementwiseKernel, kDTypes>;

struct ActivationKernels {
  ElementwiseKernels forward, backward;
};

// An argument of an activation. An argument with a default is a parameter, a keyword of the Python function.
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

// "grad", followed by the arguments or the result.
constexpr InputList BackwardInputs(const InputList& inputs, Slope slope) {
  InputList list = Inputs("grad");
  if (slope == Slope::kOfResult) {
    list.items[list.count++] = "y";
  } else {
    for (int i = 0; i < inputs.count; ++i) list.items[list.count++] = inputs.items[i];
  }
  return list;
}

// Bounds of the forward error, in ULP.
struct Ulp {
  constexpr Ulp(double float32, double float64) : float32(float32), float64(float64) {}
  double float32, float64;
};
constexpr Ulp kBackwardUlp(2.0, 4.0);  // of every gradient, where `grad` is 1

// The docstring's example: results for the arguments (-2, 0, 2), with grad 1 and up 3.
struct Example {
  constexpr Example(const char* forward, const char* backward) : forward(forward), backward(backward) {}
  const char *forward, *backward;
};

// Marks a row as a form of another activation, whose function selects it by the value of an option.
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
  double cost;  // cycles per element, forward; see tuning.h
  const char *summary, *source;
  Example example;
  FormOf form = {};
};

extern const Activation kActivations[];
extern const int kActivationCount;
const ActivationKernels* GetActivationKernels();  // in the order of kActivations

// to[i] = table[from[i]] for n 16-bit numbers.
using LookUpKernel = void (*)(const uint16_t* table, const uint16_t* from, uint16_t* to, size_t n, bool stream);
LookUpKernel GetLookUpKernel();

// ---------------------------------------------------------------- rows

enum class Operand {
  kRowIn,       // (n): a row of classes
  kOptionalIn,  // (n), absent where its strides are 0
  kRowOut,      // (n)
  kScalarIn,    // ()
  kScalarOut,   // ()
  kSumOut,      // (), float64 whatever the type of the rows; of rows in place
  kIndexIn,     // (), int64: a class, or negative for an ignored row
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
constexpr bool IsOutput(Operand kind) {
  return kind == Operand::kRowOut || kind == Operand::kScalarOut || kind == Operand::kSumOut;
}
constexpr bool HasClasses(Operand kind) { return IsRow(kind) || kind == Operand::kOptionalIn; }

struct RowOperand {
  char* data;
  ptrdiff_t row, item;  // strides in bytes
  bool wide = false;    // a row of numbers of the computed type, beside rows of 16 bits
};

// With a single class, stride 0 does not mean absent: NumPy may give it to any operand.
constexpr bool IsAbsent(Operand kind, const RowOperand& o, size_t classes) {
  return kind == Operand::kOptionalIn && o.item == 0 && classes > 1;
}

enum class Layout {
  kInPlace,     // in memory, one row at a time, its classes in the lanes
  kShortRows,   // in memory, as many rows at a time as there are lanes
  kDense,       // in memory without gaps, vectors that begin anywhere in a row; else as kSideBySide
  kSideBySide,  // through a buffer, one row per lane
  kOneByOne,    // through a buffer, one row at a time, its classes in the lanes
};

// Distance from one group of rows side by side to the next, in elements. It is an odd number of vectors, as caches hold few
// lines with the same offset in a page.
constexpr size_t GroupStep(size_t classes, size_t lanes) { return (classes | 1) * lanes; }

// Runs f(context, begin, end) on ranges that together cover [0, n), on threads that are free.
using ForRanges = void (*)(size_t n, double cycles, void (*f)(const void* context, size_t begin, size_t end),
                           const void* context);

// How the rows of a call are computed, and with which memory. PlanRows in runtime/rows.cc decides it once per call.
struct RowPlan {
  DType dtype;
  Layout layout;
  size_t classes;                   // computed: 1 if only the target's entry of a row is read
  size_t all_classes;               // in memory
  size_t lanes;                     // rows side by side
  size_t rows;                      // worked on together
  bool fetches;                     // prefetches the rows that follow
  bool stream;                      // results past the caches
  ptrdiff_t ahead;                  // bytes from an entry to one that is worth a prefetch, where rows are copies; else 0
  size_t offsets[kMaxRowOperands];  // of the operands' buffers in the scratch memory, in bytes
  size_t scratch_bytes, dense_offset;
  size_t chunk_steps;    // vectors in a chunk of a huge row, else 0
  ForRanges for_ranges;  // of a huge row
  double cycles;         // estimated cost of a row
};

// Groups of rows side by side in buffers, as a plan lays them out.
struct PackedRows {
  char* data[kMaxRowOperands];    // of the first group; null if the operand is absent
  size_t steps[kMaxRowOperands];  // to the next group, in bytes
  void* spare;                    // the result's own buffer, free as scratch: results overwrite the first row operand
};

struct RowOperation;

// The kernels of one operation for one type.
struct RowKernels {
  // Computes rows [begin, end) of a call. A result may be the same array as an operand.
  void (*run)(const RowOperation& operation, const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end,
              void* scratch);
  // The same for rows whose classes are contiguous in memory; null if there is no such kernel.
  void (*in_place)(const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end, void* buffer);
  // The same for a row that was copied to numbers of the computed type. Null, as is the next one, where copies of 16-bit
  // rows are computed by the kernels of float.
  void (*one_by_one)(const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end, void* buffer);
  // Computes dense rows from `begin` on, and returns the first one that is to be computed side by side, or `end`. Null if
  // there is no such kernel.
  size_t (*dense)(const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end, void* scratch);
  // Computes packed groups, and meanwhile prefetches `fetched` rows from `next_row` on.
  void (*side_by_side)(const RowPlan& plan, const PackedRows& packed, size_t groups, const RowOperand* operands,
                       size_t next_row, size_t fetched);
};

// What `where` and `scale` do to the operands of an operation that takes them. Rows are changed in copies, a few at a time,
// before they are computed as any others.
struct Changes {
  bool has_where = false;
  int scaled = -1;                      // the operand that a scale multiplies
  bool keeps_digits = false;            // of the product, where operands have 16 bits
  double masked[kMaxRowOperands] = {};  // what masked entries are, in rows of operands and of the result
  bool restores_all = false;            // beside a huge factor, an entry that is left out does not come out as that
};

// The properties of an operation that a plan depends on, the same for all types.
struct RowTraits {
  OperandList operands;
  Changes changes;
  size_t narrow;           // see kNarrow of tuning.h
  size_t short_steps;      // rows in place of up to so many vectors are short
  unsigned dense_without;  // bits of the operands that must be absent or 0 in dense rows
  bool takes_logarithm;    // of the sum of a row's exponentials; the maximum is then added up apart
  bool own_entry_only;     // only the target's entry of a row is read
  bool wide_scalars;       // of the computed type in memory
  // of the instruction set
  size_t float_lanes, double_lanes;
  bool has_masked_stores;
};

struct RowOperation {
  const char* name;
  double cycles;  // estimated cost of a float32 element
  RowTraits traits;
  std::array<RowKernels, kDTypes> kernels;
  const char* arguments = "";  // names of the inputs, with spaces between them
};

struct RowTable {
  const RowOperation* operations;
  size_t count;
};
RowTable GetRowTable();  // of rows.def

// How `where` and `scale` change rows.
struct ChangeKernels {
  // Copies rows of so many classes. Entries are multiplied by `scale`, and are `masked` where a boolean mask, if there is
  // one, is false. A copy may be wide.
  void (*change)(const RowOperand& from, const RowOperand* mask, size_t rows, size_t classes, double scale, double masked,
                 const RowOperand& to);
  // Sets masked entries of results again, in all rows or in those that came out as NaN or infinite: no number but `masked`
  // stands for those.
  void (*restore)(const RowOperand& rows, const RowOperand& mask, size_t count, size_t classes, double masked, bool all);
};
std::array<ChangeKernels, kDTypes> GetChangeKernels();

// ---------------------------------------------------------------- losses

enum class Targets {
  kClassesOrRows,  // integers are classes, floats a number for each class
  kRows,           // a number for each class; targets are the first argument
  kEntries,        // a number for each entry, without a class axis
};

enum LossOption : unsigned {  // in the order of signatures
  kGamma = 1,
  kAlpha = 2,
  kAxis = 4,
  kWeight = 8,
  kSampleWeight = 16,
  kPosWeight = 32,
  kIgnoreIndex = 64,
  kLabelSmoothing = 128,
  kZLoss = 256,
};

// Cycles per element, see tuning.h: for targets that are classes, and for others.
struct LossCost {
  constexpr LossCost(double of_class, double of_row) : of_class(of_class), of_row(of_row) {}
  double of_class, of_row;
};

// The functions of a loss.
enum LossFunction : int { kLoss, kBackward, kWithGrad, kLossFunctions };

struct Loss {
  const char* name;
  Targets targets;
  const char *first, *second;  // arguments
  unsigned options;
  bool with_grad;  // has a fused function for the loss and its gradient
  LossCost cost;
  // The argument that the gradient is taken with respect to.
  constexpr const char* Operand() const { return targets == Targets::kRows ? second : first; }
  constexpr const char* Target() const { return targets == Targets::kRows ? first : second; }
};

extern const Loss kLosses[];
extern const int kLossCount;

struct LossKernel {
  RowTraits traits;
  RowKernels kernels;
};
// For one kind of targets. A function that does not exist has no operands.
struct LossKernelsOfTargets {
  LossKernel functions[kLossFunctions];
  LossKernel count_outside;  // counts the probabilities of a row outside [0, 1]
};
// A loss without an axis takes each entry as a row, or adds up the entries of a piece.
struct LossKernels {
  LossKernelsOfTargets of_class, of_row, of_piece;
};
// In the order of kLosses. The tables are in losses32.cc, losses64.cc and losses16.cc.
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
