// The exponentials of a row and their sums, without overflow. What softmax, logsumexp and the losses make of them is in
// softmax-inl.h and losses-inl.h.

#if defined(NONLIN_SIMD_EXPONENTIALS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_EXPONENTIALS_INL_H_
#undef NONLIN_SIMD_EXPONENTIALS_INL_H_
#else
#define NONLIN_SIMD_EXPONENTIALS_INL_H_
#endif

#include "simd/layouts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// The scale of a row's exponentials: e^x is computed as 2^offset e^(x - reference), near 1 at the row's maximum. Subtracting
// the maximum itself would lose up to half an ULP of the difference, some ULPs of the result. Here the difference is exact
// wherever the result matters: rows of small numbers have reference 0 and are scaled by a power of two, and around a large
// maximum floating-point subtraction is exact.
template <class DT, bool kShortExponentials>
struct RowScale {
  using D = DT;
  using V = hn::Vec<D>;
  using VI = hn::Vec<hn::RebindToSigned<D>>;
  static constexpr bool kShort = kShortExponentials;
  V reference, floor;  // of x - reference: below it, e^x has no effect
  VI exponent;         // biased exponent of the power of two for k = 0
  V round;             // adding it rounds to an integer plus `exponent`, without the bias in the short form

  RowScale(D d, V max) {
    using C = ConstantsOf<D>;
    const hn::RebindToSigned<D> di;
    const V zero = hn::Zero(d), bound = hn::Set(d, C::kExactReduction);
    const V none = hn::Neg(hn::Inf(d));  // the maximum of a row of only -inf or NaN
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
  HWY_INLINE V Exp(D d, V x) const { return ExpOf(d, AtLeast(hn::Sub(x, reference), floor)); }
  // The same for a difference above the floor.
  HWY_INLINE V ExpOf(D d, V a) const {
    if constexpr (kShort) {
      return ShortExp(d, a);
    } else {
      return FullExp(d, a);
    }
  }

  // Within 2^-21, for 16-bit results. NaN stays NaN, as the low bits of a 16-bit NaN are 0.
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
    // The low bits of `shifted` are the power's exponent; the shift drops the bits of kRound above them.
    const V power = hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::BitCast(di, shifted)));
    return hn::MulAdd(power, fraction, power);
  }

  // The same for the maximum, far within an ULP; 2^kScaleExponent if the maximum is infinite.
  HWY_INLINE Two<V> ExpOfMax(D d, V max) const {
    using C = ConstantsOf<D>;
    const auto e = SplitExp(d, hn::IfThenElseZero(hn::IsFinite(max), hn::Sub(max, reference)));
    return TimesPower(d, e, hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::Add(e.k, exponent))));
  }
};

// A row's maximum, and the sums of its exponentials. `rest` leaves out one maximum and is relative to its exponential: 1 +
// rest is softmax's denominator over the maximum's numerator, and max + log1p(rest) is logsumexp. Keeping the 1 apart keeps
// the digits of a rest below the type's epsilon.
template <class Scale>
struct RowSum {
  using V = typename Scale::V;
  Scale scale;
  V max;
  Two<V> rest, total;  // total: all scaled exponentials
};
template <class P>
using ScaleOf = RowScale<typename P::D, P::kShort>;

// The maximum of `start` and the steps [begin, end). Takes four at a time, as a single maximum would wait for the step
// before. If v is NaN, Max(v, m) is m or NaN; the sum of exponentials becomes NaN either way.
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
  ForEach(p, row, i, end, filler, [&](size_t, V v, auto) NONLIN_LOOP { m0 = hn::Max(v, m0); });
  return p.Max(hn::Max(hn::Max(m0, m1), hn::Max(m2, m3)));
}

// A row's sums from the number of its maxima and the sum of its other scaled exponentials. The maximum's exponential is
// computed twice: once as for the entries, so that they add up to 1, and once exactly, for sums relative to it. With the
// former alone, errors of gradients came to 4.6 ULP. Without kRest, `others` is the sum of all.
template <bool kRest, class Scale, class D, class V>
HWY_INLINE RowSum<Scale> RowSumOf(D d, const Scale& scale, V max, V maxima, Two<V> others) {
  const Two<V> sum = FastTwoSum(others.hi, others.lo);
  if constexpr (!kRest) return {scale, max, sum, sum};
  const Two<V> quotient = TwoQuotient(d, sum, scale.ExpOfMax(d, max));
  const Two<V> rest = TwoSum(hn::Sub(maxima, hn::Set(d, 1)), quotient.hi);
  const V top = hn::IfThenElse(hn::IsFinite(max), scale.Exp(d, max), hn::Set(d, ConstantsOf<D>::kScale));
  const Two<V> at_max = TwoProduct(d, maxima, top), total = TwoSum(at_max.hi, sum.hi);
  const V total_low = hn::Add(total.lo, hn::Add(at_max.lo, sum.lo));
  return {scale, max, FastTwoSum(rest.hi, hn::Add(rest.lo, quotient.lo)), {total.hi, total_low}};
}

// Up to how many classes fours of lanes are added up plainly. With the maxima among the others, softmax of 32 doubles came
// to 4.4 ULP.
template <bool kRest, class T>
constexpr size_t kPlainFours = kRest ? kFewClasses<T> : kSumLanes<T>;

// Sums of a row's scaled exponentials in its lanes: entries that equal the maximum are counted, the others added up.
template <class P>
struct RowTotals {
  using D = typename P::D;
  using V = typename P::V;
  LaneSums<P> others;
  V count;

  HWY_INLINE explicit RowTotals(const P& p) : count(hn::Zero(p.d)) { others.Clear(p); }

  // Adds the steps [begin, end), and calls `keep(i, e)` with every exponential. Prefetches memory `ahead` bytes away.
  template <bool kCount, class S, class F>
  HWY_INLINE void Add(const P& p, const S* row, size_t begin, size_t end, const ScaleOf<P>& scale, V max, ptrdiff_t ahead,
                      F keep) {
    const D d = p.d;
    const V one = hn::Set(d, 1);
    const auto filler = hn::GetLane(hn::Neg(hn::Inf(d)));
    AddUp<1>(p, row, begin, end, filler, &others, [&](size_t i, V v, V* term, auto step) NONLIN_LOOP {
      if constexpr (P::kInMemory) hwy::Prefetch(reinterpret_cast<const char*>(row + p.Offset(i)) + ahead);
      const V e = scale.Exp(d, v);
      keep(i, e);
      *term = e;
      if constexpr (kCount) {
        auto is_max = hn::Eq(v, max);
        if constexpr (step.kTail) is_max = hn::And(is_max, hn::FirstN(d, p.TailLanes()));
        *term = hn::IfThenZeroElse(is_max, e);
        count = hn::Add(count, hn::IfThenElseZero(is_max, one));
      }
    });
  }

  template <bool kRest>
  HWY_INLINE RowSum<ScaleOf<P>> Finish(const P& p, const ScaleOf<P>& scale, V max) {
    const Two<V> sum = others.template Fold<true>(p, kPlainFours<kRest, typename P::T>);
    return RowSumOf<kRest>(p.d, scale, max, p.Count(count), sum);
  }
};

// A row's maximum and totals in its scale.
template <class P>
struct RowState {
  using V = typename P::V;
  V max;
  RowTotals<P> totals;

  // Scales the totals down to the scale of a larger maximum. What equalled the smaller one goes to the first lane.
  HWY_INLINE void Raise(const P& p, const ScaleOf<P>& scale, V new_max, const ScaleOf<P>& new_scale) {
    const auto d = p.d;
    // Divides first: the factor between the scales may be sub-normal, but not its product with the scaling of the new one.
    const V old_top = scale.Exp(d, max);
    const V carried = hn::IfThenZeroElse(hn::Eq(max, hn::Neg(hn::Inf(d))), new_scale.Exp(d, max));
    const auto grown = hn::Ne(max, new_max);
    V at_max = p.InFirstLane(hn::Mul(p.Count(totals.count), old_top));
    for (size_t i = 0; i < p.Parts(); ++i) {
      const V sum = hn::Add(at_max, totals.others.Of(i));
      totals.others.high[i] = hn::IfThenElse(grown, hn::Mul(hn::Div(sum, old_top), carried), totals.others.high[i]);
      totals.others.low[i] = hn::IfThenZeroElse(grown, totals.others.low[i]);
      at_max = hn::Zero(d);
    }
    totals.count = hn::IfThenZeroElse(grown, totals.count);
    max = new_max;
  }
};

// Reads memory once, block by block. If a block raises the maximum, the totals so far are scaled down.
template <class P, class S>
HWY_NOINLINE RowSum<ScaleOf<P>> SumRow(const P& p, const S* row) {
  using V = hn::Vec<typename P::D>;
  using Scale = ScaleOf<P>;
  using State = RowState<P>;
  const auto d = p.d;
  constexpr size_t kSteps = kBlockSteps * P::kParts;
  const auto of_steps = [=](size_t first, size_t last) NONLIN_LOOP {
    State state{hn::Neg(hn::Inf(d)), RowTotals<P>(p)};
    Scale scale(d, state.max);
    for (size_t begin = first; begin < last; begin += kSteps) {
      const size_t end = HWY_MIN(begin + kSteps, last);
      const V max = MaxOf(p, row, begin, end, state.max);
      const Scale new_scale(d, max);
      if (begin > first) state.Raise(p, scale, max, new_scale);
      state.max = max;
      scale = new_scale;
      state.totals.template Add<true>(p, row, begin, end, scale, max, p.Ahead(end - begin), [](size_t, V) NONLIN_LOOP {});
    }
    return state;
  };
  State state = InChunks<State>(p, of_steps, [&](State a, State b) HWY_ATTR {
    const V max = hn::Max(b.max, a.max);
    const Scale scale(d, max);
    a.Raise(p, Scale(d, a.max), max, scale);
    b.Raise(p, Scale(d, b.max), max, scale);
    for (size_t i = 0; i < p.Parts(); ++i) {
      a.totals.others.Add(i, b.totals.others.high[i]);
      a.totals.others.low[i] = hn::Add(a.totals.others.low[i], b.totals.others.low[i]);
    }
    a.totals.count = hn::Add(a.totals.count, b.totals.count);
    return a;
  });
  return state.totals.template Finish<true>(p, Scale(d, state.max), state.max);
}

// The same for a row whose exponentials are kept, and then make the result, whose lines are fetched meanwhile. Both are
// compiled once per layout: inline in every operation, rows of up to 20 classes are 1.04 times as fast, others as fast, and
// the module half as large again.
template <bool kRest, class P, class S>
HWY_NOINLINE RowSum<ScaleOf<P>> KeepAndSum(const P& p, const S* row, typename P::T* kept, const void* result) {
  const auto d = p.d;
  const auto max = MaxOf(p, row, 0, p.Steps(), hn::Neg(hn::Inf(d)));
  const ScaleOf<P> scale(d, max);
  RowTotals<P> totals(p);
  const P policy = p;
  const char* const written = static_cast<const char*>(result == nullptr || !p.FetchesResult() ? kept : result);
  totals.template Add<kRest>(policy, row, 0, p.Steps(), scale, max, p.Ahead(p.Steps()),
                             [=](size_t i, hn::Vec<typename P::D> e) NONLIN_LOOP {
                               if constexpr (P::kInMemory) FetchToWrite(written + policy.Offset(i) * sizeof(S));
                               policy.StoreRow(e, kept, i);
                             });
  return totals.template Finish<kRest>(p, scale, max);
}

// A row's exponentials, kept in a buffer, which may be the row; if there are too many, they are computed again when needed.
// Keeping the maxima apart costs a tenth: without kRest they are not, `sum.rest` loses digits, and the error of `sum.total`
// comes to 6.7 ULP.
template <bool kRest, class P, class S>
struct RowExponentials {
  using D = typename P::D;
  using V = hn::Vec<D>;
  using T = typename P::T;
  using Scale = ScaleOf<P>;
  static constexpr bool kMayBeHuge = P::kInMemory || kIsRare;  // which may have no other layout than side by side
  const P& p;
  const S* row;
  T* kept;
  RowSum<Scale> sum;

  HWY_INLINE RowExponentials(const P& policy, const S* x, T* buffer, const void* result)
      : p(policy),
        row(x),
        kept(!kMayBeHuge || policy.classes <= kMaxKept ? buffer : nullptr),
        sum(kept ? KeepAndSum<kRest>(p, row, kept, result) : SumRow(p, row)) {}

  // out = f(step, exponential)
  template <class To, class F>
  HWY_INLINE void Transform(To* out, F f) const {
    const P policy = p;
    if (!kMayBeHuge || kept != nullptr) {
      const T* const from = kept;
      FillSteps(policy, out, 0, policy.Steps(), [=](size_t i) NONLIN_LOOP { return f(i, policy.LoadRow(from, i)); });
    } else if constexpr (kMayBeHuge) {
      const S* const from = row;
      const auto scale = sum.scale;
      const auto again = [=](size_t i) NONLIN_LOOP { return f(i, scale.Exp(policy.d, policy.LoadRow(from, i))); };
      if constexpr (P::kInMemory) {
        FillHugeRow(policy, out, again);
      } else {
        FillSteps(policy, out, 0, policy.Steps(), again);
      }
    }
  }
};

template <bool kRest, class P, class S>
HWY_INLINE RowExponentials<kRest, P, S> ExponentialsOf(const P& p, const S* row, typename P::T* buffer,
                                                       const void* result = nullptr) {
  return {p, row, buffer, result};
}

// Whether ScaledSoftmax has normal low parts in the scale of small numbers, see dense_rows-inl.h.
template <class D, class V>
HWY_INLINE bool IsPlainUpstream(D d, V upstream) {
  const V size = hn::Abs(upstream);
  const V most = hn::Set(d, ConstantsOf<D>::kPlainFactor), least = hn::Set(d, 1 / ConstantsOf<D>::kPlainFactor);
  const auto ordinary = hn::And(hn::Ge(size, least), hn::Le(size, most));
  return hn::AllTrue(d, hn::Or(ordinary, hn::Eq(upstream, hn::Zero(d))));
}

// NaN where the maximum is infinite: softmax has no value there.
template <class D, class V>
HWY_INLINE V IfFiniteElseNaN(D d, V max, V value) {
  return hn::IfThenElse(hn::IsFinite(max), value, QuietNaN(d));
}

// upstream * softmax(x) from a row's exponentials. A large upstream factor takes the scaling. Without its low part, errors
// of gradients came to 4.4 ULP.
template <class D>
struct ScaledSoftmax {
  using V = hn::Vec<D>;
  V factor, low, after;

  template <class Sum, class U>
  ScaledSoftmax(D d, const Sum& sum, U upstream) {  // of type V or Two<V>
    const V one = hn::Set(d, 1), unscale = hn::Set(d, ConstantsOf<D>::kUnscale);
    const auto large = hn::Ge(hn::Abs(HighOf(upstream)), one);  // whatever the scale of the sums
    const Two<V> total{hn::Mul(sum.total.hi, unscale), hn::Mul(sum.total.lo, unscale)};
    const Two<V> f = TwoProduct(d, upstream, TwoReciprocal(d, total));
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

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_EXPONENTIALS_INL_H_
