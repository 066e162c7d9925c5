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
  HWY_INLINE V Exp(D d, V x) const {
    const V a = AtLeast(hn::Sub(x, reference), floor);
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

// Sums of a row's scaled exponentials: entries that equal the maximum are counted; the others are added in runs, whose sums
// are added exactly.
template <class Scale>
struct RowTotals {
  using D = typename Scale::D;
  using V = typename Scale::V;
  Two<V> others;
  V count;

  // Adds the steps [begin, end), and calls `keep(i, e)` with every exponential. Prefetches memory `ahead` bytes away.
  template <bool kCount, bool kFewSteps = false, class P, class S, class F>
  HWY_INLINE void Add(const P& p, const S* row, size_t begin, size_t end, const Scale& scale, V max, ptrdiff_t ahead,
                      F keep) {
    const D d = p.d;
    const V zero = hn::Zero(d), one = hn::Set(d, 1);
    const auto filler = hn::GetLane(hn::Neg(hn::Inf(d)));
    constexpr size_t kRunSteps = Scale::kShort ? 64 : P::kRunSteps;  // with 64, 16 bits are 5 % faster
    for (size_t run = begin; run < end; run += kRunSteps) {
      V sum = zero, other = zero;  // taking turns halves the chain of roundings
      ForEach(p, row, run, HWY_MIN(run + kRunSteps, end), filler, [&](size_t i, V v, auto step) NONLIN_LOOP {
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
      if (kFewSteps && end <= kRunSteps) {  // this is the whole row
        others.hi = hn::Add(sum, other);
        return;
      }
      const Two<V> total = TwoSum(others.hi, hn::Add(sum, other));
      others = {total.hi, hn::Add(others.lo, total.lo)};
    }
  }

  // The maximum's exponential is computed twice: once as for the entries, so that they add up to 1, and once exactly, for
  // sums relative to it. With the former alone, errors of gradients came to 4.6 ULP.
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

  // Scales the totals down to the scale of a larger maximum.
  HWY_INLINE void Raise(D d, const Scale& scale, V new_max, const Scale& new_scale) {
    // Divides first: the factor between the scales may be sub-normal, but not its product with the scaling of the new one.
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

template <class P>
using ScaleOf = RowScale<typename P::D, P::kShort>;

// Reads memory once, block by block. If a block raises the maximum, the totals so far are scaled down.
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
      state.totals.template Add<true>(p, row, begin, end, scale, max, p.Ahead(end - begin), [](size_t, V) NONLIN_LOOP {});
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

  HWY_INLINE RowExponentials(const P& policy, const S* x, T* buffer)
      : p(policy),
        row(x),
        kept(!kMayBeHuge || policy.classes <= kMaxKept ? buffer : nullptr),
        sum(kept ? KeepAndSum() : SumRow(p, row)) {}

  HWY_INLINE RowSum<Scale> KeepAndSum() const {
    const D d = p.d;
    const V max = MaxOf(p, row, 0, p.Steps(), hn::Neg(hn::Inf(d)));
    const Scale scale(d, max);
    RowTotals<Scale> totals{{hn::Zero(d), hn::Zero(d)}, hn::Zero(d)};
    const P policy = p;
    T* const to = kept;
    totals.template Add<kRest>(policy, row, 0, p.Steps(), scale, max, p.Ahead(p.Steps()),
                               [=](size_t i, V e) NONLIN_LOOP { policy.StoreRow(e, to, i); });
    return totals.Finish(p, scale, max);
  }

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
HWY_INLINE RowExponentials<kRest, P, S> ExponentialsOf(const P& p, const S* row, typename P::T* buffer) {
  return {p, row, buffer};
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

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_EXPONENTIALS_INL_H_
