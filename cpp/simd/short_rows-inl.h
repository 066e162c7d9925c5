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

struct LargerOf {
  static constexpr bool kHasLow = false;
  template <class V>
  HWY_INLINE V operator()(V a, V b, V&) const {
    return hn::Max(a, b);
  }
};
struct PlainSum {
  static constexpr bool kHasLow = false;
  template <class V>
  HWY_INLINE V operator()(V a, V b, V&) const {
    return hn::Add(a, b);
  }
};
struct ExactSum {  // with PlainSum, log_softmax came to 5.4 ULP
  static constexpr bool kHasLow = true;
  template <class V>
  HWY_INLINE V operator()(V a, V b, V& low) const {
    const Two<V> sum = TwoSum(a, b);
    low = hn::Add(low, sum.lo);
    return sum.hi;
  }
};

// Reduces as many vectors in memory as there are lanes, each over its lanes by f: lane i is the result of vector i.
// Overwrites the vectors.
template <class D, class F>
HWY_INLINE Two<hn::Vec<D> > OverLanes(D d, hn::TFromD<D>* vectors, F f) {
  using T = hn::TFromD<D>;
  using V = hn::Vec<D>;
  constexpr size_t kLanes = kBlock<T>;
  const size_t lanes = hn::Lanes(d), blocks = lanes / kLanes;
  HWY_ALIGN T lows[hn::MaxLanes(D()) * hn::MaxLanes(D()) / kLanes];
  for (size_t i = 0; i < blocks; ++i) {
    V v[kLanes], low = hn::Zero(d);
    for (size_t k = 0; k < kLanes; ++k) v[k] = hn::Load(d, vectors + (i * kLanes + k) * lanes);
    TransposeBlocks(d, v);
    for (size_t k = 1; k < kLanes; ++k) v[0] = f(v[0], v[k], low);
    hn::Store(v[0], d, vectors + i * lanes);
    if constexpr (F::kHasLow) hn::Store(low, d, lows + i * lanes);
  }
  const auto blocks_of = [=](const T* from, size_t i) NONLIN_LOOP {
    const char* first = reinterpret_cast<const char*>(from + i * kLanes);
    return LoadBlocks<kLanes>(d, first, static_cast<ptrdiff_t>(lanes * sizeof(T)));
  };
  V total = blocks_of(vectors, 0), low = hn::Zero(d);
  for (size_t i = 1; i < blocks; ++i) total = f(total, blocks_of(vectors, i), low);
  if constexpr (F::kHasLow) {
    for (size_t i = 0; i < blocks; ++i) low = hn::Add(low, blocks_of(lows, i));
  }
  return {total, low};
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
  const D d = p.d;
  const size_t lanes = hn::Lanes(d), steps = p.Steps();
  const V zero = hn::Zero(d), lowest = hn::Neg(hn::Inf(d));
  constexpr size_t kMaxLanes = hn::MaxLanes(D());
  HWY_ALIGN T maxima[kMaxLanes * kMaxLanes], others[kMaxLanes * kMaxLanes], counts[kMaxLanes * kMaxLanes];
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
  const V max = OverLanes(d, maxima, LargerOf()).hi;
  struct Top {
    Scale scale;
    V max;
  };
  const Top tops{Scale(d, max), max};

  const ptrdiff_t ahead = p.plan.ahead != 0 ? p.plan.ahead : static_cast<ptrdiff_t>(count) * in.row;
  for (size_t i = 0; i < lanes; ++i) {
    RowTotals<Scale> totals{{zero, zero}, zero};
    if (i < count) {
      const Top top = OfLane(d, tops, i);
      T* const kept = buffer + i * steps * lanes;
      totals.template Add<true, true>(p, row_of(in, i), 0, steps, top.scale, top.max, ahead, [=](size_t j, V e) NONLIN_LOOP {
        if constexpr (Operation::kOfExponentials) hn::Store(e, d, kept + j * lanes);
      });
    }
    hn::Store(hn::Add(totals.others.hi, totals.others.lo), d, others + i * lanes);
    hn::Store(totals.count, d, counts + i * lanes);
  }
  const RowTotals<Scale> totals{OverLanes(d, others, ExactSum()), OverLanes(d, counts, PlainSum()).hi};
  const typename Operation::template Entry<D, P::kShort> entries(d, totals.Finish(Across<T>{d, p.classes}, tops.scale, max));

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
