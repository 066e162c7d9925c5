// The activations: one struct each, with `Forward` and `Backward` on vectors. A struct knows its formula and nothing of
// loops or memory; its row in activations.def makes it a function. The mathematics is in docs/functions.toml.
//
// A function with parameters may have three forms: without them, with the results that it has for their defaults; for
// parameters for which `IsUsual`; and `AnyForward` and `AnyBackward` for all others: zero, infinite, or near the ends of the
// type. The loops choose.

#if defined(NONLIN_SIMD_ACTIVATIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_ACTIVATIONS_INL_H_
#undef NONLIN_SIMD_ACTIVATIONS_INL_H_
#else
#define NONLIN_SIMD_ACTIVATIONS_INL_H_
#endif

#include "simd/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// ---------------------------------------------------------------- piecewise linear

struct Relu {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    const V zero = hn::Zero(d);
    return hn::IfThenElse(hn::Le(x, zero), zero, x);  // so that -0.0 gives 0.0 and NaN stays
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    return hn::IfThenElseZero(hn::Gt(x, hn::Zero(d)), grad);
  }
};

struct Relu6 {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    const V six = hn::Set(d, 6);
    return Relu::Forward(d, hn::IfThenElse(hn::Gt(x, six), six, x));
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    return hn::IfThenElseZero(hn::And(hn::Gt(x, hn::Zero(d)), hn::Lt(x, hn::Set(d, 6))), grad);
  }
};

struct LeakyRelu {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x, V negative_slope) {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Mul(negative_slope, x));
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x, V negative_slope) {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), grad, hn::Mul(negative_slope, grad));
  }
};

struct HardTanh {
  template <class D, class V>
  HWY_INLINE static V Forward(D, V x, V min_val, V max_val) {
    const V raised = hn::IfThenElse(hn::Lt(x, min_val), min_val, x);
    return hn::IfThenElse(hn::Gt(raised, max_val), max_val, raised);
  }
  template <class D, class V>
  HWY_INLINE static auto IsUsual(D, V min_val, V max_val) {
    return hn::And(hn::Eq(min_val, min_val), hn::Eq(max_val, max_val));
  }
  template <class D, class V>
  HWY_INLINE static V AnyForward(D d, V, V, V) {  // beside a bound that is NaN
    return QuietNaN(d);
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D, V grad, V x, V min_val, V max_val) {
    return hn::IfThenElseZero(hn::And(hn::Gt(x, min_val), hn::Lt(x, max_val)), grad);
  }
};

struct HardSigmoid {
  // (x + 3) / 6 before rounding, for x in [-3, 3]
  template <class D, class V>
  HWY_INLINE static Two<V> Inside(D d, V x) {
    using C = ConstantsOf<D>;
    const Two<V> sixth{hn::Set(d, C::kSixth), hn::Set(d, C::kSixthRest)};
    return TwoProduct(d, FastTwoSum(hn::Set(d, 3), x), sixth);
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    const V three = hn::Set(d, 3);
    const V y = hn::IfThenElse(hn::Ge(x, three), hn::Set(d, 1), Round(Inside(d, x)));
    return hn::IfThenElse(hn::Le(x, hn::Neg(three)), hn::Zero(d), y);
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    const V sixth = hn::Set(d, ConstantsOf<D>::kSixth);
    return hn::IfThenElseZero(hn::Lt(hn::Abs(x), hn::Set(d, 3)), hn::Mul(grad, sixth));
  }
  // The same for the default parameters in arrays.
  template <class D, class V>
  HWY_INLINE static auto IsUsual(D d, V slope, V offset) {
    return hn::And(hn::Eq(slope, hn::Set(d, ConstantsOf<D>::kSixth)), hn::Eq(offset, hn::Set(d, 0.5)));
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x, V, V) {
    return Forward(d, x);
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x, V, V) {
    return Backward(d, grad, x);
  }
  template <class D, class V>
  HWY_INLINE static V AnyLine(D d, V x, V slope, V offset) {
    const V y = Fma(d, slope, x, offset);
#if HWY_NATIVE_FMA
    return y;
#else
    const auto finite = hn::And(hn::IsFinite(x), hn::IsFinite(slope));  // as is their product, which may overflow here
    return hn::IfThenElse(hn::And(finite, hn::IsInf(offset)), offset, y);
#endif
  }
  template <class D, class V>
  HWY_INLINE static V AnyForward(D d, V x, V slope, V offset) {
    return Clamp(d, AnyLine(d, x, slope, offset), 0, 1);
  }
  template <class D, class V>
  HWY_INLINE static V AnyBackward(D d, V grad, V x, V slope, V offset) {
    const V y = AnyLine(d, x, slope, offset);
    const auto inside = hn::And(hn::Gt(y, hn::Zero(d)), hn::Lt(y, hn::Set(d, 1)));
    return hn::IfThenElseZero(inside, hn::Mul(grad, slope));
  }
};

struct HardSwish {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    const V three = hn::Set(d, 3);
    const Two<V> h = HardSigmoid::Inside(d, x);
    const V y = hn::IfThenElse(hn::Ge(x, three), x, Fma(d, x, h.hi, hn::Mul(x, h.lo)));
    return hn::IfThenElse(hn::Le(x, hn::Neg(three)), hn::Zero(d), y);
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    const V three = hn::Set(d, 3);
    const V slope = hn::Mul(Fma(d, x, hn::Set(d, 2), three), hn::Set(d, ConstantsOf<D>::kSixth));
    const V inside = hn::IfThenElse(hn::Ge(x, three), grad, hn::Mul(grad, slope));
    return hn::IfThenElse(hn::Le(x, hn::Neg(three)), hn::Zero(d), inside);
  }
};

struct Softsign {
  // 1 + |x|; beyond the limit x / (1 + |x|) rounds to 1
  template <class D, class V>
  HWY_INLINE static Two<V> Denominator(D d, V magnitude) {
    return TwoSum(hn::Set(d, 1), magnitude);
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    const V magnitude = AtMost(hn::Abs(x), hn::Set(d, ConstantsOf<D>::kSoftsignSaturated));
    const Two<V> y = TwoQuotient(d, Two<V>{magnitude, hn::Zero(d)}, Denominator(d, magnitude));
    return hn::CopySign(Round(y), x);
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    const V magnitude = AtMost(hn::Abs(x), hn::Set(d, ConstantsOf<D>::kMax));
    const Two<V> r = TwoReciprocal(d, Denominator(d, magnitude));
    const V square = hn::Mul(r.hi, r.hi);
    return hn::Mul(grad, hn::MulAdd(hn::Add(hn::Add(r.hi, r.hi), r.lo), r.lo, square));
  }
};

// ---------------------------------------------------------------- exponential linear

// Whether a parameter is so far from the ends of the type that intermediate results are, too.
template <class D, class V>
HWY_INLINE auto IsUsualNumber(D d, V parameter) {
  return hn::And(hn::Ge(parameter, hn::Set(d, 1.0 / 256)), hn::Le(parameter, hn::Set(d, 65536)));
}

// a 2^k, or some number beyond kFar if it is. Infinite numbers have no low part.
template <class D, class V, class VI>
HWY_INLINE Two<V> ScaledBy(D d, Two<V> a, VI k) {
  constexpr int kEnough = 14;
  const V power = Pow2<0>(d, hn::Min(k, hn::Set(hn::RebindToSigned<D>(), kEnough)));
  return {hn::Mul(a.hi, power), hn::IfThenElseZero(hn::IsFinite(a.lo), hn::Mul(a.lo, power))};
}

// Below, expm1(x) is x, and so is alpha expm1(x / alpha) for a usual alpha.
template <class D>
HWY_INLINE hn::Vec<D> LeastLinear(D d) {
  return hn::Set(d, -ConstantsOf<D>::kUnscale);
}

struct Elu {
  template <class D, class V>
  HWY_INLINE static auto IsUsual(D d, V alpha) {
    return IsUsualNumber(d, hn::Abs(alpha));
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    return hn::IfThenElse(hn::Ge(x, hn::Zero(d)), x, Round(Expm1OfNegative(d, x)));  // -0.0 stays
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x, V alpha) {
    const Two<V> e = Expm1OfNegative(d, x);
    return hn::IfThenElse(hn::Ge(x, hn::Zero(d)), x, Fma(d, alpha, e.hi, hn::Mul(alpha, e.lo)));
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    return Backward(d, grad, x, hn::Set(d, 1));
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x, V alpha) {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), grad, Negative(d, grad, x, alpha));
  }
  template <class D, class V>
  HWY_INLINE static V AnyForward(D d, V x, V alpha) {
    const auto a = SplitPower(d, alpha);
    const V curve = TimesPow2(d, Times(d, Expm1OfNegative(d, x), a.m), a.k);
    const V negative = hn::IfThenElse(hn::Ge(x, LeastLinear(d)), hn::Mul(alpha, x), curve);
    return hn::IfThenElse(hn::Ge(x, hn::Zero(d)), x, negative);
  }
  template <class D, class V>
  HWY_INLINE static V AnyBackward(D d, V grad, V x, V alpha) {
    const V negative = AnyExpTimes(d, Two<V>{x, hn::Zero(d)}, alpha, grad);
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), grad, negative);
  }
  // grad alpha e^x for x <= 0
  template <class D, class V>
  HWY_INLINE static V Negative(D d, V grad, V x, V alpha) {
    const auto e = SplitShortExp(d, AtLeast(x, hn::Set(d, ConstantsOf<D>::kSigmoidZero)));
    return ShortExpTimes(d, e, alpha, grad);
  }
};

struct Celu {
  template <class D, class V>
  HWY_INLINE static auto IsUsual(D d, V alpha) {
    return IsUsualNumber(d, alpha);
  }
  // x / alpha, with its rounding error in the low part
  template <class D, class V>
  HWY_INLINE static Two<V> Ratio(D d, V x, V alpha) {
    const V z = hn::Div(x, alpha);
    return {z, hn::Div(FmaNeg(d, z, alpha, x), alpha)};
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    return Elu::Forward(d, x);
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x, V alpha) {
    const Two<V> e = Expm1OfNegative(d, Ratio(d, x, alpha));
    const V negative = Fma(d, alpha, e.hi, hn::Mul(alpha, e.lo));
    return hn::IfThenElse(hn::Ge(x, LeastLinear(d)), x, negative);
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    return Elu::Backward(d, grad, x);
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x, V alpha) {
    using C = ConstantsOf<D>;
    const Two<V> z = Clamp(d, Ratio(d, x, alpha), C::kSigmoidZero, -C::kLogZero);
    const V slope = ShortExpTimes(d, SplitShortExp(d, z.hi, z.lo), hn::Set(d, 1), grad);
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), grad, slope);
  }
  // The same ratio for any alpha; where it is beyond kFar, some number beyond.
  template <class D, class V>
  HWY_INLINE static Two<V> AnyRatio(D d, V x, V alpha) {
    const hn::RebindToSigned<D> di;
    const auto n = SplitPower(d, x), a = SplitPower(d, alpha);
    const auto k = hn::Max(hn::Sub(n.k, a.k), hn::Set(di, -ConstantsOf<D>::kScaleExponent));
    return ScaledBy(d, Ratio(d, n.m, a.m), k);
  }
  template <class D, class V>
  HWY_INLINE static V AnyForward(D d, V x, V alpha) {
    using C = ConstantsOf<D>;
    const hn::RebindToSigned<D> di;
    const Two<V> z = AnyRatio(d, x, alpha);
    const auto e = SplitExp(d, Clamp(d, z, C::kExpm1Saturated, C::kFar));
    // e^z - 1 = 2^k (1 + r + t) - 1. For a large k, 1 has no effect: a part of the power waits until alpha is there.
    const auto k = Integer(d, e.k), now = hn::Min(k, hn::Set(di, C::kScaleExponent));
    const auto a = SplitPower(d, alpha);
    const V m = Times(d, TimesPowerMinusOne(d, e, Pow2<0>(d, now)), a.m);
    V y = TimesPow2(d, m, hn::Add(a.k, hn::Sub(k, now)));
    y = hn::IfThenElse(hn::Gt(z.hi, hn::Set(d, C::kFar)), hn::CopySign(hn::Inf(d), alpha), y);
    const auto linear = hn::Or(hn::Lt(hn::Abs(z.hi), hn::Set(d, 4 * C::kUnscale)), hn::IsInf(alpha));
    return hn::IfThenElse(hn::Or(linear, hn::Ge(x, hn::Zero(d))), x, y);
  }
  template <class D, class V>
  HWY_INLINE static V AnyBackward(D d, V grad, V x, V alpha) {
    const V slope = AnyExpTimes(d, AnyRatio(d, x, alpha), hn::Set(d, 1), grad);
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), grad, slope);
  }
};

struct Selu {
  template <class D>
  HWY_INLINE static Two<hn::Vec<D>> ScaleAlpha(D d) {
    using C = ConstantsOf<D>;
    return {hn::Set(d, C::kSeluScaleAlpha), hn::Set(d, C::kSeluScaleAlphaRest)};
  }
  template <class D, class V>
  HWY_INLINE static V TimesScale(D d, V x) {
    return hn::MulAdd(x, hn::Set(d, ConstantsOf<D>::kSeluScaleMinus1), x);
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    const V scale = hn::Set(d, ConstantsOf<D>::kScale);
    const Two<V> e = Expm1OfNegative(d, x);
    const Two<V> scaled{hn::Mul(e.hi, scale), hn::Mul(e.lo, scale)};
    return hn::IfThenElse(hn::Ge(x, hn::Zero(d)), TimesScale(d, x), Unscale(d, TwoProduct(d, ScaleAlpha(d), scaled)));
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    const V negative = Elu::Negative(d, grad, x, hn::Set(d, ConstantsOf<D>::kSeluScaleAlpha));
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), TimesScale(d, grad), negative);
  }
};

// ---------------------------------------------------------------- tails
//
// A function that falls to 0 on one side and rises to its limit on the other is computed from its tail at -|x|.
// Multiplications and comparisons share two of a core's four pipes, so additions and integers take care of signs and limits.

// 2^k = power * unscale for x < 0: `unscale` takes what would be sub-normal in `power`, and is 0 where the tail has reached
// its limit. For x >= 0, such a small tail has no effect.
template <class V>
struct TailPower {
  V power, unscale;
  V negative;  // all bits set where x < 0
};
template <int kLeast, class D, class V, class VI>
HWY_INLINE TailPower<V> TailPowerOf(D d, V x, VI k) {
  using C = ConstantsOf<D>;
  const hn::RebindToSigned<D> di;
  const auto bias = hn::Set(di, C::kExponentBias), negative = hn::BroadcastSignBit(hn::BitCast(di, x));
  const auto limited = hn::Max(k, hn::Add(hn::BitCast(di, hn::Set(d, C::kRound)), hn::Set(di, kLeast)));
  const auto missing = hn::And(hn::Sub(k, limited), negative);
  return {hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::Add(limited, bias))),
          hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::Add(missing, bias))), hn::BitCast(d, negative)};
}

// -|x|, but no less than a limit
template <class D, class V>
HWY_INLINE V MinusAbs(D d, V x, hn::TFromD<D> least) {
  return AtLeast(hn::Or(x, hn::SignBit(d)), hn::Set(d, least));
}
template <class D, class V>
HWY_INLINE Two<V> MinusAbs(D d, Two<V> x, hn::TFromD<D> least) {
  const V sign = hn::SignBit(d), high = MinusAbs(d, x.hi, least), low = hn::Xor(x.lo, hn::AndNot(x.hi, sign));
  return {high, hn::IfThenElseZero(hn::Eq(high, hn::Or(x.hi, sign)), low)};
}

// e = e^-|x| and 1 / (1 + e). Tried for silu's gradient and slower: a short path for |x| < 60, and two stages a vector
// apart.
template <class V>
struct SigmoidTail : TailPower<V> {
  V exponent, e, fraction;  // e = e^exponent = power (1 + fraction)
  V r, c;                   // 1 / (1 + e) = r (1 + c + c^2 + ...); r^2 is exact
};
template <class D, class V, class VI>
HWY_INLINE SigmoidTail<V> SigmoidTailOf(D d, V x, V exponent, ShortExpParts<V, VI> parts) {
  const V one = hn::Set(d, 1);
  const auto power = TailPowerOf<ConstantsOf<D>::kSigmoidExponent>(d, x, parts.k);
  const V e = hn::MulAdd(power.power, parts.fraction, power.power);
  const V r = TruncatedInverse(d, hn::Add(one, e)), c = FmaNeg(d, e, r, hn::Sub(one, r));
  return {power, exponent, e, parts.fraction, r, c};
}
template <class D, class V>
HWY_INLINE SigmoidTail<V> SigmoidTailOf(D d, V x) {
  const V exponent = MinusAbs(d, x, ConstantsOf<D>::kSigmoidZero);
  return SigmoidTailOf(d, x, exponent, SplitShortExp(d, exponent));
}
template <class D, class V>
HWY_INLINE SigmoidTail<V> SigmoidTailOf(D d, Two<V> x) {
  const Two<V> exponent = MinusAbs(d, x, ConstantsOf<D>::kSigmoidZero);
  return SigmoidTailOf(d, x.hi, exponent.hi, SplitShortExp(d, exponent.hi, exponent.lo));
}

// The low part of a (1 + b) (1 + fraction), for b much smaller than 1.
template <class V>
HWY_INLINE V TimesRest(Two<V> a, V b, V fraction) {
  const V low = hn::MulAdd(a.hi, b, a.lo);
  return hn::MulAdd(hn::Add(a.hi, low), fraction, low);
}

// ---------------------------------------------------------------- sigmoid and its integrals

struct Sigmoid {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    using C = ConstantsOf<D>;
    const V limited = Clamp(d, x, C::kLogZero, C::kSigmoidSaturated);
    const Two<V> y = InverseAndRest(d, OnePlusExp(d, hn::Neg(limited)));
    return hn::Mul(hn::MulAdd(y.hi, y.lo, y.hi), hn::Set(d, C::kUnscale));
  }
  // factor * sigmoid(x) from the tail, for x of type V or Two<V>
  template <class D, class X, class V>
  HWY_INLINE static V ForwardTimes(D d, X x, V factor) {
    const auto t = SigmoidTailOf(d, x);
    const V low = TimesRest(Two<V>{t.r, hn::Zero(d)}, hn::MulAdd(t.c, t.c, t.c), hn::And(t.negative, t.fraction));
    const V power = hn::IfVecThenElse(t.negative, t.power, hn::Set(d, 1));
    return hn::Mul(hn::Mul(hn::Add(t.r, low), power), hn::Mul(factor, t.unscale));
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V y) {
    return hn::Mul(grad, hn::Mul(y, hn::Sub(hn::Set(d, 1), y)));
  }
};

struct Tanh {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    using C = ConstantsOf<D>;
    if constexpr (kHasTables<D>) {
      return hn::CopySign(TabulatedTanh(d, AtMost(hn::Abs(x), hn::Set(d, C::kTanhOne))), x);
    } else {
      return hn::CopySign(Round(MinusTanhOfAbs(d, AtMost(hn::Abs(x), hn::Set(d, C::kTanhSaturated)))), x);
    }
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V y) {
    return hn::Mul(grad, FmaNeg(d, y, y, hn::Set(d, 1)));
  }
};

struct Softplus {
  template <class D, class V>
  HWY_INLINE static auto IsUsual(D d, V beta) {
    return IsUsualNumber(d, hn::Abs(beta));
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    using C = ConstantsOf<D>;
    if constexpr (kHasTables<D>) {
      const auto line = hn::Gt(x, hn::Set(d, 1));
      const auto log = TableLog(d, hn::IfThenElse(line, hn::Neg(x), x));
      const V scaled = hn::Mul(hn::Add(log.hi, log.lo), Pow2<C::kScaleExponent>(d, log.k));
      return hn::MulAdd(scaled, hn::Set(d, C::kUnscale), hn::IfThenElseZero(line, x));
    } else {
      return Sum(AtLeast(x, hn::Zero(d)), Tail(d, x));
    }
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x, V beta) {
    using C = ConstantsOf<D>;
    const V zero = hn::Zero(d);
    const Two<V> z = TwoProduct(d, x, beta), divisor{beta, zero};
    if constexpr (kHasTables<D>) {
      const auto line = hn::Gt(z.hi, hn::Set(d, 1));
      const auto log = TableLog(d, TwoIfThenElse(line, Negate(z), z));
      const V ratio = Round(TwoQuotient(d, FastTwoSum(log.hi, log.lo), divisor));
      const V scaled = hn::Mul(ratio, Pow2<C::kScaleExponent>(d, log.k));
      return hn::MulAdd(scaled, hn::Set(d, C::kUnscale), hn::IfThenElseZero(line, x));
    } else {
      const Two<V> e = ScaledExp(d, MinusAbs(d, z, C::kLogZero));
      // For tiny e, log1p(e) is e, and e / beta may be normal even if e is not.
      const auto tiny = hn::Lt(e.hi, hn::Set(d, C::kLog1pTiny));
      const Two<V> ratio = TwoQuotient(d, TwoIfThenElse(tiny, e, LogOnePlus(d, e)), divisor);
      const V back = hn::IfThenElse(tiny, hn::Set(d, C::kUnscale), hn::Set(d, 1));
      const V linear = hn::IfThenElse(hn::Lt(z.hi, zero), zero, x);
      return Sum(linear, Two<V>{hn::Mul(ratio.hi, back), hn::Mul(ratio.lo, back)});
    }
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    return Sigmoid::ForwardTimes(d, x, grad);
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x, V beta) {
    return Sigmoid::ForwardTimes(d, TwoProduct(d, x, beta), grad);
  }
  // x beta for any beta; where it is beyond kFar, some number beyond.
  template <class D, class V>
  HWY_INLINE static Two<V> AnyProduct(D d, V x, V beta) {
    const hn::RebindToSigned<D> di;
    const auto n = SplitPower(d, x), b = SplitPower(d, beta);
    return ScaledBy(d, TwoProduct(d, n.m, b.m), hn::Max(hn::Add(n.k, b.k), hn::Set(di, -ConstantsOf<D>::kScaleExponent)));
  }
  template <class D, class V>
  HWY_INLINE static V AnyForward(D d, V x, V beta) {
    using C = ConstantsOf<D>;
    const hn::RebindToSigned<D> di;
    const V zero = hn::Zero(d);
    const auto n = SplitPower(d, x), b = SplitPower(d, beta);
    const Two<V> z = AnyProduct(d, x, beta);
    // log1p(e^-|z|) / beta = ratio 2^k. Beyond 2^-kScaleExponent log1p(e) is e, whose power waits.
    const auto e = SplitExp(d, MinusAbs(d, z, -C::kFar));
    const auto all = Integer(d, e.k), now = hn::Max(all, hn::Set(di, -C::kScaleExponent));
    const Two<V> tail = TimesPower(d, e, Pow2<0>(d, now));
    const Two<V> log = TwoIfThenElse(hn::Lt(tail.hi, hn::Set(d, 4 * C::kUnscale)), tail, Log1pOfTail(d, tail));
    const Two<V> ratio =
        TwoIfThenElse(hn::Eq(beta, zero), Two<V>{hn::Div(log.hi, beta), zero}, TwoQuotient(d, log, Two<V>{b.m, zero}));
    const auto k = hn::Sub(hn::Sub(all, now), b.k);
    // Its sum with max(x, 0), in units of the larger of both powers.
    const auto rises = hn::Gt(z.hi, zero);
    const auto line_k = hn::IfThenElse(hn::RebindMask(di, rises), n.k, k), most = hn::Max(k, line_k);
    const auto part = [&](V m, decltype(k) of_m) HWY_ATTR {
      return hn::Mul(m, Pow2<0>(d, hn::Max(hn::Sub(of_m, most), hn::Set(di, -C::kScaleExponent))));
    };
    const Two<V> log_part{part(ratio.hi, k), part(ratio.lo, k)};
    const V y = TimesPow2(d, Sum(part(hn::IfThenElseZero(rises, n.m), line_k), log_part), most);
    // Infinity times zero is no number, but the function has its limits: x or 0.
    const auto falls = hn::Lt(hn::CopySign(hn::Set(d, 1), hn::Xor(x, beta)), zero);
    const auto ends = hn::Or(hn::IsInf(beta), hn::AndNot(falls, hn::IsInf(x)));
    const auto numbers = hn::AndNot(hn::IsNaN(beta), hn::Eq(x, x));
    return hn::IfThenElse(hn::And(ends, numbers), hn::IfThenZeroElse(falls, x), y);
  }
  template <class D, class V>
  HWY_INLINE static V AnyBackward(D d, V grad, V x, V beta) {
    return Sigmoid::ForwardTimes(d, AnyProduct(d, x, beta), grad);
  }

  // log1p(e^x) for x <= 1, of type V or Two<V>. Above, x + log1p(e^-x) has the smaller error.
  template <class D, class X>
  HWY_INLINE static auto TableLog(D d, X x) {
    using C = ConstantsOf<D>;
    return LookUpSum<-30>(d, C::kSoftplusTable, AtLeast(d, x, C::kLogZero));
  }

  // softplus(-|x|)
  template <class D, class V>
  HWY_INLINE static Two<V> Tail(D d, V x) {
    return LogOnePlus(d, ScaledExp(d, MinusAbs(d, x, ConstantsOf<D>::kLogZero)));
  }
  // log(1 + e), for e given times 2^kScaleExponent
  template <class D, class V>
  HWY_INLINE static Two<V> LogOnePlus(D d, Two<V> e) {
    const V unscale = hn::Set(d, ConstantsOf<D>::kUnscale);
    return Log1pOfTail(d, Two<V>{hn::Mul(e.hi, unscale), hn::Mul(e.lo, unscale)});
  }
  template <class V>
  HWY_INLINE static V Sum(V linear, Two<V> log) {
    const Two<V> sum = TwoSum(linear, log.hi);
    const V low = hn::Add(sum.lo, log.lo);
    return hn::Add(sum.hi, hn::IfThenElseZero(hn::IsFinite(low), low));
  }
};

struct LogSigmoid {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    using C = ConstantsOf<D>;
    if constexpr (kHasTables<D>) {  // -softplus(-x)
      const auto line = hn::Lt(x, hn::Set(d, -1));
      const auto log = Softplus::TableLog(d, hn::IfThenElse(line, x, hn::Neg(x)));
      const V scaled = hn::Mul(hn::Add(log.hi, log.lo), Pow2<C::kScaleExponent>(d, log.k));
      return hn::NegMulAdd(scaled, hn::Set(d, C::kUnscale), hn::IfThenElseZero(line, x));
    } else {
      return hn::Neg(Softplus::Sum(AtLeast(hn::Neg(x), hn::Zero(d)), Softplus::Tail(d, x)));
    }
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    return Softplus::Backward(d, grad, hn::Neg(x));
  }
};

// ---------------------------------------------------------------- x times a sigmoid
//
// x g(x), where g rises from 0 to 1, for x clamped to [zero, saturated]. Below, the product is 0 even times the largest
// factor; above, it is x. `Scaled` is g(x) and `ScaledSlope` the derivative of x g(x), both times 2^kScaleExponent.

template <class G>
struct SelfGated {
  template <class D, class V>
  HWY_INLINE static V Limited(D d, V x) {
    using C = ConstantsOf<D>;
    return Clamp(d, x, G::template kZero<C>, G::template kSaturated<C>);
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    const V limited = Limited(d, x);
    const Two<V> g = G::Scaled(d, limited);
    const V product = Fma(d, limited, g.hi, hn::Mul(limited, g.lo));
    const V y = hn::CopySign(hn::Mul(product, hn::Set(d, ConstantsOf<D>::kUnscale)), x);  // for -0.0
    return hn::IfThenElse(hn::Gt(x, limited), x, y);
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    const V limited = Limited(d, x);
    const V y = hn::IfThenElse(hn::Gt(x, limited), grad, UnscaleTimes(d, G::ScaledSlope(d, limited), grad));
    return hn::IfThenElse(hn::Lt(x, limited), hn::Mul(hn::Zero(d), grad), y);
  }
};

struct SiluGate {
  template <class C>
  static constexpr auto kZero = C::kLogZero;
  template <class C>
  static constexpr auto kSaturated = C::kSigmoidSaturated;
  template <class D, class V>
  HWY_INLINE static Two<V> Scaled(D d, V x) {
    return ScaledSigmoid(d, x);
  }
};

struct GeluTanhGate {
  template <class C>
  static constexpr auto kZero = C::kGeluTanhZero;
  template <class C>
  static constexpr auto kSaturated = C::kGeluTanhSaturated;

  // x (c1 + factor c3 x^2), c1 = 2 sqrt(2 / pi), c3 = 0.044715 c1
  template <class D, class V>
  HWY_INLINE static Two<V> Cubic(D d, V x, hn::TFromD<D> factor) {
    using C = ConstantsOf<D>;
    const V f = hn::Set(d, factor);
    const Two<V> c3{hn::Set(d, C::kGeluTanhCubic), hn::Set(d, C::kGeluTanhCubicRest)};
    const Two<V> square = TwoProduct(d, TwoProduct(d, x, x), TwoProduct(d, f, c3));
    const Two<V> sum = TwoSum(hn::Set(d, C::kGeluTanhLinear), square.hi);
    const V low = hn::Add(hn::Set(d, C::kGeluTanhLinearRest), hn::Add(sum.lo, square.lo));
    return TwoProduct(d, x, Two<V>{sum.hi, low});
  }
  template <class D, class V>
  HWY_INLINE static Two<V> Scaled(D d, V x) {
    return ScaledSigmoid(d, Cubic(d, x, 1));
  }
  // s (1 + v (1 - s)) with v = x z'(x), z the cubic. Computed as s ((1 + v) - v s): the sum does not wait for s, which helps
  // a core that looks ahead by less than the formula's length.
  template <class D, class V>
  HWY_INLINE static Two<V> ScaledSlope(D d, V x) {
    const V unscale = hn::Set(d, ConstantsOf<D>::kUnscale);
    const Two<V> s = ScaledSigmoid<true>(d, Cubic(d, x, 1)), v = Cubic(d, x, 3), sum = TwoSum(hn::Set(d, 1), v.hi);
    const Two<V> product = TwoProduct(d, Two<V>{hn::Mul(v.hi, unscale), hn::Mul(v.lo, unscale)}, s);
    const Two<V> w = TwoSum(sum.hi, hn::Neg(product.hi));
    const V low = hn::Add(w.lo, hn::Sub(hn::Add(sum.lo, v.lo), product.lo));
    return TwoProduct(d, s, FastTwoSum(w.hi, low));  // s may have a large low part
  }
};

struct MishGate {  // tanh(softplus(x)) = n / (n + 2), n = e^x (e^x + 2); for x >= 0 in terms of e^-x
  template <class C>
  static constexpr auto kZero = C::kLogZero;
  template <class C>
  static constexpr auto kSaturated = C::kTanhSaturated;

  // tanh(softplus(x)) = factor * numerator / denominator, with e = e^-|x|
  template <class V>
  struct Fraction {
    Two<V> e, factor, numerator, denominator;
  };
  template <class D, class V>
  HWY_INLINE static Fraction<V> Split(D d, V x) {
    const V zero = hn::Zero(d), one = hn::Set(d, 1), two = hn::Set(d, 2);
    const V scale = hn::Set(d, ConstantsOf<D>::kScale), unscale = hn::Set(d, ConstantsOf<D>::kUnscale);
    const auto negative = hn::Lt(x, zero);
    const Two<V> scaled = ScaledExp(d, hn::Neg(hn::Abs(x)));
    const Two<V> e{hn::Mul(scaled.hi, unscale), hn::Mul(scaled.lo, unscale)};
    const Two<V> twice{hn::Add(e.hi, e.hi), hn::Add(e.lo, e.lo)};
    // x < 0: (2 + e) / (2 + e (2 + e)) e;  x >= 0: (1 + 2 e) / (1 + 2 e + 2 e^2)
    const Two<V> term = TwoIfThenElse(negative, e, twice);
    const Two<V> sum = TwoSum(hn::IfThenElse(negative, two, one), term.hi);
    const Two<V> numerator{sum.hi, hn::Add(sum.lo, term.lo)};
    const Two<V> product = TwoProduct(d, e, TwoIfThenElse(negative, numerator, twice));
    const Two<V> base = TwoIfThenElse(negative, Two<V>{two, zero}, numerator);
    const Two<V> total = TwoSum(base.hi, product.hi);
    const Two<V> denominator{total.hi, hn::Add(total.lo, hn::Add(base.lo, product.lo))};
    return {e, TwoIfThenElse(negative, scaled, Two<V>{scale, zero}), numerator, denominator};
  }
  template <class D, class V>
  HWY_INLINE static Two<V> Scaled(D d, V x) {
    const Fraction<V> f = Split(d, x);
    return TwoProduct(d, f.factor, TwoQuotient(d, f.numerator, f.denominator));
  }
  // factor (numerator denominator + 4 x (1 + e) w) / denominator^2, w = 1 for x < 0 and e^2 for x >= 0
  template <class D, class V>
  HWY_INLINE static Two<V> ScaledSlope(D d, V x) {
    const V one = hn::Set(d, 1);
    const Fraction<V> f = Split(d, x);
    const Two<V> weight = TwoIfThenElse(hn::Lt(x, hn::Zero(d)), Two<V>{one, hn::Zero(d)}, TwoProduct(d, f.e, f.e));
    const Two<V> sum = FastTwoSum(one, f.e.hi);
    const Two<V> extra =
        TwoProduct(d, hn::Mul(hn::Set(d, 4), x), TwoProduct(d, Two<V>{sum.hi, hn::Add(sum.lo, f.e.lo)}, weight));
    const Two<V> main = TwoProduct(d, f.numerator, f.denominator);
    const Two<V> total = TwoSum(main.hi, extra.hi);
    const Two<V> numerator{total.hi, hn::Add(total.lo, hn::Add(main.lo, extra.lo))};
    return TwoProduct(d, f.factor, TwoQuotient(d, numerator, TwoProduct(d, f.denominator, f.denominator)));
  }
};

struct Silu : SelfGated<SiluGate> {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    using C = ConstantsOf<D>;
    const V limited = Limited(d, x);
    const Two<V> gate = InverseAndRest(d, OnePlusExp(d, hn::Neg(limited)));
    const V rest = hn::Mul(hn::Mul(limited, gate.hi), gate.lo), product = Fma(d, limited, gate.hi, rest);
    return hn::IfThenElse(hn::Gt(x, limited), x, hn::Mul(product, hn::Set(d, C::kUnscale)));
  }
  template <class D, class V>
  HWY_INLINE static SigmoidTail<V> TailOf(D d, V x) {
    return SigmoidTailOf(d, x);
  }
  // At -|x| the derivative is q = e (1 + e - |x|) / (1 + e)^2, at |x| it is 1 - q. Returns q for x < 0, else -q.
  template <class D, class V>
  HWY_INLINE static Two<V> SlopeTail(D d, V x, const SigmoidTail<V>& t) {
    const V signed_power = hn::Xor(t.power, hn::AndNot(x, hn::SignBit(d)));
    const V square = hn::Mul(hn::Mul(t.r, t.r), signed_power);
    const Two<V> product = TwoProduct(d, square, FastTwoSum(hn::Add(hn::Set(d, 1), t.exponent), t.e));
    const V rest = hn::Mul(t.c, hn::MulAdd(hn::Set(d, 3), t.c, hn::Set(d, 2)));
    return {product.hi, TimesRest(product, rest, t.fraction)};
  }
  template <class D, class V>
  HWY_INLINE static Two<V> Slope(D d, V x, const SigmoidTail<V>& t) {
    const Two<V> q = SlopeTail(d, x, t), sum = FastTwoSum(hn::AndNot(t.negative, hn::Set(d, 1)), q.hi);
    return {sum.hi, hn::Add(sum.lo, q.lo)};
  }
  // x / (1 + e), times e for x < 0
  template <class D, class V>
  HWY_INLINE static Two<V> Value(D d, V x, const SigmoidTail<V>& t) {
    const Two<V> product = TwoProduct(d, t.r, AtLeast(x, hn::Set(d, ConstantsOf<D>::kSigmoidZero)));
    const V low = TimesRest(product, hn::MulAdd(t.c, t.c, t.c), hn::And(t.negative, t.fraction));
    const V power = hn::IfVecThenElse(t.negative, t.power, hn::Set(d, 1));
    return {hn::Mul(product.hi, power), hn::IfThenElseZero(hn::IsFinite(x), hn::Mul(low, power))};
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    const auto t = TailOf(d, x);
    const Two<V> q = SlopeTail(d, x, t);  // 1.06 times as fast without the exact sum of Slope
    const V slope = hn::Add(hn::Add(hn::AndNot(t.negative, hn::Set(d, 1)), q.hi), q.lo);
    return hn::Mul(slope, hn::Mul(grad, t.unscale));
  }
};

// e^(-a^2 / 2) = power (1 + r + t) for a = |x|, and Phi(-a) divided by it
template <class V>
struct GeluTail : TailPower<V> {
  V a, r, t;
  Two<V> ratio;
};

struct Gelu {
  template <class D, class V>
  HWY_INLINE static Two<V> LogBell(D d, V a) {  // -a^2 / 2
    return TwoProduct(d, hn::Mul(a, hn::Set(d, -0.5)), a);
  }
  template <class D, class V>
  HWY_INLINE static GeluTail<V> TailOf(D d, V x) {
    using C = ConstantsOf<D>;
    const V a = AtMost(hn::Abs(x), hn::Set(d, -C::kGeluZero));
    const auto e = SplitExp(d, LogBell(d, a));
    return {TailPowerOf<C::kGeluExponent>(d, x, e.k), a, e.r, e.t, NormalTailRatio(d, a)};
  }
  // At -a the derivative is q = Phi(-a) - a phi(a) = e^(-a^2 / 2) (R(a) - a / sqrt(2 pi)), at a it is 1 - q.
  template <class D, class V>
  HWY_INLINE static Two<V> Slope(D d, V x, const GeluTail<V>& t) {
    using C = ConstantsOf<D>;
    const Two<V> line = TwoProduct(d, t.a, Two<V>{hn::Set(d, C::kInvSqrt2Pi), hn::Set(d, C::kInvSqrt2PiRest)});
    const Two<V> difference = TwoSum(t.ratio.hi, hn::Neg(line.hi));
    const Two<V> factor{difference.hi, hn::Add(difference.lo, hn::Sub(t.ratio.lo, line.lo))};
    const Two<V> product = TimesOnePlus(factor, t.r, t.t);
    const V signed_power = hn::Xor(t.power, hn::AndNot(x, hn::SignBit(d)));
    const Two<V> sum = FastTwoSum(hn::AndNot(t.negative, hn::Set(d, 1)), hn::Mul(product.hi, signed_power));
    return {sum.hi, hn::MulAdd(product.lo, signed_power, sum.lo)};
  }
  // max(x, 0) - a Phi(-a)
  template <class D, class V>
  HWY_INLINE static Two<V> Value(D d, V x, const GeluTail<V>& t) {
    const Two<V> tail = TwoProduct(d, hn::Mul(t.a, t.power), TimesOnePlus(t.ratio, t.r, t.t));
    const Two<V> difference = FastTwoDifference(AtLeast(x, hn::Neg(hn::Zero(d))), tail.hi);
    return {difference.hi, hn::IfThenElseZero(hn::IsFinite(x), hn::Sub(difference.lo, tail.lo))};
  }
  // a (1 + r + t). With r + t rounded first, the error of geglu came to 1.65 ULP.
  template <class V>
  HWY_INLINE static Two<V> TimesOnePlus(Two<V> a, V r, V t) {
    const V low = hn::MulAdd(hn::Add(r, t), a.lo, a.lo);
    return FastTwoSum(a.hi, hn::MulAdd(r, a.hi, hn::MulAdd(t, a.hi, low)));
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    const auto t = TailOf(d, x);
    return hn::Mul(Round(Slope(d, x, t)), hn::Mul(grad, t.unscale));
  }
  // The formula of Value. Limits, signs of zeros and NaN need no extra care. 1.3 times as fast as x Phi(x).
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    using C = ConstantsOf<D>;
    const V a = AtMost(hn::Abs(x), hn::Set(d, -C::kGeluZero));
    const Two<V> ratio = NormalTailRatio(d, a);
    const auto e = SplitExp(d, LogBell(d, a));
    // ratio (1 + r + t) = ratio.hi + rest. With the short form of e^x, 3 % faster, the error came to 1.48 ULP.
    const V low = hn::MulAdd(hn::Add(e.r, e.t), ratio.lo, ratio.lo);
    const V rest = hn::MulAdd(e.r, ratio.hi, hn::MulAdd(e.t, ratio.hi, low));
    const V tail = hn::Mul(Fma(d, a, ratio.hi, hn::Mul(a, rest)), Pow2<C::kScaleExponent>(d, e.k));
    return hn::NegMulAdd(tail, hn::Set(d, C::kUnscale), AtLeast(x, hn::Neg(hn::Zero(d))));
  }
};
using GeluTanh = SelfGated<GeluTanhGate>;

struct Mish : SelfGated<MishGate> {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    using C = ConstantsOf<D>;
    if constexpr (kHasTables<D>) {
      const hn::RebindToSigned<D> di;
      const V limited = Clamp(d, x, C::kLogZero, C::kMishSaturated);
      const auto t = LookUpSum<-24, 7>(d, C::kMishTable, limited);
      const auto k = hn::Min(t.k, hn::BitCast(di, hn::Set(d, C::kRound)));
      const V scaled = hn::Mul(limited, Pow2<C::kScaleExponent>(d, k));
      const V y = hn::Mul(hn::MulAdd(scaled, t.hi, hn::Mul(scaled, t.lo)), hn::Set(d, C::kUnscale));
      return hn::IfThenElse(hn::Gt(x, limited), x, y);
    } else {
      return SelfGated<MishGate>::Forward(d, x);
    }
  }
};

// ---------------------------------------------------------------- gated linear units

template <class V>
struct GateGradients {
  V gate, up;
};

// activation(gate) * up. Both gradients share one exponential.
template <class Activation>
struct GatedUnit {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V gate, V up) {
    const auto tail = Activation::TailOf(d, gate);
    const V y = Product(d, Activation::Value(d, gate, tail), up, tail.unscale);
    return hn::CopySign(y, hn::Xor(gate, up));  // the sign of zeros
  }
  template <class D, class V>
  HWY_INLINE static GateGradients<V> Backward(D d, V grad, V gate, V up) {
    const auto tail = Activation::TailOf(d, gate);
    return {Product(d, Activation::Slope(d, gate, tail), hn::Mul(grad, up), tail.unscale),
            Product(d, Activation::Value(d, gate, tail), grad, tail.unscale)};
  }

 private:
  template <class D, class V>
  HWY_INLINE static V Product(D, V a, V factor, V unscale) {
    return hn::Mul(hn::Mul(a, factor), unscale);
  }
  template <class D, class V>
  HWY_INLINE static V Product(D d, Two<V> a, V factor, V unscale) {
#if HWY_NATIVE_FMA
    return hn::Mul(Times(d, a, factor), unscale);
#else
    // Near sub-normal numbers an exact product has no room for its low part, so the smaller factor is scaled.
    using C = ConstantsOf<D>;
    const V one = hn::Set(d, 1), scale = hn::Set(d, C::kScale);
    const auto tiny = hn::Lt(hn::Abs(hn::Mul(a.hi, factor)), hn::Set(d, 16 * C::kMinNormal));
    const auto large = hn::Ge(hn::Abs(factor), one);
    const V f = hn::Mul(factor, hn::IfThenElse(hn::AndNot(large, tiny), scale, one));
    const V of_a = hn::IfThenElse(hn::And(large, tiny), scale, one);
    const V product = Times(d, Two<V>{hn::Mul(a.hi, of_a), hn::Mul(a.lo, of_a)}, f);
    return hn::Mul(product, hn::IfThenElse(tiny, hn::Mul(unscale, hn::Set(d, C::kUnscale)), unscale));
#endif
  }
};

struct SwiGlu : GatedUnit<Silu> {
  // As fast as Value, whose error came to 1.7 ULP.
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V gate, V up) {
    const V limited = Silu::Limited(d, gate);
    const V product = UnscaleTimes(d, TwoProduct(d, limited, SiluGate::Scaled(d, limited)), up);
    const V line = hn::IfThenElse(hn::Lt(gate, limited), hn::Neg(hn::Zero(d)), gate);
    const auto plain = hn::Or(hn::Ne(gate, limited), hn::Eq(gate, hn::Zero(d)));  // zeros keep their sign
    return hn::IfThenElse(plain, hn::Mul(line, up), product);
  }
};

struct ReGlu {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V gate, V up) {
    return hn::Mul(Relu::Forward(d, gate), up);
  }
  template <class D, class V>
  HWY_INLINE static GateGradients<V> Backward(D d, V grad, V gate, V up) {
    return {Relu::Backward(d, hn::Mul(grad, up), gate), hn::Mul(Relu::Forward(d, gate), grad)};
  }
};

using GeGlu = GatedUnit<Gelu>;

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_ACTIVATIONS_INL_H_
