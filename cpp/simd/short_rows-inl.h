// Kernels for rows of a few vectors. The rows stay in place, without a transposition; the work done once per row is done for
// as many rows at a time as there are lanes. All other rows are in rows-inl.h.

#if defined(NONLIN_SIMD_SHORT_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_SHORT_ROWS_INL_H_
#undef NONLIN_SIMD_SHORT_ROWS_INL_H_
#else
#define NONLIN_SIMD_SHORT_ROWS_INL_H_
#endif

#include "simd/exponentials-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

#if HWY_HAVE_SCALABLE || HWY_TARGET == HWY_SCALAR
constexpr bool kCanReduceLanes = false;
template <class Operation, class S, class... Args>
void RunShortRows(Args...) {}
#else
constexpr bool kCanReduceLanes = true;

template <class T>
constexpr size_t kBlocks = hn::MaxLanes(hn::ScalableTag<T>()) / kBlock<T>;

// Joins the blocks of as many vectors in memory as there are lanes: lane i of results[k] is that of block k of vector i.
// Overwrites the vectors.
template <bool kHasLow, class D, class F>
HWY_INLINE void OverBlocks(D d, hn::TFromD<D>* vectors, Two<hn::Vec<D> >* results, F join) {
  using T = hn::TFromD<D>;
  using V = hn::Vec<D>;
  constexpr size_t kLanes = kBlock<T>;
  const size_t lanes = hn::Lanes(d);
  const V zero = hn::Zero(d);
  HWY_ALIGN T lows[kBlocks<T> * hn::MaxLanes(D())];
  for (size_t i = 0; i < kBlocks<T>; ++i) {
    V v[kLanes];
    for (size_t k = 0; k < kLanes; ++k) v[k] = hn::Load(d, vectors + (i * kLanes + k) * lanes);
    TransposeBlocks(d, v);
    Two<V> sum = join(Two<V>{v[0], zero}, Two<V>{v[1], zero});
    if constexpr (kLanes == 4) sum = join(sum, join(Two<V>{v[2], zero}, Two<V>{v[3], zero}));
    hn::Store(sum.hi, d, vectors + i * lanes);
    if constexpr (kHasLow) hn::Store(sum.lo, d, lows + i * lanes);
  }
  const auto blocks_of = [=](const T* from, size_t i) NONLIN_LOOP {
    const char* first = reinterpret_cast<const char*>(from + i * kLanes);
    return LoadBlocks<kLanes>(d, first, static_cast<ptrdiff_t>(lanes * sizeof(T)));
  };
  for (size_t i = 0; i < kBlocks<T>; ++i) {
    results[i].hi = blocks_of(vectors, i);
    results[i].lo = zero;
    if constexpr (kHasLow) results[i].lo = blocks_of(lows, i);
  }
}
// The same for all lanes of a vector.
template <class D, class F>
HWY_INLINE hn::Vec<D> OverLanes(D d, hn::TFromD<D>* vectors, F join) {
  Two<hn::Vec<D> > results[kBlocks<hn::TFromD<D> >];
  OverBlocks<false>(d, vectors, results, join);
  for (size_t i = 1; i < kBlocks<hn::TFromD<D> >; ++i) results[0] = join(results[0], results[i]);
  return results[0].hi;
}

// Broadcasts lane i of every vector in a struct of vectors.
template <class D, class Vectors>
HWY_INLINE Vectors OfLane(D d, const Vectors& vectors, size_t i) {
  using T = hn::TFromD<D>;
  using V = hn::Vec<D>;
  Vectors row = vectors;
  for (size_t k = 0; k < sizeof(Vectors) / sizeof(V); ++k) {
    T lane;
    hwy::CopyBytes<sizeof(T)>(reinterpret_cast<const char*>(&vectors) + k * sizeof(V) + i * sizeof(T), &lane);
    reinterpret_cast<V*>(&row)[k] = hn::Set(d, lane);
  }
  return row;
}

// Computes `count` rows from `first` on, at most as many as there are lanes. `buffer` holds their exponentials in whole
// vectors, then the results that go past the caches.
template <class Operation, class S, class P>
HWY_INLINE void RunShortRows(const P& p, const RowOperand& in, const RowOperand& out, size_t first, size_t count,
                             bool stream, typename P::T* buffer) {
  using D = typename P::D;
  using T = typename P::T;
  using V = hn::Vec<D>;
  using Scale = ScaleOf<P>;
  using EntryOf = typename Operation::template Entry<D, P::kShort>;
  const D d = p.d;
  const size_t lanes = hn::Lanes(d), steps = p.Steps();
  const V lowest = hn::Neg(hn::Inf(d));
  constexpr size_t kSquare = hn::MaxLanes(D()) * hn::MaxLanes(D());
  HWY_ALIGN T maxima[kSquare], others[P::kParts][kSquare], counts[kSquare];
  const auto larger = [](Two<V> a, Two<V> b) NONLIN_LOOP { return Two<V>{hn::Max(a.hi, b.hi), a.lo}; };
  const auto plain_sum = [](Two<V> a, Two<V> b) NONLIN_LOOP { return Join<false>(a, b); };
  const auto exact_sum = [](Two<V> a, Two<V> b) NONLIN_LOOP { return Join<true>(a, b); };
  const auto row_of = [&](const RowOperand& o, size_t i) NONLIN_LOOP {
    const ptrdiff_t row = static_cast<ptrdiff_t>(first + i);
    return reinterpret_cast<S*>(o.data + row * o.row);
  };

  for (size_t i = 0; i < lanes; ++i) {
    V max = lowest;
    if (i < count) {
      ForEach(p, row_of(in, i), 0, steps, hn::GetLane(lowest),
              [&](size_t, V v, auto) NONLIN_LOOP { max = hn::Max(v, max); });
    }
    hn::Store(max, d, maxima + i * lanes);
  }
  const V max = OverLanes(d, maxima, larger);
  struct Top {
    Scale scale;
    V max;
  };
  const Top tops{Scale(d, max), max};

  const ptrdiff_t ahead = p.plan.ahead != 0 ? p.plan.ahead : static_cast<ptrdiff_t>(count) * in.row;
  for (size_t i = 0; i < lanes; ++i) {
    RowTotals<P> totals(p);
    if (i < count) {
      const Top top = OfLane(d, tops, i);
      T* const kept = buffer + i * steps * lanes;
      totals.template Add<EntryOf::kRest>(p, row_of(in, i), 0, steps, top.scale, top.max, ahead,
                                          [=](size_t j, V e) NONLIN_LOOP {
                                            if constexpr (Operation::kOfExponentials) hn::Store(e, d, kept + j * lanes);
                                          });
    }
    for (size_t part = 0; part < P::kParts; ++part) hn::Store(totals.others.Of(part), d, others[part] + i * lanes);
    hn::Store(totals.count, d, counts + i * lanes);
  }
  Two<V> blocks[P::kParts * kBlocks<T>];
  for (size_t part = 0; part < P::kParts; ++part) {
    OverBlocks<true>(d, others[part], blocks + part * kBlocks<T>, exact_sum);
  }
  const Two<V> total = JoinAll<true>(kSumLanes<T> / 4, [&](size_t i) NONLIN_LOOP {
    const Two<V> four = kBlock<T> == 4 ? blocks[i] : Join<true>(blocks[2 * i], blocks[2 * i + 1]);
    return FourOf(four, p.classes <= kPlainFours<EntryOf::kRest, T>, hn::Zero(d));
  });
  const auto row_sum = RowSumOf<EntryOf::kRest>(d, tops.scale, max, OverLanes(d, counts, plain_sum), total);
  const EntryOf entries(d, row_sum);

  stream &= out.row == static_cast<ptrdiff_t>(p.classes * sizeof(S));
  S* const stage = reinterpret_cast<S*>(buffer);  // its writes stay behind the reads
  for (size_t i = 0; i < count; ++i) {
    const auto entry = OfLane(d, entries, i);
    const T* const kept = buffer + i * steps * lanes;
    const S* const row = row_of(in, i);
    const auto entry_of = [=](size_t j) NONLIN_LOOP {
      if constexpr (Operation::kOfExponentials) return entry(j, hn::Load(d, kept + j * lanes));
      return entry(j, p.LoadRow(row, j));
    };
    S* const to = stream ? stage + i * p.classes : row_of(out, i);
    const size_t full = p.FullSteps();
    for (size_t j = 0; j < full; ++j) StoreTo(entry_of(j), d, to + p.Offset(j));
    if (full < steps) StoreTail(entry_of(full), d, to + p.Offset(full), p.TailLanes());
  }
  if (stream) CopyAligned(stage, row_of(out, 0), count * p.classes, true);
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_SHORT_ROWS_INL_H_
