#include "runtime/losses.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "runtime/threads.h"
#include "tuning.h"

namespace nonlin {
namespace {

// ---------------------------------------------------------------- the operations of the table

using TargetsMember = LossKernelsOfTargets LossKernels::*;

// Of a function, or of the check of probabilities, which comes behind the functions.
RowOperation OperationOf(int number, TargetsMember targets, int function, double cost) {
  const LossKernels* const tables[kDTypes] = {GetLossKernels32(), GetLossKernels64(), GetLossKernelsFloat16(),
                                              GetLossKernelsBFloat16()};
  const auto kernel_of = [=](const LossKernels* table) -> const LossKernel& {
    const LossKernelsOfTargets& kernels = table[number].*targets;
    return function == kLossFunctions ? kernels.count_outside : kernels.functions[function];
  };
  RowOperation operation{kLosses[number].name, cost * kCostLanes / FloatLanes(), kernel_of(tables[0]).traits, {}};
  for (int i = 0; i < kDTypes; ++i) operation.kernels[i] = kernel_of(tables[i]).kernels;
  return operation;
}

LossOperationsOfTargets OperationsOf(int number, TargetsMember targets, double cost, double check_cost) {
  const double costs[] = {cost, cost + kGradientCost, kWithGradCost * cost};
  LossOperationsOfTargets operations;
  for (int i = 0; i < kLossFunctions; ++i) operations.functions[i] = OperationOf(number, targets, i, costs[i]);
  operations.count_outside = OperationOf(number, targets, kLossFunctions, check_cost);
  return operations;
}

// ---------------------------------------------------------------- class targets

template <class F>
size_t CountIf(const int64_t* targets, size_t n, const F& is_counted) {
  std::atomic<size_t> sum{0};
  ParallelFor(n, 1, kTargetCycles, [&](size_t begin, size_t end) {
    size_t counted = 0;
    for (size_t i = begin; i < end; ++i) counted += is_counted(targets[i]);
    sum += counted;
  });
  return sum;
}

// ---------------------------------------------------------------- sums

template <class F>
double SumOfValues(size_t begin, size_t end, const F& value) {
  constexpr size_t kBlock = 512, kLanes = 8;
  const size_t n = end - begin;
  if (n > kBlock) {
    const size_t middle = begin + n / 2 / kLanes * kLanes;
    return SumOfValues(begin, middle, value) + SumOfValues(middle, end, value);
  }
  double sums[kLanes] = {};
  size_t i = begin;
  for (; i + kLanes <= end; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += value(i + lane);
  }
  for (size_t lane = 0; i < end; ++i, ++lane) sums[lane] += value(i);
  for (size_t step = kLanes / 2; step > 0; step /= 2) {
    for (size_t lane = 0; lane < step; ++lane) sums[lane] += sums[lane + step];
  }
  return sums[0];
}

// ---------------------------------------------------------------- the run

// Rows of one length, and the entry they start at: the pieces of a loss without an axis.
struct Piece {
  size_t start, rows, classes;
};

// One number for all rows, and all classes where it has them.
void SetConstant(RowArrays& arrays, int k, const void* number) {
  arrays.operands[k].data = static_cast<char*>(const_cast<void*>(number));
  arrays.operands[k].item = 0;
  std::fill_n(arrays.operands[k].strides, arrays.axes, 0);
}

// A number for each row, without gaps.
void SetDense(RowArrays& arrays, int k, const void* numbers, ptrdiff_t bytes) {
  SetConstant(arrays, k, numbers);
  for (int i = arrays.axes; i-- > 0; bytes *= arrays.shape[i]) arrays.operands[k].strides[i] = bytes;
}

// An array with the axes of the call; or entries without gaps as rows.
void SetEntries(const LossArrays& a, RowArrays& arrays, int k, const RowArrays::Array& array, ptrdiff_t bytes,
                const Piece& piece) {
  RowArrays::Array& operand = arrays.operands[k];
  operand.data = array.data;
  operand.item = array.item;
  if (!a.of_entries) {
    std::copy_n(array.strides, a.axes, operand.strides);
    return;
  }
  operand.item = bytes;
  operand.data += piece.start * bytes;
  operand.strides[0] = piece.classes * bytes;
}

void SetWeight(const LossArrays& a, RowArrays& arrays, int k, const void* weight, ptrdiff_t item, const Piece& piece) {
  static const float kOne32 = 1;
  static const double kOne64 = 1;
  if (weight == nullptr) {
    SetConstant(arrays, k, item == sizeof(float) ? static_cast<const void*>(&kOne32) : &kOne64);
    if (piece.classes == 1) arrays.operands[k].item = item;  // between two classes there would be no gap
    return;
  }
  SetConstant(arrays, k, weight);
  if (a.of_entries) {
    SetEntries(a, arrays, k, arrays.operands[k], item, piece);
  } else {
    arrays.operands[k].item = item;
  }
}

bool RunPiece(const RowOperation& operation, const LossArrays& a, const Piece& piece, void* losses, size_t* bytes) {
  const OperandList& list = operation.traits.operands;
  const auto item_of_rows = static_cast<ptrdiff_t>(ItemSize(a.dtype));
  const auto item = static_cast<ptrdiff_t>(ItemSize(ComputedType(a.dtype)));
  float floats[4];
  std::copy_n(a.scalars, 4, floats);
  RowArrays arrays;
  if (a.of_entries) {
    arrays.axes = 1;
    arrays.shape[0] = piece.rows;
    arrays.classes = piece.classes;
  } else {
    arrays.axes = a.axes;
    std::copy_n(a.shape, a.axes, arrays.shape);
    arrays.classes = a.classes;
  }
  int weights = 0, scalars = 0;
  for (int k = 0; k < list.count; ++k) {
    switch (list.kinds[k]) {
      case Operand::kRowIn:
        if (k == 0) {
          SetEntries(a, arrays, k, a.x, item_of_rows, piece);
        } else {
          SetEntries(a, arrays, k, a.target, a.is_target_wide ? item : item_of_rows, piece);
          if (a.is_target_wide) arrays.wide |= 1u << k;
        }
        break;
      case Operand::kIndexIn:
        SetDense(arrays, k, a.class_targets, sizeof(int64_t));
        break;
      case Operand::kOptionalIn:
        SetWeight(a, arrays, k, weights++ == 0 ? a.weight : a.pos_weight, item, piece);
        break;
      case Operand::kScalarIn:
        if (a.upstream.data != nullptr && scalars == a.upstream_place) {
          arrays.operands[k].data = a.upstream.data;
          arrays.operands[k].item = 0;
          std::copy_n(a.upstream.strides, arrays.axes, arrays.operands[k].strides);
          if (a.of_entries) arrays.operands[k].strides[0] = item;
        } else {
          SetConstant(arrays, k, item == sizeof(float) ? static_cast<const void*>(&floats[scalars]) : &a.scalars[scalars]);
        }
        ++scalars;
        break;
      case Operand::kScalarOut:
        SetDense(arrays, k, losses, item);
        break;
      case Operand::kSumOut:
        SetDense(arrays, k, losses, sizeof(double));
        break;
      case Operand::kRowOut:
        SetEntries(a, arrays, k, a.gradient, item_of_rows, piece);
        break;
    }
  }
  return RunRows(operation, a.dtype, arrays, bytes);
}

std::vector<LossOperations> MakeOperations() {
  std::vector<LossOperations> all(kLossCount);
  for (int i = 0; i < kLossCount; ++i) {
    const LossCost& cost = kLosses[i].cost;
    all[i] = {OperationsOf(i, &LossKernels::of_class, cost.of_class, kOwnEntryCost),
              OperationsOf(i, &LossKernels::of_row, cost.of_row, kCheckCost),
              OperationsOf(i, &LossKernels::of_piece, cost.of_row, kCheckCost)};
  }
  return all;
}

}  // namespace

const LossOperations& GetLossOperations(int number) {
  static const std::vector<LossOperations>& kAll = *new std::vector<LossOperations>(MakeOperations());
  return kAll[number];
}

template <class T>
CheckedTargets CheckTargets(const int64_t* targets, size_t n, const ClassRange& classes, const T* weights,
                            const double* of_rows) {
  const size_t outside = CountIf(targets, n, [=](int64_t target) { return !classes.Has(target); });
  const bool ignores_class = classes.ignored && classes.Has(*classes.ignored);
  const bool may_ignore = outside > 0 || ignores_class;  // mostly not: one pass
  const size_t ignored = may_ignore ? CountIf(targets, n, [=](int64_t target) { return classes.Ignores(target); }) : 0;
  if (outside > (ignores_class ? 0 : ignored)) {
    const auto is_bad = [=](int64_t target) { return !classes.Ignores(target) && !classes.Has(target); };
    const int64_t* bad = std::find_if(targets, targets + n, is_bad);
    if (bad != targets + n) return {0, ignored > 0, bad - targets};  // else another thread has written to the array
  }
  double total = static_cast<double>(n - ignored);
  bool ignores = ignored > 0;
  if (weights != nullptr || of_rows != nullptr) {
    total = 0;  // in one order, whatever the threads
    for (size_t i = 0; i < n; ++i) {
      const int64_t target = targets[i];
      const double of_row = of_rows == nullptr ? 1 : of_rows[i];
      const bool counts = !classes.Ignores(target) && classes.Has(target) && of_row != 0;
      total += !counts ? 0 : weights == nullptr ? of_row : of_row * static_cast<double>(weights[target]);
      ignores |= of_row == 0;
    }
  }
  return {total, ignores, -1};
}

template CheckedTargets CheckTargets(const int64_t*, size_t, const ClassRange&, const float*, const double*);
template CheckedTargets CheckTargets(const int64_t*, size_t, const ClassRange&, const double*, const double*);

void MarkTargets(const int64_t* targets, size_t n, const ClassRange& classes, const double* of_rows, int64_t* marked) {
  ParallelFor(n, 1, kTargetCycles, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      marked[i] = classes.Ignores(targets[i]) || (of_rows != nullptr && of_rows[i] == 0) ? -1 : targets[i];
    }
  });
}

template <class T>
double SumOf(const T* numbers, const double* weights, size_t n) {
  if (weights == nullptr) return SumOfValues(0, n, [=](size_t i) -> double { return numbers[i]; });
  return SumOfValues(0, n, [=](size_t i) { return weights[i] == 0 ? 0 : numbers[i] * weights[i]; });
}

template double SumOf(const float*, const double*, size_t);
template double SumOf(const double*, const double*, size_t);

size_t LossArrays::Losses() const {
  if (of_entries) return entries;
  size_t rows = 1;
  for (int i = 0; i < axes; ++i) rows *= shape[i];
  return rows;
}

size_t RoomForSums(bool of_entries, size_t losses) { return (of_entries ? losses / kEntriesOfRow : losses) + 1; }

bool RunLoss(const RowOperation& operation, const LossArrays& a, bool each, void* losses, double* total, size_t* bytes) {
  const size_t rest = a.entries % kEntriesOfRow;
  Piece pieces[2] = {{0, a.Losses(), 0}, {}};
  if (a.of_entries && each) pieces[0] = {0, a.entries, 1};
  if (a.of_entries && !each) {
    pieces[0] = {0, a.entries / kEntriesOfRow, kEntriesOfRow};
    pieces[1] = {a.entries - rest, rest > 0, rest};
  }
  const OperandList& list = operation.traits.operands;
  const bool has_floats = Has(list, Operand::kScalarOut) && ComputedType(a.dtype) == kFloat32;
  const bool has_sum = (Has(list, Operand::kScalarOut) || Has(list, Operand::kSumOut)) && !each;
  *total = 0;
  for (const Piece& piece : pieces) {
    if (piece.rows == 0) continue;
    if (!RunPiece(operation, a, piece, losses, bytes)) return false;
    if (!has_sum) continue;
    *total += has_floats ? SumOf(static_cast<const float*>(losses), a.sample_weight, piece.rows)
                         : SumOf(static_cast<const double*>(losses), a.sample_weight, piece.rows);
  }
  return true;
}

}  // namespace nonlin
