// Row kernels: the loops over rows along the class axis.
//
// Which layout a row has depends on the number of classes and their stride, never on the number of rows. Narrow and strided
// rows go side by side, through buffers. Wide contiguous ones are read in place; a row's maximum and sum are found block by
// block in a single read of memory. Those of a few vectors are in place too, as many together as there are lanes, where an
// operation has an `Entry`. Huge ones are cut into chunks, which threads share where rows are fewer than threads.

#if defined(NONLIN_SIMD_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_ROWS_INL_H_
#undef NONLIN_SIMD_ROWS_INL_H_
#else
#define NONLIN_SIMD_ROWS_INL_H_
#endif

#include "simd/together-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// A row operation names its operands, in the order of its gufunc's signature, and computes one row (Along) or one group
// of rows (Across): Run(p, r), where `r` hands out the operands' data.
struct RowFormula {
  // Vectors of classes up to which contiguous rows go side by side: as long as what is done once in a row costs more than
  // bringing the rows into that order.
  static constexpr size_t kNarrow = 10;
  // Those up to which rows go together in place: longer ones do so no faster, out of cache.
  static constexpr size_t kTogether = 0;
  // Whether nothing of a row is read but the entry of its class.
  static constexpr bool kOwnEntryOnly = false;
};

// Rows in memory are of type Stored, scalars of type Scalar; everything else of the type in which they are computed.
template <class Operation, class Stored, class Scalar>
struct GroupData {
  using T = Computed<Stored>;
  static constexpr int kCount = Operation::kOperands.count;
  template <Operand kind>
  using TypeOf = std::conditional_t<IsRow(kind), Stored, std::conditional_t<IsScalar(kind), Scalar, T>>;
  void* data[kCount];
  T* buffer;  // for as many entries as a row has, of an operation with rows for a result
  template <size_t k>
  auto* Row() const {
    return static_cast<TypeOf<Operation::kOperands.kinds[k]>*>(data[k]);
  }
  template <size_t k>
  const void* Index() const {  // of the type that the layout has for it
    return data[k];
  }
};

constexpr size_t kMaxAcross = 65536;  // classes up to which strided rows do: their buffers stay in L3
constexpr size_t kFew = 16;  // classes up to which strided rows can be fetched ahead: more fall to the same places of L1

// Rows in memory are of type S, scalars of type Scalar.
template <class Operation, class S, class Scalar = S>
struct RowLoops {
  using T = Computed<S>;
  using InPlace = Along<S, std::is_same_v<S, Scalar> && !std::is_same_v<S, T>>;
  static constexpr int kCount = Operation::kOperands.count;

  // NumPy gives stride 0 to a single class too.
  static bool IsAbsent(Operand kind, const RowOperand& o, size_t classes) {
    return kind == Operand::kOptionalIn && o.item == 0 && classes > 1;
  }

  // How many groups go through the buffers together. What is `near` stays in L1, beside the next rows that are fetched
  // meanwhile; else neighbouring rows make pieces that are worth their cache misses, in L2. Half of kL1Bytes is 1.1 times as
  // fast for logsumexp out of cache, and 0.96 for softmax.
  static size_t Groups(size_t classes, size_t lanes, bool near) {
    constexpr size_t kMaxGroups = 16, kL1Bytes = size_t{1} << 14, kL2Bytes = size_t{1} << 18;
    return HWY_MIN(kMaxGroups, HWY_MAX((near ? kL1Bytes : kL2Bytes) / (classes * lanes * sizeof(T)), 1));
  }

  // Elements of a buffer of an operand.
  static size_t BufferSize(Operand kind, const GroupLayout& g, size_t groups) {
    if (HasClasses(kind)) return groups * g.Step();
    return groups * g.lanes * (kind == Operand::kIndexIn ? sizeof(int64_t) / sizeof(T) : 1);
  }

  // Whether the kernel may work on rows where they are.
  static bool AreInPlace(const RowOperand* operands, size_t classes) {
    const hn::ScalableTag<T> d;
    return classes > Operation::kNarrow * hn::Lanes(d) && AreContiguous(operands, classes) &&
           !Has(Operation::kOperands, Operand::kMaskIn);
  }

  static bool AreContiguous(const RowOperand* operands, size_t classes) {
    for (int k = 0; k < kCount; ++k) {
      const Operand kind = Operation::kOperands.kinds[k];
      if (!HasClasses(kind) || kind == Operand::kMaskIn || IsAbsent(kind, operands[k], classes)) continue;
      const size_t item = IsRow(kind) ? sizeof(S) : sizeof(T);
      if (operands[k].item != static_cast<ptrdiff_t>(item)) return false;
    }
    return true;
  }

  // Whether it works on them in place, as many together as there are lanes: on rows that leave few lanes empty, none where
  // stores have no masks.
  static bool AreTogether(const RowOperand* operands, size_t classes) {
    const hn::ScalableTag<T> d;
    const size_t lanes = hn::Lanes(d), filled = InPlace{d, classes, false}.Steps() * lanes;
    const bool is_full = HWY_MEM_OPS_MIGHT_FAULT ? filled == classes : 5 * filled <= 6 * classes;
    return kCanReduceLanes && is_full && classes >= 2 * lanes && classes <= Operation::kTogether * lanes &&
           AreContiguous(operands, classes);
  }

  // How many: as many as L1 holds with their exponentials.
  static size_t GroupTogether(size_t classes) {
    const hn::ScalableTag<T> d;
    constexpr size_t kBytes = 14336;
    const size_t row = InPlace{d, classes, false}.Steps() * hn::Lanes(d) * sizeof(T);
    return HWY_MIN(hn::Lanes(d), HWY_MAX(kBytes / row, 1));
  }

  // Elements of scratch memory that a thread needs: rows in place keep their exponentials, the others go through buffers.
  static size_t Scratch(const RowOperand* operands, size_t classes) {
    const hn::ScalableTag<T> d;
    if constexpr (Operation::kOwnEntryOnly) classes = 1;
    if (AreTogether(operands, classes)) return InPlace{d, classes, false}.Steps() * hn::Lanes(d) * GroupTogether(classes);
    if (AreInPlace(operands, classes)) {
      return Has(Operation::kOperands, Operand::kRowOut) && classes <= kMaxKept ? classes : 0;
    }
    const GroupLayout layout{classes, classes <= kMaxAcross ? hn::Lanes(d) : 1};
    size_t size = 0;
    for (int k = 0; k < kCount; ++k) {
      size += BufferSize(Operation::kOperands.kinds[k], layout, Groups(classes, layout.lanes, false));
    }
    return size;
  }

  // Compiled once for a layout, however many loops call it. Packed rows are of type T, whatever they were.
  using InPlaceRow = GroupData<Operation, S, Scalar>;
  using PackedGroup = GroupData<Operation, T, T>;
  static HWY_NOINLINE void RunGroup(const InPlace& p, const InPlaceRow& group) { Operation::Run(p, group); }
  static HWY_NOINLINE void RunGroup(const Across<T>& p, const PackedGroup& group) { Operation::Run(p, group); }

  // `count` rows in groups of `lanes` rows side by side, through buffers, while `fetched` rows behind them are fetched. The
  // result of a row takes the place of its first operand.
  template <class P>
  static void RunPacked(const P& p, const RowOperand* operands, size_t row, size_t count, size_t fetched, size_t lanes,
                        bool stream, T* scratch) {
    const size_t groups = (count + lanes - 1) / lanes;
    T* buffers[kCount];
    size_t steps[kCount];  // from a group to the next
    T *rows = nullptr, *spare = nullptr;
    for (int k = 0; k < kCount; ++k) {
      const RowOperand& o = operands[k];
      const Operand kind = Operation::kOperands.kinds[k];
      const GroupLayout layout{HasClasses(kind) ? p.classes : 1, lanes};
      buffers[k] = scratch;
      steps[k] = layout.Step();
      scratch += BufferSize(kind, layout, groups);
      switch (kind) {
        case Operand::kRowIn:
          if (rows == nullptr) rows = buffers[k];
          PackRows<S>(o, layout, row, count, buffers[k]);
          break;
        case Operand::kMaskIn:
          PackOneByOne<uint8_t>(o, layout, row, count, buffers[k]);
          break;
        case Operand::kOptionalIn:
        case Operand::kScalarIn:
          if (IsAbsent(kind, o, p.classes)) {
            buffers[k] = nullptr;
            steps[k] = 0;
            break;
          }
          if (o.row == 0) steps[k] = 0;  // one for all rows
          if (kind == Operand::kScalarIn) {
            PackRows<Scalar>(o, layout, row, o.row == 0 ? HWY_MIN(count, lanes) : count, buffers[k]);
          } else {
            PackRows<T>(o, layout, row, o.row == 0 ? HWY_MIN(count, lanes) : count, buffers[k]);
          }
          break;
        case Operand::kIndexIn:
          steps[k] = lanes * sizeof(typename P::Index) / sizeof(T);
          PackIndices(o, row, count, lanes, p.classes, reinterpret_cast<typename P::Index*>(buffers[k]));
          break;
        case Operand::kRowOut:
          spare = buffers[k];
          buffers[k] = rows;
          break;
        case Operand::kScalarOut:
          break;
      }
    }
    for (size_t i = 0; i < groups; ++i) {
      for (int k = 0; k < kCount && (i + 1) * lanes <= fetched; ++k) {
        if (Operation::kOperands.kinds[k] != Operand::kRowIn) continue;
        PrefetchRows<S>(operands[k], {p.classes, lanes}, row + count + i * lanes);
      }
      PackedGroup group;
      group.buffer = spare;
      for (int k = 0; k < kCount; ++k) group.data[k] = buffers[k] == nullptr ? nullptr : buffers[k] + i * steps[k];
      RowLoops<Operation, T>::RunGroup(p, group);
    }
    for (int k = 0; k < kCount; ++k) {
      const Operand kind = Operation::kOperands.kinds[k];
      const GroupLayout layout{HasClasses(kind) ? p.classes : 1, lanes};
      if (kind == Operand::kRowOut) UnpackRows<S, T>(operands[k], layout, row, count, buffers[k], spare, stream);
      if (kind == Operand::kScalarOut) UnpackRows<Scalar, T>(operands[k], layout, row, count, buffers[k], nullptr, stream);
    }
  }

  // Whether a result takes an operand's memory.
  static bool IsOverwriting(const RowOperand* operands) {
    for (int out = 0; out < kCount; ++out) {
      if (Operation::kOperands.kinds[out] != Operand::kRowOut) continue;
      for (int k = 0; k < out; ++k) {
        if (operands[k].data == operands[out].data) return true;
      }
    }
    return false;
  }

  // Rows by which a result of neighbouring rows is beyond alignment.
  static size_t Misaligned(const RowOperand* operands, size_t row) {
    const hn::ScalableTag<T> d;
    for (int k = 0; k < kCount; ++k) {
      const RowOperand& o = operands[k];
      if (Operation::kOperands.kinds[k] != Operand::kRowOut || o.row != sizeof(S)) continue;
      return (reinterpret_cast<uintptr_t>(o.data) / sizeof(S) + row) % hn::Lanes(d);
    }
    return 0;
  }

  // A function of its own: rows that go one by one are up to 1.15 times as fast without it in theirs.
  static HWY_NOINLINE void RunAllTogether(const RowOperand* operands, size_t classes, size_t begin, size_t end, T* buffer,
                                          bool stream) {
    if constexpr (Operation::kTogether > 0) {
      const InPlace p{hn::ScalableTag<T>(), classes, false};
      const size_t group = GroupTogether(classes);
      for (size_t row = begin; row < end; row += group) {
        RunTogether<Operation, S>(p, operands[0], operands[1], row, HWY_MIN(group, end - row), stream, buffer);
      }
      if (stream) hwy::FlushStream();
    }
  }

  template <class Number>
  static RowOperand OwnEntries(const RowOperand& o, const int64_t* places, size_t count, Number* entries) {
    for (size_t i = 0; i < count; ++i) {
      entries[i] = *reinterpret_cast<const Number*>(o.data + static_cast<ptrdiff_t>(i) * o.row + places[i] * o.item);
    }
    return {reinterpret_cast<char*>(entries), sizeof(Number), 0};
  }

  // The entries of their classes as rows of one class.
  static void RunOwnEntries(const RowOperand* operands, size_t classes, size_t begin, size_t end, void* scratch) {
    constexpr size_t kRows = 64;  // on the stack of a thread, which may be small
    int64_t places[kRows], targets[kRows];
    S entries[kRows];
    T weights[kRows];
    for (size_t row = begin; row < end; row += kRows) {
      const size_t count = HWY_MIN(kRows, end - row);
      RowOperand own[kCount];
      for (int k = 0; k < kCount; ++k) {
        const RowOperand& o = operands[k];
        own[k] = {o.data + static_cast<ptrdiff_t>(row) * o.row, o.row, o.item};
        if (Operation::kOperands.kinds[k] != Operand::kIndexIn) continue;
        PackIndices(o, row, count, 1, classes, places);
        for (size_t i = 0; i < count; ++i) {
          targets[i] = HWY_MIN(places[i], 0);
          places[i] = HWY_MAX(places[i], 0);
        }
        own[k] = {reinterpret_cast<char*>(targets), sizeof(int64_t), 0};
      }
      for (int k = 0; k < kCount; ++k) {
        const Operand kind = Operation::kOperands.kinds[k];
        if (kind == Operand::kRowIn) own[k] = OwnEntries(own[k], places, count, entries);
        if (kind == Operand::kOptionalIn && !IsAbsent(kind, own[k], classes)) {
          own[k] = OwnEntries(own[k], places, count, weights);
        }
      }
      Run(own, 1, 0, count, scratch, false);
    }
  }

  static void Run(const RowOperand* operands, size_t classes, size_t begin, size_t end, void* scratch, bool stream) {
    if constexpr (Operation::kOwnEntryOnly) {
      if (classes > 1) return RunOwnEntries(operands, classes, begin, end, scratch);
    }
    const hn::ScalableTag<T> d;
    const size_t lanes = hn::Lanes(d);
    T* buffer = static_cast<T*>(scratch);
    stream &= Has(Operation::kOperands, Operand::kRowOut) && !IsOverwriting(operands);
    if (AreTogether(operands, classes)) return RunAllTogether(operands, classes, begin, end, buffer, stream);
    if (AreInPlace(operands, classes)) {
      stream &= classes >= kMinStreamedClasses;
      const InPlace p{d, classes, stream};
      for (size_t row = begin; row < end; ++row) {
        InPlaceRow group;
        group.buffer = buffer;
        for (int k = 0; k < kCount; ++k) {
          const RowOperand& o = operands[k];
          const bool absent = IsAbsent(Operation::kOperands.kinds[k], o, classes);
          group.data[k] = absent ? nullptr : o.data + static_cast<ptrdiff_t>(row) * o.row;
          // A usual store to the line that two rows share would wait for it, and all others for this one.
          if (stream && Operation::kOperands.kinds[k] == Operand::kRowOut)
            hwy::Prefetch(static_cast<S*>(group.data[k]) + classes);
        }
        RunGroup(p, group);
      }
    } else if (classes <= kMaxAcross) {
      const bool near = classes <= kFew || (classes <= Operation::kNarrow * lanes && AreContiguous(operands, classes));
      const size_t rows = lanes * Groups(classes, lanes, near);
      const Across<T> p{d, classes};
      size_t count = 0;
      for (size_t row = begin; row < end; row += count) {
        // A result of neighbouring rows begins to be aligned after a few of them.
        count = HWY_MIN(rows - (stream ? Misaligned(operands, row) : 0), end - row);
        RunPacked(p, operands, row, count, near ? HWY_MIN(rows, end - row - count) : 0, lanes, stream, buffer);
      }
    } else {
      stream = false;
      const Along<T, false> p{d, classes, false};
      for (size_t row = begin; row < end; ++row) RunPacked(p, operands, row, 1, 0, 1, false, buffer);
    }
    if (stream) hwy::FlushStream();
  }
};

template <class Operation, bool kFloatScalars>
RowOperation RowOperationOf(const char* name, double cost, const char* doc) {
  using Single = RowLoops<Operation, float>;
  using Double = RowLoops<Operation, double>;
  using Half = RowLoops<Operation, Float16, std::conditional_t<kFloatScalars, float, Float16>>;
  using Brain = std::conditional_t<kFloatScalars, RowLoops<Operation, BFloat16, float>, RowLoops<Operation, PureBFloat16>>;
  return {name,
          cost,
          doc,
          Operation::kOperands,
          kFloatScalars,
          {Single::Run, Double::Run, Half::Run, Brain::Run},
          {Single::Scratch, Double::Scratch, Half::Scratch, Brain::Scratch}};
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_ROWS_INL_H_
