// The layouts of rows, `Along` and `Across`, and loops over a row in either of them. Copies between memory and buffers are
// in pack-inl.h, formulas in softmax-inl.h and losses-inl.h.
//
// A formula is written once, on "steps". In `Along` a step is a vector of consecutive classes of one row, and sums end
// with a reduction over the lanes. In `Across` a step is one class of as many rows as there are lanes, side by side in a
// small buffer.

#if defined(NONLIN_SIMD_LAYOUTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_LAYOUTS_INL_H_
#undef NONLIN_SIMD_LAYOUTS_INL_H_
#else
#define NONLIN_SIMD_LAYOUTS_INL_H_
#endif

#include <type_traits>

#include "hwy/cache_control.h"
#include "kernels.h"
#include "simd/memory-inl.h"
#include "simd/pack-inl.h"
#include "simd/vmath-inl.h"
#include "tuning.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// S is the type of rows in memory; kShort means that all results have 16 bits.
template <class S, bool kShortExponentials>
struct Along {
  using T = Computed<S>;
  static constexpr bool kShort = kShortExponentials;
  static constexpr size_t kRunSteps = 8;  // added up in plain floating point; with 16, gradients came to 4.1 ULP
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  static constexpr bool kInMemory = true;  // not in a buffer
  D d;
  size_t classes;
  bool stream;          // results past the caches
  const RowPlan& plan;  // of a huge row

  size_t Steps() const { return (classes + hn::Lanes(d) - 1) / hn::Lanes(d); }
  size_t FullSteps() const { return classes / hn::Lanes(d); }
  size_t TailLanes() const { return classes % hn::Lanes(d); }
  size_t Offset(size_t step) const { return step * hn::Lanes(d); }

  // Bytes from an entry to the one that is read `steps` steps later; 0 if that is near, as the hardware then prefetches it.
  ptrdiff_t Ahead(size_t steps) const {
    if (plan.ahead != 0) return plan.ahead;
    return steps > kNearSteps ? static_cast<ptrdiff_t>(Offset(steps) * sizeof(S)) : 0;
  }

  // Where to keep numbers that become results: in the result's own memory, which a store reads into the caches anyway,
  // unless results are stored past the caches.
  T* Keep(S* out, T* buffer) const {
    if constexpr (std::is_same_v<S, T>) return stream ? buffer : out;
    return buffer;
  }

  V Max(V v) const { return hn::MaxOfLanes(d, v); }
  V Sum(V v) const { return hn::SumOfLanes(d, v); }
  // Exact: with the plain sum, log_softmax came to 4.8 ULP and gradients to 5.8.
  Two<V> Sum(Two<V> sum) const {
    constexpr size_t kLanes = hn::MaxLanes(D());
    const auto fold = [&](V hi, V lo) HWY_ATTR {
      const Two<V> folded = TwoSum(sum.hi, hi);
      sum = {folded.hi, hn::Add(hn::Add(sum.lo, lo), folded.lo)};
    };
    if constexpr (kLanes >= 2) fold(hn::Reverse2(d, sum.hi), hn::Reverse2(d, sum.lo));
    if constexpr (kLanes >= 4) fold(hn::Reverse4(d, sum.hi), hn::Reverse4(d, sum.lo));
    if constexpr (kLanes >= 8) fold(hn::Reverse8(d, sum.hi), hn::Reverse8(d, sum.lo));
    if constexpr (kLanes >= 16) fold(hn::Reverse(d, sum.hi), hn::Reverse(d, sum.lo));
    return sum;
  }
  template <class Any>
  V LoadRow(const Any* row, size_t step) const {
    return step < FullSteps() ? LoadFrom(d, row + Offset(step)) : LoadTail(d, row + Offset(step), TailLanes(), T(0));
  }
  template <class Any>
  void StoreRow(V v, Any* row, size_t step) const {
    if (step < FullSteps()) {
      StoreTo(v, d, row + Offset(step));
    } else {
      StoreTail(v, d, row + Offset(step), TailLanes());
    }
  }

  // The target class of a row.
  using Index = int64_t;
  struct Class {
    int64_t place;
    size_t step, lane;  // where its entry is
  };
  Class LoadClass(const void* index) const {
    const int64_t place = PlaceOf(*static_cast<const Index*>(index), classes);
    const size_t position = static_cast<size_t>(HWY_MAX(place, 0));
    return {place, position / hn::Lanes(d), position % hn::Lanes(d)};
  }
  auto Counts(const Class& c) const { return hn::Ne(hn::Set(d, T(c.place >= 0)), hn::Zero(d)); }
  template <class Any>
  V LoadAt(const Any* row, const Class& c) const {
    return hn::Set(d, LoadOne(row + Offset(c.step) + c.lane));
  }
  // Returns `own` for the entry of the class, v for all other entries of a step.
  V Replace(const Class& c, size_t step, V v, V own) const {
    if (HWY_LIKELY(step != c.step)) return v;
    return hn::IfThenElse(hn::AndNot(hn::FirstN(d, c.lane), hn::FirstN(d, c.lane + 1)), own, v);
  }
  template <class Any>
  V LoadScalar(const Any* scalar) const {
    return hn::Set(d, LoadOne(scalar));
  }
  template <class Any>
  void StoreScalar(V v, Any* scalar) const {
    StoreOne(hn::GetLane(v), scalar);
  }
};

template <class Number>
struct Across {
  using T = Number;
  static constexpr bool kShort = false;
  static constexpr size_t kRunSteps = 4;  // added up in plain floating point; with 8, gradients came to 4.7 ULP
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  static constexpr bool kInMemory = false;
  D d;
  size_t classes;

  size_t Steps() const { return classes; }
  size_t FullSteps() const { return classes; }
  static constexpr size_t TailLanes() { return 0; }
  size_t Offset(size_t step) const { return step * hn::Lanes(d); }
  static ptrdiff_t Ahead(size_t) { return 0; }

  static T* Keep(T* out, T*) { return out; }

  V Max(V v) const { return v; }
  V Sum(V v) const { return v; }
  Two<V> Sum(Two<V> sum) const { return sum; }
  V LoadRow(const T* rows, size_t step) const { return hn::LoadU(d, rows + Offset(step)); }
  void StoreRow(V v, T* rows, size_t step) const { hn::StoreU(v, d, rows + Offset(step)); }

  using DI = hn::RebindToSigned<D>;
  using Index = hn::TFromD<DI>;
  struct Class {
    hn::Vec<DI> places;
    const Index* array;  // the same, in memory
  };
  Class LoadClass(const void* index) const {
    const Index* array = static_cast<const Index*>(index);
    return {hn::LoadU(DI(), array), array};
  }
  auto Is(const Class& c, size_t step) const {
    return hn::RebindMask(d, hn::Eq(c.places, hn::Set(DI(), static_cast<Index>(step))));
  }
  auto Counts(const Class& c) const { return hn::RebindMask(d, hn::Gt(c.places, hn::Set(DI(), -1))); }
  V LoadAt(const T* rows, const Class& c) const {
    if (classes <= kMaxLookedThrough) {
      V picked = LoadRow(rows, 0);
      for (size_t i = 1; i < classes; ++i) picked = hn::IfThenElse(Is(c, i), LoadRow(rows, i), picked);
      return picked;
    }
    HWY_ALIGN T picked[hn::MaxLanes(D())];
    for (size_t i = 0; i < hn::Lanes(d); ++i) picked[i] = rows[Offset(HWY_MAX(c.array[i], 0)) + i];
    return hn::Load(d, picked);
  }
  V Replace(const Class& c, size_t step, V v, V own) const { return hn::IfThenElse(Is(c, step), own, v); }
  V LoadScalar(const T* scalars) const { return hn::LoadU(d, scalars); }
  void StoreScalar(V v, T* scalars) const { hn::StoreU(v, d, scalars); }
};

struct FullStep {
  static constexpr bool kTail = false;
};
struct TailStep {
  static constexpr bool kTail = true;
};

// Calls f(step, v, FullStep or TailStep) for the steps [begin, end) of a row; lanes beyond its end hold `filler`. Two or
// four steps at a time, which help in elementwise-inl.h, gain nothing here (0.94 to 1.02), nor in sums of logarithms.
template <class P, class S, class F>
HWY_INLINE void ForEach(const P& p, const S* row, size_t begin, size_t end, typename P::T filler, F f) {
  const size_t full = HWY_MIN(end, p.FullSteps());
  size_t i = begin;
  for (; i < full; ++i) f(i, LoadFrom(p.d, row + p.Offset(i)), FullStep());
  if (i < end) f(i, LoadTail(p.d, row + p.Offset(i), p.TailLanes(), filler), TailStep());
}

// Makes a lambda of a loop over a row inline. A call stores its closure, and these stores queue behind stores of the row
// before that wait for their lines: this has cost a third of the time.
#undef NONLIN_LOOP
#if HWY_COMPILER_MSVC  // has no such attribute of lambdas
#define NONLIN_LOOP HWY_ATTR
#else
#define NONLIN_LOOP HWY_ATTR __attribute__((always_inline))
#endif

// Calls f(begin, end) on ranges that together cover [0, n), on threads that are free.
template <class F>
HWY_INLINE void ForRangesOf(const RowPlan& plan, size_t n, double cycles, const F& f) {
  const auto call = [](const void* context, size_t begin, size_t end) { (*static_cast<const F*>(context))(begin, end); };
  plan.for_ranges(n, cycles, call, &f);
}

// Sums a huge row in chunks, and merges their sums in order, whatever the number of threads; sums other rows at once.
template <class Sum, class P, class F, class Merge>
HWY_INLINE Sum InChunks(const P& p, F sum_of, Merge merge) {
  const size_t steps = p.Steps();
  if constexpr (P::kInMemory) {
    if (p.classes > kMaxKept) {
      // Bytes: on Arm, GCC cannot compile the constructor that it writes itself for a struct of vectors.
      alignas(Sum) unsigned char memory[(1 + kChunksAtOnce) * sizeof(Sum)];
      Sum& total = *reinterpret_cast<Sum*>(memory);
      Sum* const sums = &total + 1;
      const F chunk = sum_of;
      const size_t length = p.plan.chunk_steps;
      const double cycles = kHugeCycles * static_cast<double>(length * hn::Lanes(p.d));
      for (size_t first = 0; first * length < steps; first += kChunksAtOnce) {
        const size_t count = HWY_MIN(kChunksAtOnce, (steps + length - 1) / length - first);
        ForRangesOf(p.plan, count, cycles, [&](size_t begin, size_t end) HWY_ATTR {
          for (size_t i = begin; i < end; ++i) {
            sums[i] = chunk((first + i) * length, HWY_MIN((first + i + 1) * length, steps));
          }
        });
        for (size_t i = 0; i < count; ++i) total = first + i == 0 ? sums[0] : merge(total, sums[i]);
      }
      return total;
    }
  }
  return sum_of(0, steps);
}

// Stores f(step) past the caches, for the full steps [begin, end). Rows start anywhere but such stores must be aligned, so
// each vector is assembled from two neighbours.
template <class P, class S, class F>
HWY_INLINE void StreamSteps(const P& p, S* out, size_t begin, size_t end, F f) {
  const size_t lanes = hn::Lanes(p.d), head = (lanes - Misalignment(lanes, out)) % lanes, tail = lanes - head;
  const hn::RebindToSigned<decltype(p.d)> di;
  const auto order = hn::And(hn::Iota(di, static_cast<hn::TFromD<decltype(di)>>(head)),
                             hn::Set(di, static_cast<hn::TFromD<decltype(di)>>(lanes - 1)));
  const auto indices = hn::IndicesFromVec(p.d, order);
  const auto first = hn::FirstN(p.d, tail);
  S* to = out + p.Offset(begin) + head;
  auto last = hn::Zero(p.d);
  for (size_t i = begin; i < end; ++i) {
    const auto v = f(i), next = hn::TableLookupLanes(v, indices);
    if (HWY_UNLIKELY(i == begin)) {
      StoreTail(v, p.d, to - head, head);
    } else {
      StoreOrStream(hn::IfThenElse(first, last, next), p.d, to, true);
      to += lanes;
    }
    last = next;
  }
  StoreTail(last, p.d, to, tail);
}

// out = f(step) for the steps [begin, end) of a row.
template <class P, class S, class F>
HWY_INLINE void FillSteps(const P& p, S* out, size_t begin, size_t end, F f) {
  const size_t full = HWY_MIN(end, p.FullSteps());
  if constexpr (P::kInMemory) {
    if (p.stream && begin < full) {
      StreamSteps(p, out, begin, full, f);
      begin = full;
    }
  }
  for (size_t i = begin; i < end; ++i) {  // f may be long and is inlined once here: saves 0.5 MB in all
    const auto v = f(i);
    if (HWY_LIKELY(i < full)) {
      StoreTo(v, p.d, out + p.Offset(i));
    } else {
      StoreTail(v, p.d, out + p.Offset(i), p.TailLanes());
    }
  }
}

// The same for a huge row, on as many threads as are free.
template <class P, class S, class F>
HWY_INLINE void FillHugeRow(const P& p, S* out, F f) {
  ForRangesOf(p.plan, p.Steps(), kHugeCycles * hn::Lanes(p.d), [=](size_t begin, size_t end) HWY_ATTR {
    FillSteps(p, out, begin, end, f);
    if (p.stream) hwy::FlushStream();
  });
}

template <class P, class S, class F>
HWY_INLINE void FillRow(const P& p, S* out, F f) {
  if constexpr (P::kInMemory) {
    if (p.classes > kMaxKept) return FillHugeRow(p, out, f);
  }
  FillSteps(p, out, 0, p.Steps(), f);
}

// out = f(step, v) over a whole row; `out` may be `row`.
template <class P, class S, class To, class F>
HWY_INLINE void TransformRow(const P& p, const S* row, To* out, F f) {
  FillRow(p, out, [=](size_t i) NONLIN_LOOP { return f(i, p.LoadRow(row, i)); });
}

// Sums over a row each of the kSums terms that f(step, v, terms) sets. Terms are added in runs, and the sums of runs
// exactly, so that the rounding error does not grow with the row; with kExactLanes those of the lanes too.
template <size_t kSums, bool kExactLanes = false, class P, class S, class V, class F>
HWY_INLINE void SumsOf(const P& p, const S* row, V* sums, F f) {
  const V zero = hn::Zero(p.d);
  const size_t steps = p.Steps();
  V totals[kSums], lows[kSums];  // not of Two, for the reason given at InChunks
  for (size_t k = 0; k < kSums; ++k) totals[k] = lows[k] = zero;
  for (size_t begin = 0; begin < steps; begin += P::kRunSteps) {
    V run[kSums];
    for (V& sum : run) sum = zero;
    ForEach(p, row, begin, HWY_MIN(begin + P::kRunSteps, steps), 0, [&](size_t i, V v, auto step) NONLIN_LOOP {
      V terms[kSums];
      f(i, v, terms);
      for (size_t k = 0; k < kSums; ++k) {
        if constexpr (step.kTail) terms[k] = hn::IfThenElseZero(hn::FirstN(p.d, p.TailLanes()), terms[k]);
        run[k] = hn::Add(run[k], terms[k]);
      }
    });
    for (size_t k = 0; k < kSums; ++k) {
      const Two<V> sum = TwoSum(totals[k], run[k]);
      totals[k] = sum.hi;
      lows[k] = hn::Add(lows[k], sum.lo);
    }
  }
  for (size_t k = 0; k < kSums; ++k) {
    const auto rounded = [=](Two<V> sum)
                             HWY_ATTR { return hn::Add(sum.hi, hn::IfThenElseZero(hn::IsFinite(sum.lo), sum.lo)); };
    const Two<V> total{totals[k], lows[k]};
    sums[k] = kExactLanes ? rounded(p.Sum(total)) : p.Sum(rounded(total));
  }
}

// Sum of f(step, v) over a row.
template <class P, class S, class F>
HWY_INLINE hn::Vec<typename P::D> SumOf(const P& p, const S* row, F f) {
  using V = hn::Vec<typename P::D>;
  V sum;
  SumsOf<1>(p, row, &sum, [=](size_t i, V v, V* term) NONLIN_LOOP { *term = f(i, v); });
  return sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_LAYOUTS_INL_H_
