// The layouts of rows, `Along` and `Across`, and loops over a row in either of them. Copies between memory and buffers are
// in pack-inl.h, formulas in softmax-inl.h and losses-inl.h.
//
// A formula is written once, on "steps". In `Along` a step is a vector of consecutive classes of one row, and sums end
// with a reduction over the lanes. In `Across` a step is one class of as many rows as there are lanes, side by side in a
// small buffer.
//
// A sum over a row has one order, whatever the layout and the instruction set: that of vectors of 64 bytes. Class c belongs
// to lane c % kSumLanes of such a vector, and a step is a part of one: step i is part i % kParts. Each lane adds up runs of
// classes plainly, and these exactly; the sums of lanes are folded in pairs at the end. So a row has the same bits
// everywhere.

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

template <class T>
constexpr size_t kSumLanes = kSumBytes / sizeof(T);
// Rows of up to this many classes have simpler sums: they have fewer roundings.
template <class T>
constexpr size_t kFewClasses = kDenseLanes * kSumLanes<T>;

// S is the type of rows in memory; kShort means that all results have 16 bits.
template <class S, bool kShortExponentials>
struct Along {
  using T = Computed<S>;
  static constexpr bool kShort = kShortExponentials;
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  static constexpr bool kInMemory = true;  // not in a buffer
  static constexpr size_t kLanesOfRow = hn::MaxLanes(D()), kParts = kSumLanes<T> / kLanesOfRow;
  D d;
  size_t classes;
  bool stream;          // results past the caches
  const RowPlan& plan;  // of a huge row

  size_t Steps() const { return (classes + hn::Lanes(d) - 1) / hn::Lanes(d); }
  size_t FullSteps() const { return classes / hn::Lanes(d); }
  size_t TailLanes() const { return classes % hn::Lanes(d); }
  size_t Offset(size_t step) const { return step * hn::Lanes(d); }
  static constexpr size_t Parts() { return kParts; }

  // Bytes from an entry to the one that is read `steps` steps later; 0 if that is near, as the hardware then prefetches it.
  ptrdiff_t Ahead(size_t steps) const {
    if (plan.ahead != 0) return plan.ahead;
    return steps > kNearSteps ? static_cast<ptrdiff_t>(Offset(steps) * sizeof(S)) : 0;
  }

  // Where to keep numbers that become results: apart, and the result is written once. Other cores may hold its lines,
  // as they do after a product, and when it was stored, read and stored again, its lines came twice. Longer rows go there.
  T* Keep(S* out, T* buffer) const {
    if constexpr (std::is_same_v<S, T>) return stream || classes * sizeof(T) <= kKeptApartBytes ? buffer : out;
    return buffer;
  }
  bool FetchesResult() const { return !stream; }

  V Max(V v) const { return hn::MaxOfLanes(d, v); }
  V Count(V counts) const { return hn::SumOfLanes(d, counts); }
  V InFirstLane(V v) const { return hn::IfThenElseZero(hn::FirstN(d, 1), v); }
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

template <class Number, bool kShortExponentials = false>
struct Across {
  using T = Number;
  static constexpr bool kShort = kShortExponentials;
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  static constexpr bool kInMemory = false;
  static constexpr size_t kLanesOfRow = 1, kParts = kSumLanes<T>;
  D d;
  size_t classes;

  size_t Steps() const { return classes; }
  size_t FullSteps() const { return classes; }
  static constexpr size_t TailLanes() { return 0; }
  size_t Offset(size_t step) const { return step * hn::Lanes(d); }
  size_t Parts() const { return HWY_MIN(classes, kParts); }
  static ptrdiff_t Ahead(size_t) { return 0; }

  static T* Keep(T* out, T*) { return out; }
  static bool FetchesResult() { return false; }

  V Max(V v) const { return v; }
  V Count(V counts) const { return counts; }
  V InFirstLane(V v) const { return v; }
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

// Calls f(step, v, FullStep or TailStep) for every kStride-th of the steps [begin, end) of a row; lanes beyond its end hold
// `filler`. Two or four steps at a time, which help in elementwise-inl.h, gain nothing here (0.94 to 1.02), nor in sums of
// logarithms.
template <size_t kStride = 1, class P, class S, class F>
HWY_INLINE void ForEach(const P& p, const S* row, size_t begin, size_t end, typename P::T filler, F f) {
  const size_t full = HWY_MIN(end, p.FullSteps());
  size_t i = begin;
  for (; i < full; i += kStride) f(i, LoadFrom(p.d, row + p.Offset(i)), FullStep());
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

// Steps of a run, whose classes are added up in plain floating point: 8 in each lane, or 64 for 16-bit results, which is 5 %
// faster. With 16, gradients came to 4.1 ULP.
template <class P>
constexpr size_t kRunSteps = P::kParts * (P::kShort ? 64 : 8);

// 0 for a low part that is not finite, as is that of an infinite sum.
template <class V>
HWY_INLINE V FiniteOrZero(V low) {
  return hn::IfThenElseZero(hn::IsFinite(low), low);
}

// Adds two sums exactly, or plainly.
template <bool kExact, class V>
HWY_INLINE Two<V> Join(Two<V> a, Two<V> b) {
  if constexpr (kExact) {
    const Two<V> sum = TwoSum(a.hi, b.hi);
    return {sum.hi, hn::Add(hn::Add(a.lo, b.lo), sum.lo)};
  } else {
    return {hn::Add(a.hi, b.hi), a.lo};
  }
}

// Joins up to kMost, at most four, sums in pairs.
template <bool kExact, size_t kMost = 4, class F>
HWY_INLINE auto JoinAll(size_t count, F sum_of) {
  if (count == 1) return sum_of(0);
  const auto first = Join<kExact>(sum_of(0), sum_of(1));
  if (kMost == 2 || count == 2) return first;
  return Join<kExact>(first, count == 3 ? sum_of(2) : Join<kExact>(sum_of(2), sum_of(3)));
}

// The sum of a four of lanes, in rows of a few classes without its low part. With fours added up plainly in all rows,
// log_softmax came to 3.9 ULP; exactly in all, rows of 10 classes took 1.08 times as long.
template <class V>
HWY_INLINE Two<V> FourOf(Two<V> sum, bool is_plain, V zero) {
  return {sum.hi, is_plain ? zero : sum.lo};
}

// The total, in all lanes, of the sums in a row's lanes, of which each of `count` vectors holds kLanes: in pairs of
// neighbours, then pairs of these, and so on. Zeros complete the last four.
template <bool kExact, size_t kLanes, class D, class V>
HWY_INLINE Two<V> FoldLanes(D d, V* sums, size_t count, bool plain_fours) {
  constexpr size_t kVectors = kLanes < 4 ? 4 / kLanes : 1;  // of a four
  const V zero = hn::Zero(d);
  const auto lanes = [=](V v) NONLIN_LOOP {  // of a vector; lanes that were joined hold the same
    Two<V> sum{v, zero};
    if constexpr (kLanes >= 2) sum = Join<kExact>(sum, Two<V>{hn::Reverse2(d, v), zero});
    if constexpr (kLanes >= 4) {
      sum = FourOf(Join<kExact>(sum, Two<V>{hn::Reverse4(d, sum.hi), hn::Reverse4(d, sum.lo)}), plain_fours, zero);
    }
    if constexpr (kLanes >= 8) sum = Join<kExact>(sum, Two<V>{hn::Reverse8(d, sum.hi), hn::Reverse8(d, sum.lo)});
    if constexpr (kLanes >= 16) sum = Join<kExact>(sum, Two<V>{hn::Reverse(d, sum.hi), hn::Reverse(d, sum.lo)});
    return sum;
  };
  return JoinAll<kExact>((count + kVectors - 1) / kVectors, [=](size_t i) NONLIN_LOOP {
    const V* const v = sums + i * kVectors;
    if constexpr (kLanes >= 4) {
      return lanes(*v);
    } else {
      const auto vector = [=](size_t k) NONLIN_LOOP { return lanes(v[k]); };
      if (plain_fours) return FourOf(JoinAll<false>(kVectors, vector), true, zero);
      return JoinAll<kExact>(kVectors, vector);
    }
  });
}

// The sums of a row in its lanes, each added up exactly from the sums of runs.
template <class P>
struct LaneSums {
  using V = typename P::V;
  V high[P::kParts + 3], low[P::kParts];  // see FoldLanes

  HWY_INLINE LaneSums() {}  // on Arm, GCC cannot compile the one that it writes itself

  // Side by side the sums are in memory, and low parts that are 0 are left out.
  static HWY_INLINE bool IsOneRun(const P& p) { return !P::kInMemory && p.classes <= kRunSteps<P>; }

  // The zeros behind the sums are stored here: right before FoldLanes loads them, narrow rows took up to 1.7 times as long.
  HWY_INLINE void Clear(const P& p) {
    for (size_t i = 0; i < 3; ++i) high[p.Parts() + i] = hn::Zero(p.d);
    if (IsOneRun(p)) return;
    for (size_t i = 0; i < p.Parts(); ++i) high[i] = low[i] = hn::Zero(p.d);
  }
  HWY_INLINE void Add(size_t part, V run) {
    const Two<V> sum = TwoSum(high[part], run);
    high[part] = sum.hi;
    low[part] = hn::Add(low[part], sum.lo);
  }
  HWY_INLINE V Of(size_t part) const { return hn::Add(high[part], FiniteOrZero(low[part])); }

  template <bool kExact>
  HWY_INLINE Two<V> Fold(const P& p, size_t plain_fours) {  // in rows of up to so many classes
    if (!IsOneRun(p)) {
      for (size_t i = 0; i < p.Parts(); ++i) high[i] = Of(i);
    }
    return FoldLanes<kExact, P::kLanesOfRow>(p.d, high, p.Parts(), p.classes <= plain_fours);
  }
};

// Adds to each of kSums sums the terms that f(step, v, terms, FullStep or TailStep) sets for the steps [begin, end). In a
// run, a lane's terms go to two sums by turns, which halves the chain of roundings.
template <size_t kSums, class P, class S, class F>
HWY_INLINE void AddUp(const P& p, const S* row, size_t begin, size_t end, typename P::T filler, LaneSums<P>* totals, F f) {
  using V = typename P::V;
  if constexpr (!P::kInMemory && kSums == 1 && !kIsRare) {  // with more, terms are long
    if (p.classes <= P::kParts) {                           // a class in each lane
      ForEach(p, row, begin, end, filler, [&](size_t i, V v, auto step) NONLIN_LOOP {
        V terms[kSums];
        f(i, v, terms, step);
        for (size_t k = 0; k < kSums; ++k) totals[k].high[i] = hn::Add(hn::Zero(p.d), terms[k]);
      });
      return;
    }
  }
  const bool is_one_run = end <= kRunSteps<P>;  // the whole row
  const auto add = [=](size_t k, size_t part, V run) NONLIN_LOOP {
    if (is_one_run) {
      totals[k].high[part] = run;
    } else {
      totals[k].Add(part, run);
    }
  };
  // In registers, all parts in the order of memory; if they are many, one after another.
  constexpr size_t kPartsAtOnce = P::kParts <= 2 ? P::kParts : 1, kTurns = 2 * kPartsAtOnce;
  for (size_t run = begin; run < end; run += kRunSteps<P>) {
    const size_t run_end = HWY_MIN(run + kRunSteps<P>, end);
    for (size_t first = run; first < HWY_MIN(run + P::kParts, run_end); first += kPartsAtOnce) {
      V sums[kSums][kTurns];  // whose turn it is comes first
      for (size_t i = 0; i < kSums * kTurns; ++i) sums[i / kTurns][i % kTurns] = hn::Zero(p.d);
      const auto next_turn = [&](size_t k, V sum) NONLIN_LOOP {
        for (size_t i = 1; i < kTurns; ++i) sums[k][i - 1] = sums[k][i];
        sums[k][kTurns - 1] = sum;
      };
      ForEach<P::kParts / kPartsAtOnce>(p, row, first, run_end, filler, [&](size_t i, V v, auto step) NONLIN_LOOP {
        V terms[kSums];
        f(i, v, terms, step);
        for (size_t k = 0; k < kSums; ++k) next_turn(k, hn::Add(sums[k][0], terms[k]));
      });
      if constexpr (kPartsAtOnce > 1) {
        for (size_t i = run_end - first; i % kTurns != 0; ++i) {
          for (size_t k = 0; k < kSums; ++k) next_turn(k, sums[k][0]);
        }
      }
      for (size_t k = 0; k < kSums; ++k) {
        for (size_t part = 0; part < kPartsAtOnce; ++part) {
          add(k, first - run + part, hn::Add(sums[k][part], sums[k][part + kPartsAtOnce]));
        }
      }
    }
  }
}

// Sums over a row each of the kSums terms that f(step, v, terms) sets.
template <size_t kSums, bool kExactLanes = false, class P, class S, class V, class F>
HWY_INLINE void SumsOf(const P& p, const S* row, V* sums, F f) {
  LaneSums<P> totals[kSums];
  for (auto& total : totals) total.Clear(p);
  AddUp<kSums>(p, row, 0, p.Steps(), 0, totals, [&](size_t i, V v, V* terms, auto step) NONLIN_LOOP {
    f(i, v, terms);
    for (size_t k = 0; k < kSums; ++k) {
      if constexpr (step.kTail) terms[k] = hn::IfThenElseZero(hn::FirstN(p.d, p.TailLanes()), terms[k]);
    }
  });
  for (size_t k = 0; k < kSums; ++k) {
    const Two<V> total = totals[k].template Fold<kExactLanes>(p, kFewClasses<typename P::T>);
    sums[k] = kExactLanes ? hn::Add(total.hi, FiniteOrZero(total.lo)) : total.hi;
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
