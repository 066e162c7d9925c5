// Runs losses on whole calls: takes the arrays of a call, checks classes, runs the row kernels and adds up. No Python.
#pragma once

#include <cstdint>
#include <optional>

#include "runtime/rows.h"

namespace nonlin {

// ---------------------------------------------------------------- the operations of the table

// For one kind of targets.
struct LossOperationsOfTargets {
  RowOperation functions[kLossFunctions], count_outside;
};

struct LossOperations {
  LossOperationsOfTargets of_class, of_row, of_piece;
};

const LossOperations& GetLossOperations(int number);  // of a row of kLosses; made at import, for the instruction set in use

// ---------------------------------------------------------------- class targets

// A class that counts, one that is ignored, or neither.
struct ClassRange {
  int64_t count;
  std::optional<int64_t> ignored;
  bool Has(int64_t target) const { return static_cast<uint64_t>(target) < static_cast<uint64_t>(count); }
  bool Ignores(int64_t target) const { return ignored && target == *ignored; }
};

struct CheckedTargets {
  double total;   // sum of the weights of those that count, times those of their rows
  bool ignores;   // whether there are others
  ptrdiff_t bad;  // position of the first one that is no class, or -1
};

// The classes' weights are of type T; none, and none of the rows, stand for 1. A row of weight 0 does not count.
template <class T>
CheckedTargets CheckTargets(const int64_t* targets, size_t n, const ClassRange& classes, const T* weights,
                            const double* of_rows);

// Copies targets, with -1 for the rows that do not count.
void MarkTargets(const int64_t* targets, size_t n, const ClassRange& classes, const double* of_rows, int64_t* marked);

// ---------------------------------------------------------------- sums

// The sum of numbers of type T in halves, so that the error grows with the logarithm of their number. With the weights of
// rows, of numbers times weights, but nothing where that is 0.
template <class T>
double SumOf(const T* numbers, const double* weights, size_t n);

// The losses of rows times their weights: nothing, whatever it is, where that is 0.
template <class T>
void Weigh(T* losses, const double* weights, size_t n) {
  for (size_t i = 0; i < n; ++i) losses[i] = static_cast<T>(weights[i] == 0 ? 0 : losses[i] * weights[i]);
}

// ---------------------------------------------------------------- the run

// The arrays and numbers of a call. Weights and scalars are of the type that is computed in.
struct LossArrays {
  DType dtype;  // of x
  // The axes and classes of x. A loss without a class axis has `entries` instead, in C order, as have its arrays.
  bool of_entries;
  size_t entries;
  int axes;
  size_t shape[kMaxAxes];
  size_t classes;
  RowArrays::Array x, target, gradient;
  bool is_target_wide;              // see RowOperand
  const int64_t* class_targets;     // negative for an ignored row
  const void *weight, *pos_weight;  // of classes, or of entries, or null
  const double* sample_weight;      // of each row, or null
  double scalars[4];                // options of the kernel, and the upstream gradient behind them
  int upstream_place;
  RowArrays::Array upstream;  // where each row has its own, else its data is null

  size_t Losses() const;
};

// How many losses, or sums of entries where there is no class axis, are added up in a call with so many losses.
size_t RoomForSums(bool of_entries, size_t losses);

// Runs an operation. `losses` has room for the loss of each row, or with `each` of each entry; without it the losses, each
// times its row's weight, are added up in `*total`. Returns false, with nothing done, if `*bytes` could not be allocated.
bool RunLoss(const RowOperation& operation, const LossArrays& arrays, bool each, void* losses, double* total, size_t* bytes);

}  // namespace nonlin
