// Kernels for rows of a few classes without gaps between them. The vectors of memory, which begin anywhere in a row, stay as
// they are; only the sums are taken side by side, and what a row's entries share is spread to the vectors again. Other
// narrow rows are transposed there and back, in rows-inl.h.

#if defined(NONLIN_SIMD_DENSE_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_DENSE_ROWS_INL_H_
#undef NONLIN_SIMD_DENSE_ROWS_INL_H_
#else
#define NONLIN_SIMD_DENSE_ROWS_INL_H_
#endif

#include "simd/short_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

#if HWY_HAVE_SCALABLE || HWY_TARGET == HWY_SCALAR
template <class Operation, class S>
size_t RunDenseRows(const RowPlan&, const RowOperand*, size_t begin, size_t, void*) {
  return begin;
}
#else

// Copies as many rows as there are lanes, in a buffer without gaps, to lanes. Reads up to kBlock numbers more.
template <class D>
HWY_INLINE void DenseToLanes(D d, const hn::TFromD<D>* rows, size_t classes, hn::TFromD<D>* to) {
  using T = hn::TFromD<D>;
  constexpr size_t kLanes = kBlock<T>;
  for (size_t j = 0; j < classes; j += kLanes) {
    hn::Vec<D> v[kLanes];
    for (size_t k = 0; k < kLanes; ++k) {
      const char* from = reinterpret_cast<const char*>(rows + k * classes + j);
      v[k] = LoadBlocks<kLanes>(d, from, static_cast<ptrdiff_t>(kLanes * classes * sizeof(T)));
    }
    TransposeBlocks(d, v);
    for (size_t k = 0; k < HWY_MIN(kLanes, classes - j); ++k) hn::Store(v[k], d, to + (j + k) * hn::Lanes(d));
  }
}

// Gives each lane of every vector in a struct of vectors the lane that `rows` says.
template <class D, class Vectors, class Indices>
HWY_INLINE Vectors Spread(D, const Vectors& vectors, Indices rows) {
  using V = hn::Vec<D>;
  Vectors spread = vectors;
  for (size_t k = 0; k < sizeof(Vectors) / sizeof(V); ++k) {
    V v;
    hwy::CopyBytes<sizeof(V)>(reinterpret_cast<const char*>(&vectors) + k * sizeof(V), &v);
    v = hn::TableLookupLanes(v, rows);
    hwy::CopyBytes<sizeof(V)>(&v, reinterpret_cast<char*>(&spread) + k * sizeof(V));
  }
  return spread;
}

// The exponentials of numbers without gaps, in whole vectors, or false if some numbers are not small. The scale is that of a
// maximum of 0. In the scale of their own maximum all sums would differ by a power of two, so the bits are the same.
template <class P, class S>
HWY_INLINE bool DenseExponentials(const P& p, const S* from, size_t count, typename P::T* to) {
  using V = typename P::V;
  using C = ConstantsOf<typename P::D>;
  const auto d = p.d;
  const ScaleOf<P> scale(d, hn::Zero(d));
  V least = hn::Zero(d), most = least;
  for (size_t i = 0; i < count; i += hn::Lanes(d)) {
    const V v = LoadFrom(d, from + i);
    least = hn::Min(v, least);
    most = hn::Max(v, most);
    hn::Store(scale.ExpOf(d, v), d, to + i);
  }
  return hn::AllTrue(d, hn::And(hn::Ge(least, hn::Set(d, C::kPlainLeast)), hn::Le(most, hn::Set(d, C::kPlainMost))));
}

// The sums of rows with a class in each lane, or fewer, from numbers and exponentials side by side.
template <bool kRest, class P>
HWY_INLINE RowSum<ScaleOf<P> > SumLanes(const P& p, const typename P::T* numbers, const typename P::T* exponentials,
                                        const ScaleOf<P>& scale, typename P::V max) {
  using V = typename P::V;
  const auto d = p.d;
  const V one = hn::Set(d, 1), zero = hn::Zero(d);
  V count = zero;
  const auto term = [&](size_t i) NONLIN_LOOP {
    const V e = p.LoadRow(exponentials, i);
    if constexpr (!kRest) return e;
    const auto is_max = hn::Eq(p.LoadRow(numbers, i), max);
    count = hn::Add(count, hn::IfThenElseZero(is_max, one));
    return hn::IfThenZeroElse(is_max, e);
  };
  constexpr size_t kFours = kSumLanes<typename P::T> / 4;
  const Two<V> others = JoinAll<true, kFours>((p.classes + 3) / 4, [&](size_t i) NONLIN_LOOP {
    const size_t first = 4 * i, left = p.classes - first;
    V sum = term(first);
    if (left > 1) sum = hn::Add(sum, term(first + 1));
    if (left > 2) {
      const V third = term(first + 2);
      sum = hn::Add(sum, left > 3 ? hn::Add(third, term(first + 3)) : third);
    }
    return Two<V>{sum, zero};
  });
  return RowSumOf<kRest>(d, scale, max, count, others);
}

// The sums of as many rows x as there are lanes, of more classes than have a lane each, from their exponentials in a buffer.
// In a lane, terms go to two sums by turns.
template <bool kRest, class P, class S>
HWY_INLINE RowSum<ScaleOf<P> > SumDenseRows(const P& p, const S* x, const typename P::T* exponentials) {
  using D = typename P::D;
  using T = typename P::T;
  using V = typename P::V;
  const D d = p.d;
  const size_t lanes = hn::Lanes(d), steps = (p.classes + lanes - 1) / lanes, left = p.classes - (steps - 1) * lanes;
  constexpr size_t kParts = kSumLanes<T> / hn::MaxLanes(D()), kSquare = hn::MaxLanes(D()) * hn::MaxLanes(D());
  const auto last = hn::FirstN(d, left);
  const V zero = hn::Zero(d), lowest = hn::Neg(hn::Inf(d));
  HWY_ALIGN T sums[kParts][kSquare];
  [[maybe_unused]] HWY_ALIGN T maxima[kSquare], counts[hn::MaxLanes(D())];
  const auto number = [=](const S* row, size_t j) NONLIN_LOOP {
    return j + 1 == steps ? LoadTail(d, row + j * lanes, left, hn::GetLane(lowest)) : LoadFrom(d, row + j * lanes);
  };
  V max = zero;
  if constexpr (kRest) {
    for (size_t i = 0; i < lanes; ++i) {
      V row_max = lowest;
      for (size_t j = 0; j < steps; ++j) row_max = hn::Max(number(x + i * p.classes, j), row_max);
      hn::Store(row_max, d, maxima + i * lanes);
    }
    max = OverLanes(d, maxima, [](Two<V> a, Two<V> b) NONLIN_LOOP { return Two<V>{hn::Max(a.hi, b.hi), a.lo}; });
    hn::Store(max, d, maxima);
  }
  for (size_t i = 0; i < lanes; ++i) {
    const V row_max = kRest ? hn::Set(d, maxima[i]) : zero;
    size_t at_max = 0;
    for (size_t part = 0; part < kParts; ++part) {
      V sum = zero, other = zero;
      for (size_t j = part; j < steps; j += kParts) {
        V e = hn::LoadU(d, exponentials + i * p.classes + j * lanes);
        if (j + 1 == steps) e = hn::IfThenElseZero(last, e);
        if constexpr (kRest) {
          const auto is_max = hn::Eq(number(x + i * p.classes, j), row_max);
          at_max += hn::CountTrue(d, is_max);
          e = hn::IfThenZeroElse(is_max, e);
        }
        const V next = hn::Add(sum, e);
        sum = other;
        other = next;
      }
      hn::Store(hn::Add(sum, other), d, sums[part] + i * lanes);
    }
    counts[i] = static_cast<T>(at_max);
  }
  alignas(Two<V>) unsigned char memory[kParts * kBlocks<T> * sizeof(Two<V>)];  // see InChunks
  Two<V>* const blocks = reinterpret_cast<Two<V>*>(memory);
  for (size_t part = 0; part < kParts; ++part) {
    OverBlocks<!kRest>(d, sums[part], blocks + part * kBlocks<T>,
                       [](Two<V> a, Two<V> b) NONLIN_LOOP { return Join<!kRest>(a, b); });
  }
  const Two<V> total = JoinAll<true>(kSumLanes<T> / 4, [&](size_t i) NONLIN_LOOP {
    return kBlock<T> == 4 ? blocks[i] : Join<!kRest>(blocks[2 * i], blocks[2 * i + 1]);
  });
  return RowSumOf<kRest>(d, ScaleOf<P>(d, zero), max, kRest ? hn::Load(d, counts) : zero, total);
}

// The buffers of a batch of rows.
template <class T>
struct DenseBuffers {
  T *exponentials, *numbers, *group;
  HWY_INLINE DenseBuffers(const RowPlan& plan, void* scratch) {
    const size_t step = plan.rows * plan.classes + kDensePadding;
    exponentials = reinterpret_cast<T*>(static_cast<char*>(scratch) + plan.dense_offset);
    numbers = exponentials + step;
    group = numbers + step;
  }
};

// Prepares a batch of `count` rows, of which kKeeps asks for the exponentials; false if some numbers are not small. Then
// SumOfGroup has the sums of each group.
template <bool kRest, bool kKeeps, class P, class S>
HWY_INLINE bool BeginDense(const P& p, const S* from, size_t count, const DenseBuffers<typename P::T>& buffers) {
  const auto d = p.d;
  const size_t n = count * p.classes;
  const bool has_lanes = p.classes <= kSumLanes<typename P::T>;  // for each class
  if (kRest && has_lanes) {
    for (size_t i = 0; i < n; i += hn::Lanes(d)) hn::Store(LoadFrom(d, from + i), d, buffers.numbers + i);
    if (!kKeeps) return true;
  }
  return DenseExponentials(p, from, n, buffers.exponentials);
}
template <bool kRest, bool kKeeps, class P, class S>
HWY_INLINE RowSum<ScaleOf<P> > SumOfGroup(const P& p, const S* from, size_t row,
                                          const DenseBuffers<typename P::T>& buffers) {
  using T = typename P::T;
  using V = typename P::V;
  const auto d = p.d;
  const size_t first = row * p.classes;
  if (p.classes > kSumLanes<T>) {
    return SumDenseRows<kRest>(p, from + first, buffers.exponentials + first);
  }
  T* const exponentials = buffers.group + p.classes * hn::Lanes(d);
  V max = hn::Zero(d);
  ScaleOf<P> scale(d, max);
  if constexpr (kRest) {
    DenseToLanes(d, buffers.numbers + first, p.classes, buffers.group);
    max = MaxOf(p, buffers.group, 0, p.classes, hn::Neg(hn::Inf(d)));
  }
  if constexpr (kRest && !kKeeps) {
    scale = ScaleOf<P>(d, max);
    for (size_t i = 0; i < p.classes; ++i) p.StoreRow(scale.Exp(d, p.LoadRow(buffers.group, i)), exponentials, i);
  } else {
    DenseToLanes(d, buffers.exponentials + first, p.classes, exponentials);
  }
  return SumLanes<kRest>(p, buffers.group, exponentials, scale, max);
}

// The row of each lane of a group's vectors. The quotients are far enough from integers.
template <class P>
struct DenseLanes {
  using DI = hn::RebindToSigned<typename P::D>;
  using T = typename P::T;
  HWY_ALIGN hn::TFromD<DI> rows[kFewClasses<T> * hn::MaxLanes(typename P::D())];
  HWY_INLINE explicit DenseLanes(const P& p) {
    const auto d = p.d;
    const auto inverse = hn::Set(d, 1 / static_cast<T>(p.classes)), half = hn::Set(d, T(0.5));
    for (size_t i = 0; i < p.classes * hn::Lanes(d); i += hn::Lanes(d)) {
      hn::Store(hn::ConvertTo(DI(), hn::Mul(hn::Add(hn::Iota(d, static_cast<T>(i)), half), inverse)), DI(), rows + i);
    }
  }
  HWY_INLINE auto Of(const P& p, size_t step) const {
    return hn::IndicesFromVec(p.d, hn::Load(DI(), rows + step * hn::Lanes(p.d)));
  }
};

// Stores f(group, place, row of each lane) in all vectors of a batch's results, and calls `change(row, its results)`.
template <class P, class S, class F, class Change>
HWY_INLINE void FillDense(const P& p, const DenseLanes<P>& rows, size_t count, const DenseBuffers<typename P::T>& buffers,
                          bool stream, S* to, F f, Change change) {
  const size_t lanes = hn::Lanes(p.d);
  S* const staged = stream ? reinterpret_cast<S*>(buffers.exponentials) : to;  // its writes stay behind the reads
  for (size_t i = 0, at = 0; i < count / lanes; ++i) {
    for (size_t j = 0; j < p.classes; ++j, at += lanes) StoreTo(f(i, at, rows.Of(p, j)), p.d, staged + at);
  }
  for (size_t i = 0; i < count; ++i) change(i, staged + i * p.classes);
  if (stream) CopyAligned(staged, to, count * p.classes, true);
}

// Computes dense rows from `begin` on in batches, and returns the first one that is left: of numbers that are not small, of
// less than a group, or in a batch that prepare(first row, rows, their numbers) refuses. Then `entry` takes the place in the
// batch and the sums of each group, and `fill` stores the results.
template <bool kRest, bool kKeeps, class S, class P, class Prepare, class Entry, class Fill>
HWY_INLINE size_t ForDenseBatches(const P& p, const RowPlan& plan, const RowOperand& in, size_t begin, size_t end,
                                  const DenseBuffers<typename P::T>& buffers, Prepare prepare, Entry entry, Fill fill) {
  const size_t lanes = hn::Lanes(p.d);
  for (size_t row = begin, count;; row += count) {
    count = HWY_MIN(plan.rows, end - row) / lanes * lanes;
    const S* const from = reinterpret_cast<const S*>(in.data) + row * p.classes;
    // The rows are read in order first: what prepare() reads of them here and there is then in the caches.
    if (count == 0 || !BeginDense<kRest, kKeeps>(p, from, count, buffers) || !prepare(row, count, from)) return row;
    // For all groups at a time: a core cannot look ahead from one to the next.
    for (size_t i = 0; i < count; i += lanes) entry(i, SumOfGroup<kRest, kKeeps>(p, from, i, buffers));
    fill(row, count, from);
  }
}

// The operation's kernel of dense rows.
template <class Operation, class S>
HWY_NOINLINE size_t RunDenseRows(const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end, void* buffer) {
  using T = Computed<S>;
  using P = Across<T, sizeof(S) == sizeof(uint16_t)>;
  using D = typename P::D;
  using EntryOf = typename Operation::template Entry<D, P::kShort>;
  constexpr bool kRest = EntryOf::kRestOfFew, kKeeps = Operation::kOfExponentials;
  const P p{{}, plan.classes};
  const D d = p.d;
  const size_t lanes = hn::Lanes(d);
  const DenseBuffers<T> buffers(plan, buffer);
  const DenseLanes<P> rows(p);
  alignas(EntryOf) unsigned char memory[kMaxGroups * sizeof(EntryOf)];  // see InChunks
  EntryOf* const entries = reinterpret_cast<EntryOf*>(memory);
  return ForDenseBatches<kRest, kKeeps, S>(
      p, plan, operands[0], begin, end, buffers, [](size_t, size_t, const S*) NONLIN_LOOP { return true; },
      [=](size_t i, const auto& sum) NONLIN_LOOP { entries[i / lanes] = EntryOf(d, sum); },
      [&](size_t row, size_t count, const S* from) NONLIN_LOOP {
        FillDense(
            p, rows, count, buffers, plan.stream, reinterpret_cast<S*>(operands[1].data) + row * p.classes,
            [=](size_t i, size_t at, auto of_row) NONLIN_LOOP {
              const auto entry = Spread(d, entries[i], of_row);
              return entry(0, kKeeps ? hn::Load(d, buffers.exponentials + at) : LoadFrom(d, from + at));
            },
            [](size_t, S*) NONLIN_LOOP {});
      });
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_DENSE_ROWS_INL_H_
