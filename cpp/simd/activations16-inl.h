// Activations for 16-bit results, with errors within 2^-17: shorter polynomials, and no low parts. Other formulas serve 16
// bits as they are in activations-inl.h: the cheapest ones, and functions of one argument, whose results are mostly looked
// up.

#if defined(NONLIN_SIMD_ACTIVATIONS16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_ACTIVATIONS16_INL_H_
#undef NONLIN_SIMD_ACTIVATIONS16_INL_H_
#else
#define NONLIN_SIMD_ACTIVATIONS16_INL_H_
#endif

#include "simd/activations-inl.h"
#include "simd/memory-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// The form for results of type S.
template <class Activation, class S>
struct Short : Activation {};

// ---------------------------------------------------------------- building blocks

// e^x as a product of two factors. For bfloat16, which has the range of float, it is the square of a root: a sub-normal e^x
// still counts when it is multiplied by a large factor.
template <class S>
constexpr int kRoot16 = std::is_base_of_v<BFloat16, S> ? 2 : 1;
// Below this, e^x has no effect. For bfloat16 the root's biased exponent is 0 here; at the next number it would wrap.
template <class S>
constexpr float kZero16 = kRoot16<S> == 2 ? -176.05937f : -80.0f;

template <class V>
struct Exp16 {
  V first, second;
};
template <class S, class D, class V>
HWY_INLINE Exp16<V> Exp16Of(D d, V x) {  // |x| <= -kZero16
  using C = ConstantsOf<D>;
  constexpr int kRoot = kRoot16<S>;
  const hn::RebindToSigned<D> di;
  const V round = hn::Set(d, C::kRound), shifted = hn::MulAdd(x, hn::Set(d, C::kLog2E / kRoot), round);
  const V r = hn::NegMulAdd(hn::Sub(shifted, round), hn::Set(d, C::kLn2 * kRoot), x);
  float coefficients[5];
  for (int i = 0, power = 1; i < 5; ++i, power *= kRoot) coefficients[i] = C::kExp16[i] / power;
  const auto power = hn::ShiftLeft<C::kMantissaBits>(hn::BitCast(di, shifted));
  const V root = hn::BitCast(d, hn::Add(hn::BitCast(di, Polynomial(d, r, coefficients)), power));
  return {root, kRoot == 2 ? root : hn::Set(d, 1)};
}

// e = e^exponent. For x < 0, `unscale` is a factor of it that keeps the rest from being sub-normal. GCC passes a struct with
// more members through memory.
template <class S, class V>
struct Tail16 {
  V exponent, e, unscale;
  V negative;  // all bits set where x < 0

  // e / unscale
  HWY_INLINE V Part() const { return kRoot16<S> == 1 ? e : hn::IfVecThenElse(negative, unscale, e); }
  // The same for x < 0, else 1.
  HWY_INLINE V Step(V one) const { return kRoot16<S> == 1 ? hn::IfVecThenElse(negative, e, one) : unscale; }
};
template <class S, class D, class V>
HWY_INLINE Tail16<S, V> Tail16Of(D d, V x, V exponent) {
  const V one = hn::Set(d, 1);
  const V negative = hn::BitCast(d, hn::BroadcastSignBit(hn::BitCast(hn::RebindToSigned<D>(), x)));
  const Exp16<V> e = Exp16Of<S>(d, exponent);
  return {exponent, hn::Mul(e.first, e.second), kRoot16<S> == 1 ? one : hn::IfVecThenElse(negative, e.first, one), negative};
}
// A slope that rises from 0 to 1, / unscale: it is q = e w at -|x| and 1 - q at |x|.
template <class S, class D, class V>
HWY_INLINE V SlopeOfTail(D d, const Tail16<S, V>& t, V w) {
  const V signed_part = hn::Xor(t.Part(), hn::AndNot(t.negative, hn::SignBit(d)));
  return hn::MulAdd(signed_part, w, hn::AndNot(t.negative, hn::Set(d, 1)));
}

// e = e^-|x|
template <class S, class D, class V>
HWY_INLINE Tail16<S, V> Tail16Of(D d, V x) {
  return Tail16Of<S>(d, x, MinusAbs(d, x, kZero16<S>));
}
// sigmoid(|x|) = 1 / (1 + e)
template <class S, class D, class V>
HWY_INLINE V SigmoidOfAbs(D d, const Tail16<S, V>& t) {
  return Inverse(d, hn::Add(hn::Set(d, 1), t.e));
}
// sigmoid(x) / unscale
template <class S, class D, class V>
HWY_INLINE V SigmoidOf(D d, const Tail16<S, V>& t) {
  return hn::Mul(SigmoidOfAbs(d, t), t.Step(hn::Set(d, 1)));
}

// expm1 for x <= 0
template <class D, class V>
HWY_INLINE V Exp16m1(D d, V x) {
  using C = ConstantsOf<D>;
  const V limited = AtLeast(x, hn::Set(d, C::kExpm1Saturated)), round = hn::Set(d, C::kRound + C::kExponentBias);
  const V shifted = hn::MulAdd(limited, hn::Set(d, C::kLog2E), round);
  const V r = hn::NegMulAdd(hn::Sub(shifted, round), hn::Set(d, C::kLn2), limited);
  const V power = hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::BitCast(hn::RebindToSigned<D>(), shifted)));
  return hn::MulAdd(power, hn::Mul(r, Polynomial(d, r, C::kExpm1_16)), hn::Sub(power, hn::Set(d, 1)));
}

// ---------------------------------------------------------------- piecewise

template <class S>
struct Short<HardSigmoid, S> : HardSigmoid {
  template <class D, class V>
  HWY_INLINE static V Line(D d, V x) {
    return hn::Mul(hn::Add(x, hn::Set(d, 3)), hn::Set(d, ConstantsOf<D>::kSixth));
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    return Clamp(d, Line(d, x), 0, 1);
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x, V, V) {
    return Forward(d, x);
  }
  template <class D, class V>
  HWY_INLINE static auto IsUsual(D d, V slope, V offset) {
    constexpr float kRoundedSixth = std::is_base_of_v<BFloat16, S> ? 0.1669921875f : 0.1666259765625f;
    return hn::And(hn::Eq(slope, hn::Set(d, kRoundedSixth)), hn::Eq(offset, hn::Set(d, 0.5f)));
  }
};

template <class S>
struct Short<HardSwish, S> : HardSwish {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    const V y = hn::Mul(x, AtMost(Short<HardSigmoid, S>::Line(d, x), hn::Set(d, 1)));
    return hn::IfThenElse(hn::Le(x, hn::Set(d, -3)), hn::Zero(d), y);
  }
};

template <class S>
struct Short<Softsign, S> : Softsign {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    const V magnitude = AtMost(hn::Abs(x), hn::Set(d, ConstantsOf<D>::kSoftsignSaturated));
    return hn::CopySign(hn::Mul(magnitude, Inverse(d, hn::Add(magnitude, hn::Set(d, 1)))), x);
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    const V magnitude = AtMost(hn::Abs(x), hn::Set(d, ConstantsOf<D>::kMax));
    const V r = Inverse(d, hn::Add(magnitude, hn::Set(d, 1)));
    return hn::Mul(grad, hn::Mul(r, r));
  }
};

// ---------------------------------------------------------------- exponential linear

template <class S>
struct Short<Elu, S> : Elu {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    return Forward(d, x, hn::Set(d, 1));
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x, V alpha) {
    return hn::IfThenElse(hn::Ge(x, hn::Zero(d)), x, hn::Mul(alpha, Exp16m1(d, x)));
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
  HWY_INLINE static V Negative(D d, V grad, V x, V alpha) {
    const Exp16<V> e = Exp16Of<S>(d, AtLeast(x, hn::Set(d, kZero16<S>)));
    return hn::Mul(hn::Mul(alpha, e.first), hn::Mul(grad, e.second));
  }
};

template <class S>
struct Short<Celu, S> : Celu {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    return Short<Elu, S>::Forward(d, x);
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x, V alpha) {
    return hn::IfThenElse(hn::Ge(x, LeastLinear(d)), x, hn::Mul(alpha, Exp16m1(d, hn::Div(x, alpha))));
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    return Short<Elu, S>::Backward(d, grad, x);
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x, V alpha) {
    const Exp16<V> e = Exp16Of<S>(d, Clamp(d, hn::Div(x, alpha), kZero16<S>, -kZero16<S>));
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), grad, hn::Mul(e.first, hn::Mul(grad, e.second)));
  }
};

template <class S>
struct Short<Selu, S> : Selu {
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    const V negative = Short<Elu, S>::Negative(d, grad, x, hn::Set(d, ConstantsOf<D>::kSeluScaleAlpha));
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), TimesScale(d, grad), negative);
  }
};

// ---------------------------------------------------------------- sigmoid and its integrals

template <class S>
struct Short<Softplus, S> : Softplus {
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x) {
    return Sum(d, AtLeast(x, hn::Zero(d)), x, hn::Set(d, 1));
  }
  template <class D, class V>
  HWY_INLINE static V Forward(D d, V x, V beta) {
    const V z = hn::Mul(x, beta);
    return Sum(d, hn::IfThenElse(hn::Lt(z, hn::Zero(d)), hn::Zero(d), x), z, beta);
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    const auto t = Tail16Of<S>(d, x);
    return hn::Mul(SigmoidOf(d, t), hn::Mul(grad, t.unscale));
  }
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x, V beta) {
    return Backward(d, grad, hn::Mul(x, beta));
  }
  // linear + log1p(e^-|z|) / beta
  template <class D, class V>
  HWY_INLINE static V Sum(D d, V linear, V z, V beta) {
    const auto t = Tail16Of<S>(d, z);
    const V log = hn::Mul(t.Part(), Polynomial(d, t.e, ConstantsOf<D>::kLog1p16));
    return hn::MulAdd(log, hn::Div(t.unscale, beta), linear);
  }
};

template <class S>
struct Short<LogSigmoid, S> : LogSigmoid {
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    return Short<Softplus, S>::Backward(d, grad, hn::Neg(x));
  }
};

// ---------------------------------------------------------------- x times a sigmoid

// The gradient from `Slope`, which is / unscale, as is `Value` for the gated units.
template <class Form, class Activation>
struct Gated16 : Activation {
  template <class D, class V>
  HWY_INLINE static V Backward(D d, V grad, V x) {
    const auto t = Form::TailOf(d, x);
    return hn::Mul(Form::Slope(d, x, t), hn::Mul(grad, t.unscale));
  }
};

template <class S>
struct Short<Silu, S> : Gated16<Short<Silu, S>, Silu> {
  template <class D, class V>
  HWY_INLINE static Tail16<S, V> TailOf(D d, V x) {
    return Tail16Of<S>(d, x);
  }
  template <class D, class V>
  HWY_INLINE static V Value(D d, V x, const Tail16<S, V>& t) {
    return hn::Mul(AtLeast(x, hn::Set(d, kZero16<S>)), SigmoidOf(d, t));
  }
  template <class D, class V>
  HWY_INLINE static V Slope(D d, V, const Tail16<S, V>& t) {
    const V r = SigmoidOfAbs(d, t);
    return SlopeOfTail(d, t, hn::Mul(r, hn::MulAdd(t.exponent, r, hn::Set(d, 1))));
  }
};

template <class S>
struct Short<Gelu, S> : Gated16<Short<Gelu, S>, Gelu> {
  static constexpr float kLimit = kRoot16<S> == 2 ? 18.764f : 10.0f;  // -a^2 / 2 nears kZero16 there; float16 needs less
  template <class D, class V>
  HWY_INLINE static V LimitedAbs(D d, V x) {
    return AtMost(hn::Abs(x), hn::Set(d, kLimit));
  }
  // Phi(-a) / e^(-a^2 / 2)
  template <class D, class V>
  HWY_INLINE static V Ratio(D d, V a) {
    using C = ConstantsOf<D>;
    const V m = Inverse(d, hn::Add(a, hn::Set(d, C::kTail16Shift)));
    return hn::Mul(m, Polynomial(d, m, C::kTail16));
  }
  template <class D, class V>
  HWY_INLINE static Tail16<S, V> TailOf(D d, V x) {
    const V a = LimitedAbs(d, x);
    return Tail16Of<S>(d, x, hn::Mul(hn::Mul(a, hn::Set(d, -0.5f)), a));
  }
  template <class D, class V>
  HWY_INLINE static V Value(D d, V x, const Tail16<S, V>& t) {
    const V a = LimitedAbs(d, x);
    return hn::NegMulAdd(hn::Mul(a, t.Part()), Ratio(d, a), AtLeast(x, hn::Neg(hn::Zero(d))));
  }
  template <class D, class V>
  HWY_INLINE static V Slope(D d, V x, const Tail16<S, V>& t) {
    const V a = LimitedAbs(d, x);
    return SlopeOfTail(d, t, hn::NegMulAdd(a, hn::Set(d, ConstantsOf<D>::kInvSqrt2Pi), Ratio(d, a)));
  }
};

template <class S>
struct Short<GeluTanh, S> : Gated16<Short<GeluTanh, S>, GeluTanh> {
  static constexpr float kLimit = 13.0f;  // the cubic exceeds -kZero16 there
  template <class D, class V>
  HWY_INLINE static V Cubic(D d, V x, float factor) {
    using C = ConstantsOf<D>;
    const V limited = Clamp(d, x, -kLimit, kLimit), square = hn::Mul(limited, limited);
    const V slope = hn::MulAdd(square, hn::Set(d, factor * C::kGeluTanhCubic), hn::Set(d, C::kGeluTanhLinear));
    return hn::Mul(limited, slope);
  }
  template <class D, class V>
  HWY_INLINE static Tail16<S, V> TailOf(D d, V x) {
    return Tail16Of<S>(d, Cubic(d, x, 1));
  }
  template <class D, class V>
  HWY_INLINE static V Slope(D d, V x, const Tail16<S, V>& t) {
    const V r = SigmoidOfAbs(d, t);
    return SlopeOfTail(d, t, hn::Mul(r, hn::NegMulAdd(hn::Abs(Cubic(d, x, 3)), r, hn::Set(d, 1))));
  }
};

template <class S>
struct Short<Mish, S> : Gated16<Short<Mish, S>, Mish> {
  template <class D, class V>
  HWY_INLINE static Tail16<S, V> TailOf(D d, V x) {
    return Tail16Of<S>(d, x);
  }
  // The formula of MishGate.
  template <class D, class V>
  HWY_INLINE static V Slope(D d, V x, const Tail16<S, V>& t) {
    const V one = hn::Set(d, 1), two = hn::Set(d, 2), twice = hn::Add(t.e, t.e);
    const V numerator = hn::Add(hn::IfVecThenElse(t.negative, two, one), hn::IfVecThenElse(t.negative, t.e, twice));
    const V factor = hn::IfVecThenElse(t.negative, numerator, twice), base = hn::IfVecThenElse(t.negative, two, numerator);
    const V inverse = Inverse(d, hn::MulAdd(t.e, factor, base));  // of the denominator
    const V four_x = hn::Mul(hn::Set(d, 4), hn::CopySign(t.exponent, x));
    const V weight = hn::IfVecThenElse(t.negative, one, hn::Mul(t.e, t.e));
    const V extra = hn::Mul(hn::Mul(four_x, hn::Add(one, t.e)), hn::Mul(weight, inverse));
    return hn::Mul(hn::Mul(t.Step(one), inverse), hn::Add(numerator, extra));
  }
};

template <class S>
struct Short<SwiGlu, S> : GatedUnit<Short<Silu, S>> {};
template <class S>
struct Short<GeGlu, S> : GatedUnit<Short<Gelu, S>> {};

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_ACTIVATIONS16_INL_H_
