// Plans row operations and runs them: chooses a layout, sizes the scratch memory, merges outer axes, and divides the rows
// among threads. The kernels, and the loops that bring rows to them, are in simd/.
#include "runtime/rows.h"

#include <algorithm>
#include <cstdlib>

#include "runtime/float_status.h"
#include "runtime/threads.h"
#include "tuning.h"

namespace nonlin {
namespace {

bool AreContiguous(const RowTraits& traits, DType dtype, const RowOperand* operands, size_t classes) {
  for (int k = 0; k < traits.operands.count; ++k) {
    const Operand kind = traits.operands.kinds[k];
    if (!HasClasses(kind) || IsAbsent(kind, operands[k], classes)) continue;
    const size_t item = ItemSize(IsRow(kind) && !operands[k].wide ? dtype : ComputedType(dtype));
    if (operands[k].item != static_cast<ptrdiff_t>(item)) return false;
  }
  return true;
}

// Whether rows of the computed type stand beside rows of 16 bits. Kernels in place take one type.
bool AreMixed(const OperandList& list, const RowOperand* operands) {
  return std::any_of(operands, operands + list.count, [](const RowOperand& o) { return o.wide; });
}

// Whether a result overwrites an operand.
bool IsOverwriting(const OperandList& list, const RowOperand* operands) {
  for (int out = 0; out < list.count; ++out) {
    if (list.kinds[out] != Operand::kRowOut) continue;
    for (int k = 0; k < out; ++k) {
      if (operands[k].data == operands[out].data) return true;
    }
  }
  return false;
}

// Rows of up to this many bytes may be dense. Where no logarithm is taken, their maxima are added up with the other entries.
constexpr size_t kMostDenseBytes = kDenseLanes * kSumBytes;

// Short rows leave few lanes empty, and none if stores have no masks; their maxima are added up apart.
bool AreShort(const RowTraits& traits, size_t classes, size_t lanes, size_t item) {
  if (classes < 2 * lanes || classes > traits.short_steps * lanes) return false;
  if (classes * item <= kMostDenseBytes && !traits.takes_logarithm) return false;
  const size_t filled = (classes + lanes - 1) / lanes * lanes;
  return traits.has_masked_stores ? 5 * filled <= 6 * classes : filled == classes;
}

// Whether rows of a few classes lie without gaps between them, and there is a kernel for such.
bool AreDense(const RowOperation& operation, DType dtype, const RowOperand* operands, size_t classes) {
  const RowTraits& traits = operation.traits;
  const size_t item = ItemSize(ComputedType(dtype));
  if (operation.kernels[dtype].dense == nullptr || classes < 2 || classes * item > kMostDenseBytes) return false;
  const bool has_sum_vectors = traits.float_lanes * sizeof(float) == kSumBytes;
  if (traits.takes_logarithm && classes > kDenseFew && !(has_sum_vectors && classes * item > kSumBytes)) return false;
  for (int k = 0; k < traits.operands.count; ++k) {
    const Operand kind = traits.operands.kinds[k];
    const RowOperand& o = operands[k];
    if (IsRow(kind) && (o.wide || o.row != static_cast<ptrdiff_t>(classes * ItemSize(dtype)))) return false;
    if ((traits.dense_without >> k & 1) == 0 || IsAbsent(kind, o, classes)) continue;
    if (kind != Operand::kScalarIn || o.row != 0 ||
        std::any_of(o.data, o.data + item, [](char byte) { return byte != 0; })) {
      return false;
    }
  }
  return true;
}

// A few rows take less time one by one than side by side, where most lanes would be empty.
bool AreFew(size_t rows, size_t classes, size_t lanes) {
  const size_t steps = (classes + lanes - 1) / lanes, groups = (rows + lanes - 1) / lanes;
  return rows * (steps + kStepsOfRow) < groups * classes;
}

void RunRanges(size_t n, double cycles, void (*f)(const void* context, size_t begin, size_t end), const void* context) {
  ParallelFor(n, 1, cycles, [=](size_t begin, size_t end) { f(context, begin, end); });
}

// Plans buffers for groups of rows, one for each operand.
void PlanBuffers(const OperandList& list, size_t item, RowPlan* plan) {
  const size_t groups = plan->rows / plan->lanes;
  for (int k = 0; k < list.count; ++k) {
    const Operand kind = list.kinds[k];
    const size_t step = HasClasses(kind) ? GroupStep(plan->classes, plan->lanes) : plan->lanes;
    plan->offsets[k] = plan->scratch_bytes;
    const size_t bytes = groups * step * (kind == Operand::kIndexIn ? sizeof(int64_t) : item);
    plan->scratch_bytes += (bytes + sizeof(int64_t) - 1) / sizeof(int64_t) * sizeof(int64_t);  // indices are aligned
  }
}

RowPlan PlanRows(const RowOperation& operation, DType dtype, const RowOperand* operands, size_t rows, size_t classes) {
  const RowTraits& traits = operation.traits;
  const OperandList& list = traits.operands;
  const size_t item = ItemSize(ComputedType(dtype)), lanes = dtype == kFloat64 ? traits.double_lanes : traits.float_lanes;
  RowPlan plan;
  plan.dtype = dtype;
  plan.all_classes = classes;
  plan.classes = traits.own_entry_only ? 1 : classes;
  plan.lanes = plan.rows = 1;
  plan.fetches = false;
  plan.ahead = 0;
  plan.scratch_bytes = plan.dense_offset = plan.chunk_steps = 0;
  plan.for_ranges = RunRanges;
  plan.cycles = (dtype == kFloat64 ? kDoubleCost : 1) * operation.cycles * classes + kRowCycles;
  const size_t stream_from = classes < kMinStreamedClasses ? kStreamBytesFromBuffers : kStreamBytes;
  plan.stream =
      rows * classes * ItemSize(dtype) >= stream_from && Has(list, Operand::kRowOut) && !IsOverwriting(list, operands);
  if (plan.classes > kMaxKept) {
    // In classes, so that a sum does not depend on the instruction set.
    const size_t least = std::max(kMaxKept / 2, (classes + kMaxChunks - 1) / kMaxChunks);
    plan.chunk_steps = (least + kChunkClasses - 1) / kChunkClasses * kChunkClasses / lanes;
  }

  const bool contiguous = AreContiguous(traits, dtype, operands, plan.classes);
  const bool is_wide = contiguous && plan.classes > traits.narrow * lanes;
  const bool in_place = contiguous && operation.kernels[dtype].in_place != nullptr;
  const bool one_layout = operation.kernels[ComputedType(dtype)].in_place == nullptr;
  const bool is_dense = contiguous && rows >= lanes && AreDense(operation, dtype, operands, plan.classes);
  const bool is_short = !is_dense && in_place && AreShort(traits, plan.classes, lanes, item);
  const bool are_few = !is_dense && in_place && (is_short ? rows <= kFewShortRows : AreFew(rows, plan.classes, lanes));
  if (is_short && !are_few) {
    plan.layout = Layout::kShortRows;
    const size_t row_bytes = (plan.classes + lanes - 1) / lanes * lanes * item;
    plan.rows = std::min(lanes, std::max<size_t>(kShortRowsBytes / row_bytes, 1));
    plan.scratch_bytes = plan.rows * row_bytes;
  } else if (!is_dense && (are_few || (in_place && is_wide)) && !AreMixed(list, operands)) {
    plan.layout = Layout::kInPlace;
    plan.stream = plan.stream && classes >= kMinStreamedClasses;
    plan.scratch_bytes = Has(list, Operand::kRowOut) && classes <= kMaxKept ? classes * item : 0;
  } else if (is_dense || one_layout || (!is_wide && plan.classes <= kMaxSideBySide)) {
    plan.layout = Layout::kSideBySide;
    plan.lanes = lanes;
    plan.fetches = plan.classes <= kFetchedClasses || (contiguous && plan.classes <= traits.narrow * lanes);
    const size_t group_bytes = plan.classes * lanes * item;
    const size_t fitting = std::max<size_t>((plan.fetches ? kNearBytes : kFarBytes) / group_bytes, 1);
    plan.rows = lanes * std::min({kMaxGroups, fitting, (rows + lanes - 1) / lanes});
    PlanBuffers(list, item, &plan);
    if (is_dense) {
      constexpr size_t kLine = 64;
      plan.layout = Layout::kDense;
      plan.dense_offset = (plan.scratch_bytes + kLine - 1) / kLine * kLine;
      plan.scratch_bytes =
          plan.dense_offset + (2 * (plan.rows * classes + kDensePadding) + 2 * GroupStep(classes, lanes)) * item;
    }
  } else {
    plan.layout = Layout::kOneByOne;
    plan.stream = false;
    PlanBuffers(list, item, &plan);
  }
  return plan;
}

// The change of rows by `where` and `scale`: so many at a time, in copies without gaps. Where rows lie closer together in
// memory than their classes, so they do in the copy.
struct ChangePlan {
  size_t rows, bytes;  // of a copy
  bool is_changed[kMaxRowOperands], by_class[kMaxRowOperands];
  size_t items[kMaxRowOperands];
  size_t offsets[kMaxRowOperands];  // in the scratch memory
};

ChangePlan PlanChanges(const RowTraits& traits, DType dtype, const RowOperand* operands, double scale, size_t rows,
                       size_t classes) {
  const OperandList& list = traits.operands;
  ChangePlan plan;
  size_t row_bytes = 0;  // of all copies
  for (int k = 0; k < list.count; ++k) {
    const bool is_wide = traits.changes.keeps_digits && k == traits.changes.scaled && scale != 1;
    plan.is_changed[k] = list.kinds[k] == Operand::kRowIn;
    plan.by_class[k] = rows > 1 && classes > 1 && std::abs(operands[k].row) < std::abs(operands[k].item);
    plan.items[k] = ItemSize(is_wide ? ComputedType(dtype) : dtype);
    row_bytes += plan.is_changed[k] ? classes * plan.items[k] : 0;
  }
  // Every function has an input of rows, and every row a class. NOLINTNEXTLINE(clang-analyzer-core.DivideZero)
  const size_t fitting = std::max<size_t>(kChangedBytes / row_bytes, 1);
  plan.rows = std::min(rows, fitting < kChangedRows ? fitting : fitting / kChangedRows * kChangedRows);
  plan.bytes = 0;
  for (int k = 0; k < list.count; ++k) {
    plan.offsets[k] = plan.bytes;
    if (plan.is_changed[k]) plan.bytes += (plan.rows * classes * plan.items[k] + 63) / 64 * 64;
  }
  return plan;
}

// The operands as they are with copies in `scratch`, or in no memory yet.
void SetCopies(const ChangePlan& plan, DType dtype, size_t classes, int count, char* scratch, RowOperand* operands) {
  for (int k = 0; k < count; ++k) {
    if (!plan.is_changed[k]) continue;
    const size_t item = plan.items[k];
    operands[k].data = scratch == nullptr ? nullptr : scratch + plan.offsets[k];
    operands[k].row = static_cast<ptrdiff_t>(plan.by_class[k] ? item : classes * item);
    operands[k].item = static_cast<ptrdiff_t>(plan.by_class[k] ? plan.rows * item : item);
    operands[k].wide = item != ItemSize(dtype);
  }
}

// Whether axes i and i + 1 can be merged: no operand has a gap between them.
bool AreOne(const RowArrays& arrays, int operands, int i) {
  for (int k = 0; k < operands; ++k) {
    const ptrdiff_t* strides = arrays.operands[k].strides;
    if (strides[i] != strides[i + 1] * static_cast<ptrdiff_t>(arrays.shape[i + 1])) return false;
  }
  return true;
}

void MoveAxis(RowArrays& arrays, int operands, int from, int to) {
  arrays.shape[to] = arrays.shape[from];
  for (int k = 0; k < operands; ++k) arrays.operands[k].strides[to] = arrays.operands[k].strides[from];
}

void SwapAxes(RowArrays& arrays, int operands, int i, int j) {
  std::swap(arrays.shape[i], arrays.shape[j]);
  for (int k = 0; k < operands; ++k) std::swap(arrays.operands[k].strides[i], arrays.operands[k].strides[j]);
}

// Merges the outer axes into as few as possible, but at least one. Axes with small strides in the first operand come last.
void MergeAxes(RowArrays& arrays, int operands) {
  if (arrays.axes == 1) return;
  int axes = 0;
  for (int i = 0; i < arrays.axes; ++i) {
    if (arrays.shape[i] != 1) MoveAxis(arrays, operands, i, axes++);
  }
  const ptrdiff_t* strides = arrays.operands[0].strides;
  for (int i = 1; i < axes; ++i) {
    for (int j = i; j > 0 && std::abs(strides[j - 1]) < std::abs(strides[j]); --j) SwapAxes(arrays, operands, j - 1, j);
  }
  for (int i = axes - 2; i >= 0; --i) {
    if (!AreOne(arrays, operands, i)) continue;
    arrays.shape[i + 1] *= arrays.shape[i];
    for (int j = i; j + 1 < axes; ++j) MoveAxis(arrays, operands, j + 1, j);
    --axes;
  }
  if (axes == 0) {
    arrays.shape[axes++] = 1;
    for (int k = 0; k < operands; ++k) arrays.operands[k].strides[0] = 0;
  }
  arrays.axes = axes;
}

}  // namespace

size_t RowArrays::Rows() const {
  size_t rows = 1;
  for (int i = 0; i < axes; ++i) rows *= shape[i];
  return rows;
}

namespace {

// Runs rows [begin, end) in changed copies.
void RunChanged(const RowOperation& operation, const RowPlan& plan, const ChangePlan& changes, const RowArrays& arrays,
                const RowOperand* operands, size_t begin, size_t end, char* scratch) {
  static const std::array<ChangeKernels, kDTypes> kKernels = GetChangeKernels();
  const ChangeKernels& kernels = kKernels[plan.dtype];
  const OperandList& list = operation.traits.operands;
  const Changes& change = operation.traits.changes;
  const auto moved = [](const RowOperand& o, size_t row, size_t first) {
    const ptrdiff_t place = static_cast<ptrdiff_t>(row) * o.row + static_cast<ptrdiff_t>(first) * o.item;
    return RowOperand{o.data + place, o.row, o.item, o.wide};
  };
  RowPlan own_plan = plan;
  for (size_t row = begin; row < end; row += changes.rows) {
    const size_t count = std::min(changes.rows, end - row);
    RowOperand own[kMaxRowOperands];
    for (int k = 0; k < list.count; ++k) own[k] = moved(operands[k], row, 0);
    const RowOperand mask = arrays.has_mask ? moved(operands[list.count], row, 0) : RowOperand{};
    RowOperand copies[kMaxRowOperands];
    std::copy_n(own, list.count, copies);
    SetCopies(changes, plan.dtype, plan.classes, list.count, scratch, copies);
    const auto change_classes = [&](size_t first, size_t last) {
      for (int k = 0; k < list.count; ++k) {
        if (!changes.is_changed[k]) continue;
        const RowOperand part = moved(mask, 0, first);
        kernels.change(moved(own[k], 0, first), arrays.has_mask ? &part : nullptr, count, last - first,
                       k == change.scaled ? arrays.scale : 1, change.masked[k], moved(copies[k], 0, first));
      }
    };
    if (plan.classes > kMaxKept) {
      ParallelFor(plan.classes, 1, kChangeCycles, change_classes);
    } else {
      change_classes(0, plan.classes);
    }
    // While copies are computed, the rows that follow are fetched, if they lie as the copies do.
    own_plan.ahead = 0;
    for (int k = 0; k < list.count; ++k) {
      const bool lies_alike = changes.is_changed[k] && own[k].row == copies[k].row && own[k].item == copies[k].item;
      if (lies_alike && row + count < end) own_plan.ahead = moved(own[k], count, 0).data - copies[k].data;
    }
    operation.kernels[plan.dtype].run(operation, own_plan, copies, 0, count, scratch + changes.bytes);
    for (int k = 0; arrays.has_mask && k < list.count; ++k) {
      if (list.kinds[k] == Operand::kRowOut)
        kernels.restore(own[k], mask, count, plan.classes, change.masked[k], change.restores_all);
    }
  }
}

}  // namespace

bool RunRows(const RowOperation& operation, DType dtype, RowArrays& arrays, size_t* bytes) {
  const FloatScope scope;
  const int count = operation.traits.operands.count + arrays.has_mask;
  const bool is_changed = arrays.has_mask || arrays.scale != 1;
  MergeAxes(arrays, count);
  const size_t rows = arrays.Rows(), last = arrays.axes - 1, block_rows = arrays.shape[last];
  RowOperand first[kMaxRowOperands];
  for (int k = 0; k < count; ++k) {
    first[k] = {arrays.operands[k].data, arrays.operands[k].strides[last], arrays.operands[k].item,
                (arrays.wide >> k & 1) != 0};
  }
  if (rows == 0) return true;
  RowOperand planned[kMaxRowOperands];
  const RowOperand* layout = first;
  ChangePlan changes;
  size_t change_bytes = 0;
  if (is_changed) {
    changes = PlanChanges(operation.traits, dtype, first, arrays.scale, block_rows, arrays.classes);
    change_bytes = changes.bytes;
    std::copy_n(first, count, planned);
    SetCopies(changes, dtype, arrays.classes, operation.traits.operands.count, nullptr, planned);
    layout = planned;
  }
  RowPlan plan = PlanRows(operation, dtype, layout, rows, arrays.classes);
  if (is_changed) plan.cycles += kChangeCycles * static_cast<double>(arrays.classes);
  const auto run = [&](const RowOperand* operands, size_t begin, size_t end, void* scratch) {
    if (is_changed) {
      RunChanged(operation, plan, changes, arrays, operands, begin, end, static_cast<char*>(scratch));
    } else {
      operation.kernels[dtype].run(operation, plan, operands, begin, end, scratch);
    }
  };
  *bytes = plan.scratch_bytes + change_bytes;
  return ParallelForWithScratch(rows, 1, plan.cycles, *bytes, [&](size_t begin, size_t end, void* scratch) {
    if (arrays.axes == 1) return run(first, begin, end, scratch);
    for (size_t row = begin; row < end;) {
      const size_t start = row % block_rows, stop = std::min(block_rows, start + end - row);
      RowOperand block[kMaxRowOperands];
      std::copy_n(first, count, block);
      size_t rest = row / block_rows;
      for (size_t i = last; i-- > 0; rest /= arrays.shape[i]) {
        const auto place = static_cast<ptrdiff_t>(rest % arrays.shape[i]);
        for (int k = 0; k < count; ++k) block[k].data += place * arrays.operands[k].strides[i];
      }
      run(block, start, stop, scratch);
      row += stop - start;
    }
  });
}

}  // namespace nonlin
