// Row kernels, and the loops that bring rows to them: in place, or through a buffer, side by side or one by one. A plan of
// runtime/rows.cc says which, and a row has the same bits in all of them. Formulas are in softmax-inl.h and losses-inl.h.

#if defined(NONLIN_SIMD_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_ROWS_INL_H_
#undef NONLIN_SIMD_ROWS_INL_H_
#else
#define NONLIN_SIMD_ROWS_INL_H_
#endif

#include "simd/dense_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// A row operation names its operands, in the order of its gufunc's signature. Run(p, r) computes one row (Along) or one
// group of rows (Across); `r` gives access to the operands' data.
struct RowFormula {
  static constexpr size_t kNarrow = nonlin::kNarrow;
  // Rows in place of up to this many vectors are short: longer ones are no faster together, out of cache.
  static constexpr size_t kShortSteps = 0;
  // Whether there is a kernel RunDense for dense rows, and which operands must then be absent or 0.
  static constexpr bool kDense = false;
  static constexpr unsigned kDenseWithout = 0;
  static constexpr bool kTakesLogarithm = false;  // of the sum of a row's exponentials
  static constexpr bool kOwnEntryOnly = false;
  static constexpr bool kWideScalars = false;  // of the computed type in memory
  static constexpr Changes kChanges{};
  static constexpr bool kInPlace = true, kSideBySide = true;  // the layouts that are met
  static constexpr bool kSharesFloatKernels = false;          // for 16-bit rows, on all instruction sets
  static constexpr bool kHasExponentials = false;             // of its row, which may be short
};

// Rows in memory are of type S, scalars of type Scalar, all else of the type that rows are computed in.
template <class Operation, class S, class Scalar>
struct GroupData {
  using T = Computed<S>;
  template <Operand kind>
  using TypeOf = std::conditional_t<
      IsRow(kind), S, std::conditional_t<IsScalar(kind), Scalar, std::conditional_t<kind == Operand::kSumOut, double, T>>>;
  void* data[Operation::kOperands.count];
  T* buffer;  // as long as a row, for operations whose result is rows
  template <size_t k>
  auto* Row() const {
    return static_cast<TypeOf<Operation::kOperands.kinds[k]>*>(data[k]);
  }
  template <size_t k>
  const void* Index() const {  // of the layout's type Index
    return data[k];
  }
};

// ---------------------------------------------------------------- kernels

// Whether all results have 16 bits.
template <class Operation, class S, class Scalar>
constexpr bool kIsShort = Operation::kHasExponentials && sizeof(S) == sizeof(uint16_t) && std::is_same_v<S, Scalar>;

// Kept out of RunInPlace: a loop over rows is up to 1.15 times as fast in a function without the other one.
template <class Operation, class S>
HWY_NOINLINE void RunInGroups(const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end, void* buffer) {
  const Along<S, kIsShort<Operation, S, S>> p{{}, plan.classes, false, plan};
  for (size_t row = begin; row < end; row += plan.rows) {
    RunShortRows<Operation, S>(p, operands[0], operands[1], row, HWY_MIN(plan.rows, end - row), plan.stream,
                               static_cast<Computed<S>*>(buffer));
  }
}

// Compiled once per layout, however many loops call it.
template <class Operation, class P, class R>
HWY_NOINLINE void RunGroup(const P& p, const R& group) {
  Operation::Run(p, group);
}

template <class Operation, class S, class Scalar, bool kShort = kIsShort<Operation, S, Scalar>>
void RunInPlace(const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end, void* buffer) {
  constexpr OperandList kList = Operation::kOperands;
  if constexpr (kCanReduceLanes && Operation::kShortSteps > 0) {
    if (plan.layout == Layout::kShortRows) return RunInGroups<Operation, S>(plan, operands, begin, end, buffer);
  }
  const Along<S, kShort> p{{}, plan.classes, plan.stream, plan};
  for (size_t row = begin; row < end; ++row) {
    GroupData<Operation, S, Scalar> group;
    group.buffer = static_cast<Computed<S>*>(buffer);
    for (int k = 0; k < kList.count; ++k) {
      const RowOperand& o = operands[k];
      const bool absent = IsAbsent(kList.kinds[k], o, plan.classes);
      group.data[k] = absent ? nullptr : o.data + static_cast<ptrdiff_t>(row) * o.row;
      // Two rows share this line. A regular store to it would wait for the line, and all later stores for that one.
      if (plan.stream && kList.kinds[k] == Operand::kRowOut) hwy::Prefetch(static_cast<S*>(group.data[k]) + plan.classes);
    }
    RunGroup<Operation>(p, group);
  }
}

template <class Operation, class T, bool kShort>
void RunSideBySide(const RowPlan& plan, const PackedRows& packed, size_t groups, const RowOperand* operands, size_t next_row,
                   size_t fetched) {
  constexpr OperandList kList = Operation::kOperands;
  const Across<T, kShort> p{{}, plan.classes};
  const size_t lanes = hn::Lanes(p.d);
  for (size_t i = 0; i < groups; ++i) {
    GroupData<Operation, T, T> group;
    group.buffer = static_cast<T*>(packed.spare);
    for (int k = 0; k < kList.count; ++k) {
      group.data[k] = packed.data[k] == nullptr ? nullptr : packed.data[k] + i * packed.steps[k];
      if (kList.kinds[k] != Operand::kRowIn || (i + 1) * lanes > fetched) continue;
      PrefetchRows(operands[k], {plan.classes, lanes}, operands[k].wide ? sizeof(T) : ItemSize(plan.dtype),
                   next_row + i * lanes);
    }
    RunGroup<Operation>(p, group);
  }
}

// ---------------------------------------------------------------- loops

template <class S, class Scalar>
struct RowLoops {
  using T = Computed<S>;

  // Runs rows through buffers: as many side by side as there are lanes, or one by one. A constant number of lanes saves up
  // to 6 % of a call.
  template <bool kOneByOne>
  struct Packed {
    using Index = std::conditional_t<kOneByOne, typename Along<T, false>::Index, typename Across<T>::Index>;

    static size_t Lanes() { return kOneByOne ? 1 : hn::Lanes(hn::ScalableTag<T>()); }

    static PackedRows Pack(const RowOperation& operation, const RowPlan& plan, const RowOperand* operands, size_t row,
                           size_t count, void* scratch) {
      const OperandList& list = operation.traits.operands;
      const size_t lanes = Lanes();
      PackedRows packed;
      packed.spare = nullptr;
      char* rows = nullptr;
      for (int k = 0; k < list.count; ++k) {
        const RowOperand& o = operands[k];
        const Operand kind = list.kinds[k];
        const GroupLayout layout{HasClasses(kind) ? plan.classes : 1, lanes};
        char*& data = packed.data[k] = static_cast<char*>(scratch) + plan.offsets[k];
        T* const buffer = reinterpret_cast<T*>(data);
        packed.steps[k] = layout.Step() * sizeof(T);
        const bool is_shared = o.row == 0;  // by all rows
        const size_t different = is_shared ? HWY_MIN(count, lanes) : count;
        switch (kind) {
          case Operand::kRowIn:
            if (rows == nullptr) rows = data;
            o.wide ? PackRows<T>(o, layout, row, count, buffer) : PackRows<S>(o, layout, row, count, buffer);
            break;
          case Operand::kOptionalIn:
            if (IsAbsent(kind, o, plan.classes)) {
              data = nullptr;
              break;
            }
            PackRows<T>(o, layout, row, different, buffer);
            if (is_shared) packed.steps[k] = 0;
            break;
          case Operand::kScalarIn:
            PackRows<Scalar>(o, layout, row, different, buffer);
            if (is_shared) packed.steps[k] = 0;
            break;
          case Operand::kIndexIn:
            packed.steps[k] = lanes * sizeof(Index);
            PackIndices(o, row, count, lanes, plan.classes, reinterpret_cast<Index*>(data));
            break;
          case Operand::kRowOut:
            packed.spare = buffer;
            data = rows;
            break;
          case Operand::kScalarOut:
            break;
          case Operand::kSumOut:  // is not converted
            data = o.data + static_cast<ptrdiff_t>(row) * o.row;
            break;
        }
      }
      return packed;
    }

    // Computes packed rows, and meanwhile prefetches the `fetched` rows that follow.
    static void Compute(const RowOperation& operation, const RowPlan& plan, const RowOperand* operands, size_t row,
                        size_t count, size_t fetched, const PackedRows& packed) {
      const RowKernels& own = operation.kernels[plan.dtype];
      const RowKernels& kernels = own.side_by_side == nullptr ? operation.kernels[ComputedType(plan.dtype)] : own;
      if constexpr (kOneByOne) {
        RowOperand rows[kMaxRowOperands];
        for (int k = 0; k < operation.traits.operands.count; ++k) {
          rows[k] = {packed.data[k], 0, packed.data[k] == nullptr ? 0 : static_cast<ptrdiff_t>(sizeof(T))};
        }
        kernels.one_by_one(plan, rows, 0, 1, packed.spare);
      } else {
        kernels.side_by_side(plan, packed, (count + Lanes() - 1) / Lanes(), operands, row + count, fetched);
      }
    }

    static void Unpack(const RowOperation& operation, const RowPlan& plan, const RowOperand* operands, size_t row,
                       size_t count, const PackedRows& packed) {
      const OperandList& list = operation.traits.operands;
      for (int k = 0; k < list.count; ++k) {
        const T* const buffer = reinterpret_cast<T*>(packed.data[k]);
        if (list.kinds[k] == Operand::kRowOut) {
          T* const spare = static_cast<T*>(packed.spare);
          UnpackRows<S>(operands[k], {plan.classes, Lanes()}, row, count, buffer, spare, plan.stream);
        } else if (list.kinds[k] == Operand::kScalarOut) {
          UnpackRows<Scalar, T>(operands[k], {1, Lanes()}, row, count, buffer, nullptr, plan.stream);
        }
      }
    }

    // How many rows a result of contiguous rows begins beyond alignment.
    static size_t Misaligned(const OperandList& list, const RowOperand* operands, size_t row) {
      for (int k = 0; k < list.count; ++k) {
        const RowOperand& o = operands[k];
        if (list.kinds[k] != Operand::kRowOut || o.row != sizeof(S)) continue;
        return (reinterpret_cast<uintptr_t>(o.data) / sizeof(S) + row) % hn::Lanes(hn::ScalableTag<T>());
      }
      return 0;
    }

    static void Run(const RowOperation& operation, const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end,
                    void* scratch) {
      size_t count = 0;
      for (size_t row = begin; row < end; row += count) {
        // If the result's rows are contiguous, a few of them come first, so that the rest is aligned.
        const size_t beyond = plan.stream ? Misaligned(operation.traits.operands, operands, row) : 0;
        count = HWY_MIN(plan.rows - beyond, end - row);
        const size_t fetched = plan.fetches ? HWY_MIN(plan.rows, end - row - count) : 0;
        const PackedRows packed = Pack(operation, plan, operands, row, count, scratch);
        Compute(operation, plan, operands, row, count, fetched, packed);
        Unpack(operation, plan, operands, row, count, packed);
      }
    }
  };

  template <class Number>
  static RowOperand OwnEntries(const RowOperand& o, const int64_t* places, size_t count, Number* entries) {
    for (size_t i = 0; i < count; ++i) {
      entries[i] = *reinterpret_cast<const Number*>(o.data + static_cast<ptrdiff_t>(i) * o.row + places[i] * o.item);
    }
    return {reinterpret_cast<char*>(entries), sizeof(Number), 0};
  }

  // Runs the entries of the target classes as rows of one class.
  static void RunOwnEntries(const RowOperation& operation, const RowPlan& plan, const RowOperand* operands, size_t begin,
                            size_t end, void* scratch) {
    const OperandList& list = operation.traits.operands;
    int64_t places[kGatheredRows], targets[kGatheredRows];
    S entries[kGatheredRows];
    T weights[kGatheredRows];
    for (size_t row = begin; row < end; row += kGatheredRows) {
      const size_t count = HWY_MIN(kGatheredRows, end - row);
      RowOperand own[kMaxRowOperands];
      for (int k = 0; k < list.count; ++k) {
        const RowOperand& o = operands[k];
        own[k] = {o.data + static_cast<ptrdiff_t>(row) * o.row, o.row, o.item};
        if (list.kinds[k] != Operand::kIndexIn) continue;
        PackIndices(o, row, count, 1, plan.all_classes, places);
        for (size_t i = 0; i < count; ++i) {
          targets[i] = HWY_MIN(places[i], 0);
          places[i] = HWY_MAX(places[i], 0);
        }
        own[k] = {reinterpret_cast<char*>(targets), sizeof(int64_t), 0};
      }
      for (int k = 0; k < list.count; ++k) {
        if (list.kinds[k] == Operand::kRowIn) own[k] = OwnEntries(own[k], places, count, entries);
        if (list.kinds[k] == Operand::kOptionalIn && !IsAbsent(list.kinds[k], own[k], plan.all_classes)) {
          own[k] = OwnEntries(own[k], places, count, weights);
        }
      }
      Packed<false>::Run(operation, plan, own, 0, count, scratch);
    }
  }

  static void Run(const RowOperation& operation, const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end,
                  void* scratch) {
    if (plan.classes < plan.all_classes) {
      RunOwnEntries(operation, plan, operands, begin, end, scratch);
    } else if (plan.layout == Layout::kDense) {
      for (size_t row = begin; row < end;) {
        row = operation.kernels[plan.dtype].dense(plan, operands, row, end, scratch);
        const size_t left = HWY_MIN(plan.rows, end - row);
        if (left > 0) Packed<false>::Run(operation, plan, operands, row, row + left, scratch);
        row += left;
      }
    } else if (plan.layout == Layout::kInPlace || plan.layout == Layout::kShortRows) {
      operation.kernels[plan.dtype].in_place(plan, operands, begin, end, scratch);
    } else if (plan.layout == Layout::kSideBySide) {
      Packed<false>::Run(operation, plan, operands, begin, end, scratch);
    } else {
      Packed<true>::Run(operation, plan, operands, begin, end, scratch);
    }
    if (plan.stream) hwy::FlushStream();
  }
};

// ---------------------------------------------------------------- tables

template <class Operation>
HWY_NOINLINE RowTraits TraitsOf() {
  return {Operation::kOperands,
          Operation::kChanges,
          Operation::kNarrow,
          kCanReduceLanes ? Operation::kShortSteps : 0,
          Operation::kDenseWithout,
          Operation::kTakesLogarithm,
          Operation::kOwnEntryOnly,
          Operation::kWideScalars,
          hn::Lanes(hn::ScalableTag<float>()),
          hn::Lanes(hn::ScalableTag<double>()),
          !HWY_MEM_OPS_MIGHT_FAULT};
}

// On rare instruction sets 16-bit rows use the kernels of float, on packed copies. On SSE4, losses of float16 are even
// faster so, 1.06 to 2.2 times, and those of bfloat16 0.96 to 1.2 times; with AVX-512, 0.65 to 1.
template <class Operation, class S, class Scalar = S>
constexpr RowKernels KernelsOf() {
  using T = Computed<S>;
  constexpr bool k16Bit = !std::is_same_v<S, T>;
  constexpr bool kIsShared = k16Bit && (kIsRare || (Operation::kSharesFloatKernels && std::is_same_v<Scalar, float>));
  // Side by side, two rows of float64 on SSE4 take as long as two in place.
  constexpr bool kOneLayout = kIsRare && Operation::kSideBySide && hn::MaxLanes(hn::ScalableTag<T>()) <= 2;
  RowKernels kernels{RowLoops<S, Scalar>::Run, nullptr, nullptr, nullptr, nullptr};
  if constexpr (Has(Operation::kOperands, Operand::kRowIn) && Operation::kInPlace && !Operation::kOwnEntryOnly &&
                !kIsShared && !kOneLayout) {
    kernels.in_place = RunInPlace<Operation, S, Scalar>;
  }
  if constexpr (Operation::kDense && !kIsRare && kCanReduceLanes) kernels.dense = Operation::template RunDense<S, Scalar>;
  if constexpr (!k16Bit) {
    kernels.one_by_one = kernels.in_place;
    if constexpr (Operation::kSideBySide) kernels.side_by_side = RunSideBySide<Operation, S, false>;
  } else if constexpr (kIsShort<Operation, S, Scalar> && !kIsRare) {
    kernels.one_by_one = RunInPlace<Operation, T, T, true>;
    kernels.side_by_side = RunSideBySide<Operation, T, true>;
  }
  return kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_ROWS_INL_H_
