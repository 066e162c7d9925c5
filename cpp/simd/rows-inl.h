// Row kernels: softmax and its family along the class axis.
//
// A formula is written once, on "steps". In `Along` a step is a vector of consecutive classes of one row, and sums end
// with a reduction over the lanes. In `Across` a step is one class of as many rows as there are lanes, side by side in a
// small buffer. Which of the two runs depends on the number of classes and their stride, never on the number of rows.
// Wide contiguous rows are read in place; a row's maximum and sum are found block by block in a single read of memory. Those
// of a few vectors are in place too, as many together as there are lanes, where an operation has an `Entry`.
// Huge ones are cut into chunks, which threads share where rows are fewer than threads.

#if defined(NONLIN_SIMD_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_ROWS_INL_H_
#undef NONLIN_SIMD_ROWS_INL_H_
#else
#define NONLIN_SIMD_ROWS_INL_H_
#endif

#include <type_traits>

#include "hwy/cache_control.h"
#include "kernels.h"
#include "parallel.h"
#include "simd/pack-inl.h"
#include "simd/vio-inl.h"
#include "simd/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// ---------------------------------------------------------------- the two layouts

// S is the type of rows in memory; kShort where all results have 16 bits.
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
  bool stream;  // results past the caches

  size_t Steps() const { return (classes + hn::Lanes(d) - 1) / hn::Lanes(d); }
  size_t FullSteps() const { return classes / hn::Lanes(d); }
  size_t TailLanes() const { return classes % hn::Lanes(d); }
  size_t Offset(size_t step) const { return step * hn::Lanes(d); }

  // Bytes from an entry to what is read after `steps` steps. If that is near, the processor fetches it without being told.
  ptrdiff_t Ahead(size_t steps) const {
    constexpr size_t kNearSteps = 128;
    return steps > kNearSteps ? static_cast<ptrdiff_t>(Offset(steps) * sizeof(S)) : 0;
  }

  // Where to keep what becomes a result. Its own memory is read on the way to be written, meanwhile; past the caches it is
  // not.
  T* Keep(S* out, T* buffer) const {
    if constexpr (std::is_same_v<S, T>) return stream ? buffer : out;
    return buffer;
  }

  V Max(V v) const { return hn::MaxOfLanes(d, v); }
  V Sum(V v) const { return hn::SumOfLanes(d, v); }
  // Exactly: with the plain sum, log_softmax came to 4.8 ULP and gradients to 5.8.
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

  // A row's class.
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
  // `own` for the entry of the class, v for all others of a step.
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
    const Index* array;  // of the same
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
    constexpr size_t kMaxLookedThrough = 16;  // classes up to which it is faster to look at every step
    if (classes <= kMaxLookedThrough) {
      V picked = LoadRow(rows, 0);
      for (size_t i = 1; i < classes; ++i) picked = hn::IfThenElse(Is(c, i), LoadRow(rows, i), picked);
      return picked;
    }
    HWY_ALIGN T picked[hn::MaxLanes(d)];
    for (size_t i = 0; i < hn::Lanes(d); ++i) picked[i] = rows[Offset(HWY_MAX(c.array[i], 0)) + i];
    return hn::Load(d, picked);
  }
  V Replace(const Class& c, size_t step, V v, V own) const { return hn::IfThenElse(Is(c, step), own, v); }
  V LoadScalar(const T* scalars) const { return hn::LoadU(d, scalars); }
  void StoreScalar(V v, T* scalars) const { hn::StoreU(v, d, scalars); }
};

constexpr size_t kBlockSteps = 256;  // in L1: the maximum of a block is found before its sum

// Classes of a row whose exponentials are kept: with the row and its result they fit L2. Rows above are huge.
constexpr size_t kMaxKept = size_t{1} << 16;
constexpr double kHugeCycles = 2;  // an element, for the division among threads

struct FullStep {
  static constexpr bool kTail = false;
};
struct TailStep {
  static constexpr bool kTail = true;
};

// f(step, v, FullStep or TailStep) for the steps [begin, end) of a row; lanes behind its end hold `filler`. Two or four
// steps at a time, which help in map-inl.h, gain nothing here (0.94 to 1.02), in sums of logarithms neither.
template <class P, class S, class F>
HWY_INLINE void ForEach(const P& p, const S* row, size_t begin, size_t end, typename P::T filler, F f) {
  const size_t full = HWY_MIN(end, p.FullSteps());
  size_t i = begin;
  for (; i < full; ++i) f(i, LoadFrom(p.d, row + p.Offset(i)), FullStep());
  if (i < end) f(i, LoadTail(p.d, row + p.Offset(i), p.TailLanes(), filler), TailStep());
}

// A lambda of a loop over a row: inline, as the closure of a call takes stores, which queue behind those of the row before
// where these wait for their lines; it has cost a third of the time. For threads another lambda takes it in.
#undef NONLIN_LOOP
#define NONLIN_LOOP HWY_ATTR __attribute__((always_inline))

// The sums of a huge row's chunks, merged in their order, which threads do not change; else that of all steps at once.
template <class Sum, class P, class F, class Merge>
HWY_INLINE Sum InChunks(const P& p, F sum_of, Merge merge) {
  const size_t steps = p.Steps();
  if constexpr (P::kInMemory) {
    if (p.classes > kMaxKept) {
      constexpr size_t kMaxChunks = 64;
      Sum sums[kMaxChunks];
      const F chunk = sum_of;
      const size_t length = HWY_MAX(kMaxKept / hn::Lanes(p.d) / 2, (steps + kMaxChunks - 1) / kMaxChunks);
      const size_t count = (steps + length - 1) / length;
      ParallelFor(count, 1, kHugeCycles * static_cast<double>(length * hn::Lanes(p.d)),
                  [&](size_t begin, size_t end) HWY_ATTR {
                    for (size_t i = begin; i < end; ++i) sums[i] = chunk(i * length, HWY_MIN((i + 1) * length, steps));
                  });
      for (size_t i = 1; i < count; ++i) sums[0] = merge(sums[0], sums[i]);
      return sums[0];
    }
  }
  return sum_of(0, steps);
}

// Stores the full steps [begin, end) of f(step) past the caches. Rows start anywhere, vectors go to aligned memory: each
// is put together from two neighbours.
template <class P, class S, class F>
HWY_INLINE void StreamSteps(const P& p, S* out, size_t begin, size_t end, F f) {
  const size_t lanes = hn::Lanes(p.d), head = (lanes - Misalignment(p.d, out)) % lanes, tail = lanes - head;
  const hn::RebindToSigned<decltype(p.d)> di;
  const auto order = hn::And(hn::Iota(di, static_cast<hn::TFromD<decltype(di)>>(head)),
                             hn::Set(di, static_cast<hn::TFromD<decltype(di)>>(lanes - 1)));
  const auto indices = hn::IndicesFromVec(p.d, order);
  const auto first = hn::FirstN(p.d, tail);
  S* to = out + p.Offset(begin);
  const auto v = f(begin);
  StoreTail(v, p.d, to, head);
  to += head;
  auto last = hn::TableLookupLanes(v, indices);
  for (size_t i = begin + 1; i < end; ++i, to += lanes) {
    const auto next = hn::TableLookupLanes(f(i), indices);
    StoreOrStream(hn::IfThenElse(first, last, next), p.d, to, true);
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
  for (size_t i = begin; i < full; ++i) StoreTo(f(i), p.d, out + p.Offset(i));
  if (full < end) StoreTail(f(full), p.d, out + p.Offset(full), p.TailLanes());
}

// The same for a huge row, on as many threads as are free.
template <class P, class S, class F>
HWY_INLINE void FillHugeRow(const P& p, S* out, F f) {
  ParallelFor(p.Steps(), 1, kHugeCycles * hn::Lanes(p.d), [=](size_t begin, size_t end) HWY_ATTR {
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
  FillRow(p, out, [=](size_t i) HWY_ATTR { return f(i, p.LoadRow(row, i)); });
}

// Sums over a row of the kSums terms that f(step, v, terms) sets. Runs keep the rounding error from growing with the row;
// their sums are added exactly.
template <size_t kSums, class P, class S, class V, class F>
HWY_INLINE void SumsOf(const P& p, const S* row, V* sums, F f) {
  const V zero = hn::Zero(p.d);
  const size_t steps = p.Steps();
  Two<V> totals[kSums];
  for (Two<V>& total : totals) total = {zero, zero};
  for (size_t begin = 0; begin < steps; begin += P::kRunSteps) {
    V run[kSums];
    for (V& sum : run) sum = zero;
    ForEach(p, row, begin, HWY_MIN(begin + P::kRunSteps, steps), 0, [&](size_t i, V v, auto step) HWY_ATTR {
      V terms[kSums];
      f(i, v, terms);
      for (size_t k = 0; k < kSums; ++k) {
        if constexpr (step.kTail) terms[k] = hn::IfThenElseZero(hn::FirstN(p.d, p.TailLanes()), terms[k]);
        run[k] = hn::Add(run[k], terms[k]);
      }
    });
    for (size_t k = 0; k < kSums; ++k) {
      const Two<V> sum = TwoSum(totals[k].hi, run[k]);
      totals[k] = {sum.hi, hn::Add(totals[k].lo, sum.lo)};
    }
  }
  for (size_t k = 0; k < kSums; ++k) {
    const V low = totals[k].lo;
    sums[k] = p.Sum(hn::Add(totals[k].hi, hn::IfThenElseZero(hn::IsFinite(low), low)));
  }
}

// Sum of f(step, v) over a row.
template <class P, class S, class F>
HWY_INLINE hn::Vec<typename P::D> SumOf(const P& p, const S* row, F f) {
  using V = hn::Vec<typename P::D>;
  V sum;
  SumsOf<1>(p, row, &sum, [=](size_t i, V v, V* term) HWY_ATTR { *term = f(i, v); });
  return sum;
}

// ---------------------------------------------------------------- exponentials of a row

// The scale of a row's exponentials: e^x is taken as 2^offset e^(x - reference), near 1 at the row's maximum.
// Subtracting the maximum itself would lose up to half an ULP of the difference, some ULPs of the result. Here the
// difference is exact wherever the result matters: small rows have reference 0 and are scaled by a power of two, and
// around a large maximum floating-point subtraction is exact.
template <class DT, bool kShortExponentials>
struct RowScale {
  using D = DT;
  using V = hn::Vec<D>;
  using VI = hn::Vec<hn::RebindToSigned<D>>;
  static constexpr bool kShort = kShortExponentials;
  V reference, floor;  // of x - reference: below, e^x counts for nothing
  VI exponent;         // biased, of the power of two that goes with k = 0
  V round;             // what rounds to an integer and adds that exponent, in the short form without the bias

  RowScale(D d, V max) {
    using C = ConstantsOf<D>;
    const hn::RebindToSigned<D> di;
    const V zero = hn::Zero(d), bound = hn::Set(d, C::kExactReduction);
    const V none = hn::Neg(hn::Inf(d));  // the maximum of a row of nothing but -inf, or NaN
    reference = hn::IfThenElse(hn::Or(hn::Le(hn::Abs(max), bound), hn::Eq(max, none)), zero, max);
    const V top = hn::IfThenElseZero(hn::IsFinite(max), hn::Sub(max, reference));
    floor = hn::Add(top, hn::Set(d, C::kRowZero));
    const V unscaled = hn::Set(d, C::kRound);
    const V shifted = hn::MulAdd(top, hn::Set(d, C::kLog2E), unscaled);
    const auto k = hn::Sub(hn::BitCast(di, shifted), hn::BitCast(di, unscaled));
    exponent = hn::Sub(hn::Set(di, C::kExponentBias + C::kScaleExponent), k);
    round = hn::Add(unscaled, hn::ConvertTo(d, hn::Sub(exponent, hn::Set(di, kShort ? C::kExponentBias : 0))));
  }

  // e^x in the row's scale, times 2^kScaleExponent; within an ULP.
  HWY_INLINE V Exp(D d, V x) const {
    const V a = AtLeast(hn::Sub(x, reference), floor);
    if constexpr (kShort) {
      return ShortExp(d, a);
    } else {
      return FullExp(d, a);
    }
  }

  // Within 2^-21, for results of 16 bits. NaN stays NaN, as those of 16 bits have nothing in their low bits.
  HWY_INLINE V ShortExp(D d, V a) const {
    using C = ConstantsOf<D>;
    const hn::RebindToSigned<D> di;
    const V shifted = hn::MulAdd(a, hn::Set(d, C::kLog2E), round);
    const V r = hn::NegMulAdd(hn::Sub(shifted, round), hn::Set(d, C::kLn2), a);
    const auto power = hn::ShiftLeft<C::kMantissaBits>(hn::BitCast(di, shifted));
    return hn::BitCast(d, hn::Add(hn::BitCast(di, Polynomial(d, r, C::kShortExp)), power));
  }

  // The short form of ScaledExp.
  HWY_INLINE V FullExp(D d, V a) const {
    using C = ConstantsOf<D>;
    const hn::RebindToSigned<D> di;
    const V shifted = hn::MulAdd(a, hn::Set(d, C::kLog2E), round);
    const V n = hn::Sub(shifted, round);
    const V r = hn::NegMulAdd(n, hn::Set(d, C::kLn2Low), hn::NegMulAdd(n, hn::Set(d, C::kLn2High), a));
    const V fraction = hn::MulAdd(hn::Mul(r, r), Polynomial(d, r, C::kExp), r);
    // The low bits of `shifted` are the power's exponent; those of kRound above them leave the word.
    const V power = hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::BitCast(di, shifted)));
    return hn::MulAdd(power, fraction, power);
  }

  // The same for the maximum, far within an ULP; 2^kScaleExponent where it is infinite.
  HWY_INLINE Two<V> ExpOfMax(D d, V max) const {
    using C = ConstantsOf<D>;
    const auto e = SplitExp(d, hn::IfThenElseZero(hn::IsFinite(max), hn::Sub(max, reference)));
    return TimesPower(d, e, hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::Add(e.k, exponent))));
  }
};

// A row's maximum, and its exponentials without one maximum: 1 + rest is softmax's denominator relative to the maximum's
// numerator, max + log1p(rest) is logsumexp. Keeping the 1 apart keeps the digits of a rest below the type's epsilon.
template <class Scale>
struct RowSum {
  using V = typename Scale::V;
  Scale scale;
  V max;
  Two<V> rest, total;  // total: of the scaled exponentials
};

// The maximum of `start` and the steps [begin, end). Four at a time: one would wait for the last.
// Max(v, m) keeps m where v is NaN, or becomes NaN: the sum of exponentials shows it either way.
template <class P, class S, class V>
HWY_INLINE V MaxOf(const P& p, const S* row, size_t begin, size_t end, V start) {
  const auto filler = hn::GetLane(hn::Neg(hn::Inf(p.d)));
  const size_t full = HWY_MIN(end, p.FullSteps());
  V m0 = start, m1 = start, m2 = start, m3 = start;
  size_t i = begin;
  for (; i + 4 <= full; i += 4) {
    m0 = hn::Max(LoadFrom(p.d, row + p.Offset(i)), m0);
    m1 = hn::Max(LoadFrom(p.d, row + p.Offset(i + 1)), m1);
    m2 = hn::Max(LoadFrom(p.d, row + p.Offset(i + 2)), m2);
    m3 = hn::Max(LoadFrom(p.d, row + p.Offset(i + 3)), m3);
  }
  ForEach(p, row, i, end, filler, [&](size_t, V v, auto) HWY_ATTR { m0 = hn::Max(v, m0); });
  return p.Max(hn::Max(hn::Max(m0, m1), hn::Max(m2, m3)));
}

// Sums of a row's scaled exponentials: those that equal the maximum, counted, and the others, in runs of exact addition.
template <class Scale>
struct RowTotals {
  using D = typename Scale::D;
  using V = typename Scale::V;
  Two<V> others;
  V count;

  // Adds the steps [begin, end); `keep(i, e)` is handed every exponential. What lies `ahead` bytes is fetched.
  template <bool kCount, bool kFewSteps = false, class P, class S, class F>
  HWY_INLINE void Add(const P& p, const S* row, size_t begin, size_t end, const Scale& scale, V max, ptrdiff_t ahead,
                      F keep) {
    const D d = p.d;
    const V zero = hn::Zero(d), one = hn::Set(d, 1);
    const auto filler = hn::GetLane(hn::Neg(hn::Inf(d)));
    for (size_t run = begin; run < end; run += P::kRunSteps) {
      V sum = zero, other = zero;  // take turns: half as many roundings one on another
      ForEach(p, row, run, HWY_MIN(run + P::kRunSteps, end), filler, [&](size_t i, V v, auto step) HWY_ATTR {
        if constexpr (P::kInMemory) hwy::Prefetch(reinterpret_cast<const char*>(row + p.Offset(i)) + ahead);
        V e = scale.Exp(d, v);
        keep(i, e);
        if constexpr (kCount) {
          auto is_max = hn::Eq(v, max);
          if constexpr (step.kTail) is_max = hn::And(is_max, hn::FirstN(d, p.TailLanes()));
          e = hn::IfThenZeroElse(is_max, e);
          count = hn::Add(count, hn::IfThenElseZero(is_max, one));
        }
        const V next = hn::Add(other, e);
        other = sum;
        sum = next;
      });
      if (kFewSteps && end <= P::kRunSteps) {  // all of a row
        others.hi = hn::Add(sum, other);
        return;
      }
      const Two<V> total = TwoSum(others.hi, hn::Add(sum, other));
      others = {total.hi, hn::Add(others.lo, total.lo)};
    }
  }

  // The maximum's exponential is taken twice: as entries have it, so that they add up to 1, and exactly, for what is
  // relative to it. With the former alone, gradients came to 4.6 ULP.
  template <class P>
  HWY_INLINE RowSum<Scale> Finish(const P& p, const Scale& scale, V max) const {
    const D d = p.d;
    const V maxima = p.Sum(count);
    const Two<V> in_lanes = p.Sum(others), sum = FastTwoSum(in_lanes.hi, in_lanes.lo);
    const Two<V> quotient = TwoQuotient(d, sum, scale.ExpOfMax(d, max));
    const Two<V> rest = TwoSum(hn::Sub(maxima, hn::Set(d, 1)), quotient.hi);
    const V top = hn::IfThenElse(hn::IsFinite(max), scale.Exp(d, max), hn::Set(d, ConstantsOf<D>::kScale));
    const Two<V> at_max = TwoProduct(d, maxima, top), total = TwoSum(at_max.hi, sum.hi);
    const V total_low = hn::Add(total.lo, hn::Add(at_max.lo, sum.lo));
    return {scale, max, FastTwoSum(rest.hi, hn::Add(rest.lo, quotient.lo)), {total.hi, total_low}};
  }
};

// A row's maximum and totals in its scale.
template <class Scale>
struct RowState {
  using D = typename Scale::D;
  using V = typename Scale::V;
  V max;
  RowTotals<Scale> totals;

  // Scales the totals down to a larger maximum's scale.
  HWY_INLINE void Raise(D d, const Scale& scale, V new_max, const Scale& new_scale) {
    // Divided first: the factor between the scales may be sub-normal, its product with the new one's scaling is not.
    const V old_top = scale.Exp(d, max);
    const V carried = hn::IfThenZeroElse(hn::Eq(max, hn::Neg(hn::Inf(d))), new_scale.Exp(d, max));
    const V sum = hn::MulAdd(totals.count, old_top, hn::Add(totals.others.hi, totals.others.lo));
    const auto grown = hn::Ne(max, new_max);
    totals.others.hi = hn::IfThenElse(grown, hn::Mul(hn::Div(sum, old_top), carried), totals.others.hi);
    totals.others.lo = hn::IfThenZeroElse(grown, totals.others.lo);
    totals.count = hn::IfThenZeroElse(grown, totals.count);
    max = new_max;
  }
};

// In one read of memory, block by block: where a block raises the maximum, what stands so far is scaled down.
template <class P>
using ScaleOf = RowScale<typename P::D, P::kShort>;

template <class P, class S>
HWY_INLINE RowSum<ScaleOf<P>> SumRow(const P& p, const S* row) {
  using D = typename P::D;
  using V = hn::Vec<D>;
  using Scale = ScaleOf<P>;
  using State = RowState<Scale>;
  const D d = p.d;
  const auto of_steps = [=](size_t first, size_t last) NONLIN_LOOP {
    const V zero = hn::Zero(d);
    State state{hn::Neg(hn::Inf(d)), {{zero, zero}, zero}};
    Scale scale(d, state.max);
    for (size_t begin = first; begin < last; begin += kBlockSteps) {
      const size_t end = HWY_MIN(begin + kBlockSteps, last);
      const V max = MaxOf(p, row, begin, end, state.max);
      const Scale new_scale(d, max);
      if (begin > first) state.Raise(d, scale, max, new_scale);
      state.max = max;
      scale = new_scale;
      state.totals.template Add<true>(p, row, begin, end, scale, max, p.Ahead(end - begin), [](size_t, V) HWY_ATTR {});
    }
    return state;
  };
  const State state = InChunks<State>(p, of_steps, [&](State a, State b) HWY_ATTR {
    const V max = hn::Max(b.max, a.max);
    const Scale scale(d, max);
    a.Raise(d, Scale(d, a.max), max, scale);
    b.Raise(d, Scale(d, b.max), max, scale);
    const Two<V> sum = TwoSum(a.totals.others.hi, b.totals.others.hi);
    const V low = hn::Add(a.totals.others.lo, b.totals.others.lo);
    return State{max, {{sum.hi, hn::Add(low, sum.lo)}, hn::Add(a.totals.count, b.totals.count)}};
  });
  return state.totals.Finish(p, Scale(d, state.max), state.max);
}

// A row's exponentials: kept in a buffer, which may be the row, unless they are too many and computed again when they are
// wanted. Without kRest the maxima, which cost a tenth, are not kept apart: `sum.rest` loses digits, and `sum.total` comes
// to 6.7 ULP.
template <bool kRest, class P, class S>
struct RowExponentials {
  using D = typename P::D;
  using V = hn::Vec<D>;
  using T = typename P::T;
  using Scale = ScaleOf<P>;
  const P& p;
  const S* row;
  T* kept;
  RowSum<Scale> sum;

  HWY_INLINE RowExponentials(const P& policy, const S* x, T* buffer)
      : p(policy), row(x), kept(policy.classes <= kMaxKept ? buffer : nullptr), sum(kept ? KeepAndSum() : SumRow(p, row)) {}

  HWY_INLINE RowSum<Scale> KeepAndSum() const {
    const D d = p.d;
    const V max = MaxOf(p, row, 0, p.Steps(), hn::Neg(hn::Inf(d)));
    const Scale scale(d, max);
    RowTotals<Scale> totals{{hn::Zero(d), hn::Zero(d)}, hn::Zero(d)};
    const P policy = p;
    T* const to = kept;
    totals.template Add<kRest>(policy, row, 0, p.Steps(), scale, max, p.Ahead(p.Steps()),
                               [=](size_t i, V e) HWY_ATTR { policy.StoreRow(e, to, i); });
    return totals.Finish(p, scale, max);
  }

  // out = f(step, exponential)
  template <class To, class F>
  HWY_INLINE void Transform(To* out, F f) const {
    const P policy = p;
    if (!P::kInMemory || kept != nullptr) {
      const T* const from = kept;
      FillSteps(policy, out, 0, policy.Steps(), [=](size_t i) HWY_ATTR { return f(i, policy.LoadRow(from, i)); });
    } else if constexpr (P::kInMemory) {
      const S* const from = row;
      const auto scale = sum.scale;
      FillHugeRow(policy, out, [=](size_t i) HWY_ATTR { return f(i, scale.Exp(policy.d, policy.LoadRow(from, i))); });
    }
  }
};

template <bool kRest, class P, class S>
HWY_INLINE RowExponentials<kRest, P, S> ExponentialsOf(const P& p, const S* row, typename P::T* buffer) {
  return {p, row, buffer};
}

// NaN where the maximum is infinite: softmax has no value there.
template <class D, class V>
HWY_INLINE V IfFiniteElseNaN(D d, V max, V value) {
  return hn::IfThenElse(hn::IsFinite(max), value, hn::NaN(d));
}

// upstream * softmax(x) from a row's exponentials. The upstream factor takes the scaling where it is large. Without its low
// part, gradients came to 4.4 ULP.
template <class D>
struct ScaledSoftmax {
  using V = hn::Vec<D>;
  V factor, low, after;

  template <class Sum>
  ScaledSoftmax(D d, const Sum& sum, V upstream) {
    const V one = hn::Set(d, 1), unscale = hn::Set(d, ConstantsOf<D>::kUnscale);
    const Two<V> total{hn::Mul(sum.total.hi, unscale), hn::Mul(sum.total.lo, unscale)};
    const Two<V> f = TwoProduct(d, upstream, TwoReciprocal(d, total));
    const auto large = hn::Ge(hn::Abs(f.hi), one);
    const V scale = hn::IfThenElse(large, unscale, one);
    factor = IfFiniteElseNaN(d, sum.max, hn::Mul(f.hi, scale));
    low = hn::IfThenElseZero(hn::IsFinite(f.lo), hn::Mul(f.lo, scale));
    after = hn::IfThenElse(large, one, unscale);
  }
  HWY_INLINE V operator()(V e) const { return hn::Mul(hn::MulAdd(e, factor, hn::Mul(e, low)), after); }
};

// log of softmax's denominator, log1p(rest)
template <class D, class V>
HWY_INLINE V LogOfSum(D d, Two<V> rest) {
  return Round(Log1p(d, rest));
}

template <class Scale>
HWY_INLINE Two<typename Scale::V> Logsumexp(const RowSum<Scale>& sum) {
  const auto log = Log1p(typename Scale::D(), sum.rest);
  const auto lse = TwoSum(sum.max, log.hi);
  return {lse.hi, hn::IfThenElseZero(hn::IsFinite(lse.lo), hn::Add(lse.lo, log.lo))};
}

// ---------------------------------------------------------------- the formulas
//
// A row operation names its operands, in the order of its gufunc's signature, and computes one row (Along) or one group
// of rows (Across). `r` hands out the operands' data.

struct RowFormula {
  // Vectors of classes up to which contiguous rows go side by side: as long as what is done once in a row costs more than
  // bringing the rows into that order.
  static constexpr size_t kNarrow = 10;
  // Those up to which rows go together in place: longer ones do so no faster, out of cache.
  static constexpr size_t kTogether = 0;
};

struct Softmax : RowFormula {
  static constexpr size_t kNarrow = 7;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kRowOut);
  template <class D>
  static hn::Vec<D> OfMasked(D d) {
    return hn::Zero(d);
  }
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    const auto d = p.d;
    auto* out = r.template Row<1>();
    const auto exponentials = ExponentialsOf<!P::kShort>(p, r.template Row<0>(), p.Keep(out, r.buffer));
    exponentials.Transform(out, Entry<decltype(d), P::kShort>(d, exponentials.sum));
  }

  // Of an exponential.
  template <class D, bool kShort>
  struct Entry {
    using V = hn::Vec<D>;
    V high, low;
    template <class Sum>
    HWY_INLINE Entry(D d, const Sum& sum) {
      const Two<V> inverse = TwoReciprocal(d, sum.total);
      high = IfFiniteElseNaN(d, sum.max, kShort ? Round(inverse) : inverse.hi);
      low = inverse.lo;
    }
    HWY_INLINE V operator()(size_t, V e) const {
      if constexpr (kShort) return hn::Mul(e, high);
      return hn::MulAdd(e, high, hn::Mul(e, low));
    }
  };
  static constexpr bool kOfExponentials = true;
  static constexpr size_t kTogether = 20;
};

struct LogSoftmax : RowFormula {
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kRowOut);
  template <class D>
  static hn::Vec<D> OfMasked(D d) {
    return hn::Neg(hn::Inf(d));
  }
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    const auto* x = r.template Row<0>();
    const auto sum = SumRow(p, x);
    TransformRow(p, x, r.template Row<1>(), Entry<typename P::D, false>(p.d, sum));
  }

  // Of an entry of x.
  template <class D, bool>
  struct Entry {
    using V = hn::Vec<D>;
    V high, low;
    template <class Sum>
    HWY_INLINE Entry(D d, const Sum& sum) {
      const Two<V> lse = Logsumexp(sum);
      high = IfFiniteElseNaN(d, sum.max, lse.hi);
      low = lse.lo;
    }
    HWY_INLINE V operator()(size_t, V v) const { return hn::Sub(hn::Sub(v, high), low); }
  };
  static constexpr bool kOfExponentials = false;
  static constexpr size_t kTogether = 32;
};

struct LogSumExp : RowFormula {
  static constexpr size_t kNarrow = 16;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kScalarOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    const auto sum = SumRow(p, r.template Row<0>());
    p.StoreScalar(Round(Logsumexp(sum)), r.template Row<1>());
  }
};

// A row's maximum m and sum of e^(x - m), for rows in pieces. An infinite maximum has the sum 0 or 1.
struct LogSumExpPartial : RowFormula {
  static constexpr size_t kNarrow = 16;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kScalarOut, Operand::kScalarOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const V zero = hn::Zero(d), one = hn::Set(d, 1);
    const auto sum = SumRow(p, r.template Row<0>());
    const V nothing = hn::Mul(sum.rest.hi, zero);  // or NaN
    const V infinite = hn::Add(nothing, hn::IfThenElseZero(hn::Gt(sum.max, zero), one));
    p.StoreScalar(hn::Add(sum.max, nothing), r.template Row<1>());
    p.StoreScalar(hn::IfThenElse(hn::IsFinite(sum.max), hn::Add(one, sum.rest.hi), infinite), r.template Row<2>());
  }
};

struct LogSumExpMerge : RowFormula {
  static constexpr OperandList kOperands = Operands(Operand::kScalarIn, Operand::kScalarIn, Operand::kScalarIn,
                                                    Operand::kScalarIn, Operand::kScalarOut, Operand::kScalarOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const V m1 = p.LoadScalar(r.template Row<0>()), s1 = p.LoadScalar(r.template Row<1>());
    const V m2 = p.LoadScalar(r.template Row<2>()), s2 = p.LoadScalar(r.template Row<3>());
    const V larger = hn::IfThenElse(hn::Ge(m1, m2), m1, hn::IfThenElse(hn::Gt(m2, m1), m2, hn::NaN(d)));
    const V m = hn::Add(larger, hn::Zero(d));  // 0.0 of 0.0 and -0.0
    const V s = hn::Add(Rescaled(d, m1, s1, m), Rescaled(d, m2, s2, m));
    p.StoreScalar(m, r.template Row<4>());
    p.StoreScalar(hn::IfThenElse(hn::Eq(m, hn::Inf(d)), hn::Set(d, 1), s), r.template Row<5>());
  }

 private:
  template <class D, class V>
  static V Rescaled(D d, V from, V sum, V to) {
    const Two<V> difference = TwoSum(from, hn::Neg(to));
    const Two<V> exponent{difference.hi, hn::IfThenElseZero(hn::IsFinite(difference.hi), difference.lo)};
    return hn::IfThenElse(hn::Eq(from, to), sum, ExpTimes(d, exponent, Two<V>{sum, hn::Zero(d)}));
  }
};

struct LogSumExpFinish : RowFormula {
  static constexpr OperandList kOperands = Operands(Operand::kScalarIn, Operand::kScalarIn, Operand::kScalarOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    const auto m = p.LoadScalar(r.template Row<0>()), s = p.LoadScalar(r.template Row<1>());
    const auto log = Log(p.d, s);
    const auto sum = TwoSum(m, log.hi);
    const auto low = hn::Add(sum.lo, log.lo);
    p.StoreScalar(hn::Add(sum.hi, hn::IfThenElseZero(hn::IsFinite(low), low)), r.template Row<2>());
  }
};

struct SoftmaxBackward : RowFormula {
  static constexpr size_t kNarrow = 3;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kRowIn, Operand::kRowOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto* grad = r.template Row<0>();
    const auto* y = r.template Row<1>();
    const V dot = SumOf(p, grad, [=](size_t i, V g) HWY_ATTR { return hn::Mul(g, p.LoadRow(y, i)); });
    TransformRow(p, grad, r.template Row<2>(),
                 [=](size_t i, V g) HWY_ATTR { return hn::Mul(p.LoadRow(y, i), hn::Sub(g, dot)); });
  }
};

struct LogSoftmaxBackward : RowFormula {
  static constexpr size_t kNarrow = 3;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kRowIn, Operand::kRowOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const auto* grad = r.template Row<0>();
    const auto* y = r.template Row<1>();
    const V zero = hn::Zero(d), one = hn::Set(d, 1);
    const V total = SumOf(p, grad, [](size_t, V g) HWY_ATTR { return g; });
    TransformRow(p, grad, r.template Row<2>(), [=](size_t i, V g) HWY_ATTR {
      return hn::NegMulAdd(ExpTimes(d, Two<V>{p.LoadRow(y, i), zero}, Two<V>{one, zero}), total, g);
    });
  }
};

struct LogSumExpBackward : RowFormula {
  static constexpr size_t kNarrow = 7;
  static constexpr OperandList kOperands = Operands(Operand::kScalarIn, Operand::kRowIn, Operand::kRowOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    auto* out = r.template Row<2>();
    const auto exponentials = ExponentialsOf<!P::kShort>(p, r.template Row<1>(), p.Keep(out, r.buffer));
    const ScaledSoftmax gradient(p.d, exponentials.sum, p.LoadScalar(r.template Row<0>()));
    exponentials.Transform(out, [=](size_t, V e) HWY_ATTR { return gradient(e); });
  }
};

// `where=`: a masked entry counts as -inf, and its result is what a probability of 0 gives.
template <class Operation>
struct Masked : RowFormula {
  static constexpr bool kRowResult = Operation::kOperands.kinds[1] == Operand::kRowOut;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kMaskIn, Operation::kOperands.kinds[1]);
  template <class R>
  struct WithoutMask {
    const R& r;
    decltype(R::buffer) buffer = r.buffer;
    template <size_t k>
    auto* Row() const {
      return r.template Row<k == 0 ? 0 : 2>();
    }
  };
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const V zero = hn::Zero(d), lowest = hn::Neg(hn::Inf(d));
    auto* x = r.template Row<0>();  // a packed copy
    const auto* mask = r.template Row<1>();
    TransformRow(p, x, x,
                 [=](size_t i, V v) HWY_ATTR { return hn::IfThenElse(hn::Eq(p.LoadRow(mask, i), zero), lowest, v); });
    Operation::Run(p, WithoutMask<R>{r});
    if constexpr (kRowResult) {
      auto* out = r.template Row<2>();
      const V masked = Operation::OfMasked(d);
      TransformRow(p, out, out,
                   [=](size_t i, V v) HWY_ATTR { return hn::IfThenElse(hn::Eq(p.LoadRow(mask, i), zero), masked, v); });
    }
  }
};

// ---------------------------------------------------------------- rows of a few vectors
//
// They stay in place, without a transposition; what is done once in a row is done for as many rows as there are lanes.

#if HWY_HAVE_SCALABLE || HWY_TARGET == HWY_SCALAR
constexpr bool kCanReduceLanes = false;
template <class Operation, class S, class... Args>
void RunTogether(Args...) {}
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
struct ExactSum {  // with the plain one, log_softmax came to 5.4 ULP
  static constexpr bool kHasLow = true;
  template <class V>
  HWY_INLINE V operator()(V a, V b, V& low) const {
    const Two<V> sum = TwoSum(a, b);
    low = hn::Add(low, sum.lo);
    return sum.hi;
  }
};

// f over the lanes of each of as many vectors in memory as there are lanes: one result in a lane. Overwrites them.
template <class D, class F>
HWY_INLINE Two<hn::Vec<D>> OverLanes(D d, hn::TFromD<D>* vectors, F f) {
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
  const auto blocks_of = [=](const T* from, size_t i) HWY_ATTR {
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

// Lane i of every vector of a struct of them, in all lanes.
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

// Up to as many rows as there are lanes, from the row `first` on. `buffer` holds their exponentials in whole vectors, then
// what goes past the caches.
template <class Operation, class S, class P>
HWY_INLINE void RunTogether(const P& p, const RowOperand& in, const RowOperand& out, size_t first, size_t count, bool stream,
                            typename P::T* buffer) {
  using D = typename P::D;
  using T = typename P::T;
  using V = hn::Vec<D>;
  using Scale = ScaleOf<P>;
  const D d = p.d;
  const size_t lanes = hn::Lanes(d), steps = p.Steps();
  const V zero = hn::Zero(d), lowest = hn::Neg(hn::Inf(d));
  constexpr size_t kMaxLanes = hn::MaxLanes(D());
  HWY_ALIGN T maxima[kMaxLanes * kMaxLanes], others[kMaxLanes * kMaxLanes], counts[kMaxLanes * kMaxLanes];
  const auto row_of = [&](const RowOperand& o, size_t i) HWY_ATTR {
    const ptrdiff_t row = static_cast<ptrdiff_t>(first + i);
    return reinterpret_cast<S*>(o.data + row * o.row);
  };

  for (size_t i = 0; i < lanes; ++i) {
    V max = lowest;
    if (i < count) {
      ForEach(p, row_of(in, i), 0, steps, hn::GetLane(lowest), [&](size_t, V v, auto) HWY_ATTR { max = hn::Max(v, max); });
    }
    hn::Store(max, d, maxima + i * lanes);
  }
  const V max = OverLanes(d, maxima, LargerOf()).hi;
  struct Top {
    Scale scale;
    V max;
  };
  const Top tops{Scale(d, max), max};

  const ptrdiff_t ahead = static_cast<ptrdiff_t>(count) * in.row;
  for (size_t i = 0; i < lanes; ++i) {
    RowTotals<Scale> totals{{zero, zero}, zero};
    if (i < count) {
      const Top top = OfLane(d, tops, i);
      T* const kept = buffer + i * steps * lanes;
      totals.template Add<true, true>(p, row_of(in, i), 0, steps, top.scale, top.max, ahead, [=](size_t j, V e) HWY_ATTR {
        if constexpr (Operation::kOfExponentials) hn::Store(e, d, kept + j * lanes);
      });
    }
    hn::Store(hn::Add(totals.others.hi, totals.others.lo), d, others + i * lanes);
    hn::Store(totals.count, d, counts + i * lanes);
  }
  const RowTotals<Scale> totals{OverLanes(d, others, ExactSum()), OverLanes(d, counts, PlainSum()).hi};
  const typename Operation::template Entry<D, P::kShort> entries(d, totals.Finish(Across<T>{d, p.classes}, tops.scale, max));

  stream &= out.row == static_cast<ptrdiff_t>(p.classes * sizeof(S));
  S* const stage = reinterpret_cast<S*>(buffer);  // written behind what is read
  for (size_t i = 0; i < count; ++i) {
    const auto entry = OfLane(d, entries, i);
    const T* const kept = buffer + i * steps * lanes;
    const S* const row = row_of(in, i);
    FillSteps(p, stream ? stage + i * p.classes : row_of(out, i), 0, steps, [=](size_t j) HWY_ATTR {
      if constexpr (Operation::kOfExponentials) return entry(j, hn::Load(d, kept + j * lanes));
      return entry(j, p.LoadRow(row, j));
    });
  }
  if (stream) CopyAligned(stage, row_of(out, 0), count * p.classes, true);
}
#endif

// ---------------------------------------------------------------- the loops over rows

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

  static void Run(const RowOperand* operands, size_t classes, size_t begin, size_t end, void* scratch, bool stream) {
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
  using Brain = RowLoops<Operation, BFloat16, std::conditional_t<kFloatScalars, float, BFloat16>>;
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
