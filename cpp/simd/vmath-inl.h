// Vector maths on Highway vectors of float or double.
//
// Included once per instruction set (see elementwise.cc), hence the toggled guard. No memory beyond constants, no threads,
// no Python, and nothing from the standard library: its inline functions would be compiled for the wrong instruction set.
//
// Intermediate results that need more digits than the type has are carried as an unevaluated sum of two lanes, `Two`.
// Numbers that may underflow are carried times 2^kScaleExponent, and a single multiplication at the end brings them back, so
// that sub-normal results are rounded once.

#if defined(NONLIN_SIMD_VMATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_VMATH_INL_H_
#undef NONLIN_SIMD_VMATH_INL_H_
#else
#define NONLIN_SIMD_VMATH_INL_H_
#endif

#include "hwy/highway.h"
#include "simd/vmath_constants.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
using ConstantsOf = MathConstants<hn::TFromD<D>>;

// ---------------------------------------------------------------- error-free transformations

template <class V>
struct Two {  // the unevaluated sum hi + lo, |lo| much smaller than |hi|
  V hi, lo;
  HWY_INLINE Two() {}  // on Arm, GCC cannot compile those that it writes itself
  HWY_INLINE Two(V high, V low) : hi(high), lo(low) {}
};

// a * b + c, rounded once on every target; without a fused instruction, by an exact product and an exact sum.
template <class D, class V>
HWY_INLINE V Fma(D d, V a, V b, V c) {
#if HWY_NATIVE_FMA
  (void)d;
  return hn::MulAdd(a, b, c);
#else
  const V splitter = hn::Set(d, ConstantsOf<D>::kSplitter);
  const V as = hn::Mul(a, splitter), bs = hn::Mul(b, splitter);
  const V a1 = hn::Sub(as, hn::Sub(as, a)), b1 = hn::Sub(bs, hn::Sub(bs, b));
  const V a2 = hn::Sub(a, a1), b2 = hn::Sub(b, b1);
  const V p = hn::Mul(a, b);
  const V p_low = hn::Add(hn::Add(hn::Add(hn::Sub(hn::Mul(a1, b1), p), hn::Mul(a1, b2)), hn::Mul(a2, b1)), hn::Mul(a2, b2));
  const V s = hn::Add(p, c);
  const V t = hn::Sub(s, p);
  const V s_low = hn::Add(hn::Sub(p, hn::Sub(s, t)), hn::Sub(c, t));
  // The split overflows for huge factors, infinities have no low part, and -0.0 + 0.0 is 0.0.
  const V low = hn::Add(s_low, p_low);
  return hn::IfThenElse(hn::And(hn::IsFinite(low), hn::Ne(low, hn::Zero(d))), hn::Add(s, low), s);
#endif
}

template <class D, class V>
HWY_INLINE V FmaSub(D d, V a, V b, V c) {  // a * b - c, rounded once
#if HWY_NATIVE_FMA
  (void)d;
  return hn::MulSub(a, b, c);
#else
  return Fma(d, a, b, hn::Neg(c));
#endif
}

template <class D, class V>
HWY_INLINE V FmaNeg(D d, V a, V b, V c) {  // c - a * b, rounded once
#if HWY_NATIVE_FMA
  (void)d;
  return hn::NegMulAdd(a, b, c);
#else
  return Fma(d, hn::Neg(a), b, c);
#endif
}

template <class V>
HWY_INLINE Two<V> FastTwoSum(V a, V b) {  // a + b exactly, for |a| >= |b| or a = 0
  const V sum = hn::Add(a, b);
  return {sum, hn::Sub(b, hn::Sub(sum, a))};
}

template <class V>
HWY_INLINE Two<V> FastTwoDifference(V a, V b) {  // a - b exactly, for |a| >= |b|
  const V difference = hn::Sub(a, b);
  return {difference, hn::Sub(hn::Sub(a, difference), b)};
}

template <class V>
HWY_INLINE Two<V> TwoSum(V a, V b) {  // a + b exactly
  const V sum = hn::Add(a, b);
  const V bb = hn::Sub(sum, a);
  return {sum, hn::Add(hn::Sub(a, hn::Sub(sum, bb)), hn::Sub(b, bb))};
}

template <class D, class V>
HWY_INLINE Two<V> TwoProduct(D d, V a, V b) {  // a * b exactly
  const V product = hn::Mul(a, b);
  return {product, FmaSub(d, a, b, product)};
}

template <class D, class V>
HWY_INLINE Two<V> TwoProduct(D d, V a, Two<V> b) {
  const V product = hn::Mul(a, b.hi);
  return {product, hn::MulAdd(a, b.lo, FmaSub(d, a, b.hi, product))};
}

template <class D, class V>
HWY_INLINE Two<V> TwoProduct(D d, Two<V> a, Two<V> b) {
  const V product = hn::Mul(a.hi, b.hi);
  const V cross = hn::MulAdd(a.hi, b.lo, hn::Mul(a.lo, b.hi));
  return {product, hn::Add(cross, FmaSub(d, a.hi, b.hi, product))};
}

// 1 / b, rounded. An estimate of the processor's and two steps of Newton are no faster (0.94 to 1.05), nor is an integer
// start (0.88 to 1.02), and estimates differ between processors.
template <class D, class V>
HWY_INLINE V Inverse(D d, V b) {
  return hn::Div(hn::Set(d, 1), b);
}

// The same with half the digits, within 2^-11: its square is exact.
template <class D, class V>
HWY_INLINE V TruncatedInverse(D d, V b) {
  const hn::RebindToSigned<D> di;
  using TI = hn::TFromD<decltype(di)>;
  constexpr int kDropped = (ConstantsOf<D>::kMantissaBits + 2) / 2;
  return hn::BitCast(d, hn::And(hn::BitCast(di, Inverse(d, b)), hn::Set(di, -(TI{1} << kDropped))));
}

// 1 / b, as the first result times 1 plus the second.
template <class D, class V>
HWY_INLINE Two<V> InverseAndRest(D d, Two<V> b) {
  const V r = Inverse(d, b.hi);
  return {r, hn::NegMulAdd(b.lo, r, FmaNeg(d, b.hi, r, hn::Set(d, 1)))};
}

template <class D, class V>
HWY_INLINE Two<V> TwoReciprocal(D d, Two<V> b) {
  const Two<V> r = InverseAndRest(d, b);
  return {r.hi, hn::Mul(r.hi, r.lo)};
}

template <class D, class V>
HWY_INLINE Two<V> TwoQuotient(D d, Two<V> a, Two<V> b) {
  const V r = Inverse(d, b.hi);
  const V q = hn::Mul(a.hi, r);
  const V residual = hn::NegMulAdd(q, b.lo, hn::Add(FmaNeg(d, q, b.hi, a.hi), a.lo));
  return {q, hn::Mul(r, residual)};
}

template <class V>
HWY_INLINE V Negate(V a) {
  return hn::Neg(a);
}
template <class V>
HWY_INLINE Two<V> Negate(Two<V> a) {
  return {hn::Neg(a.hi), hn::Neg(a.lo)};
}

template <class V>
HWY_INLINE V HighOf(V a) {
  return a;
}
template <class V>
HWY_INLINE V HighOf(Two<V> a) {
  return a.hi;
}
template <class V>
HWY_INLINE V PlusLowOf(V sum, V) {
  return sum;
}
template <class V>
HWY_INLINE V PlusLowOf(V sum, Two<V> a) {
  return hn::Add(sum, a.lo);
}

template <class M, class V>
HWY_INLINE Two<V> TwoIfThenElse(M mask, Two<V> yes, Two<V> no) {
  return {hn::IfThenElse(mask, yes.hi, no.hi), hn::IfThenElse(mask, yes.lo, no.lo)};
}

template <class V>
HWY_INLINE V Round(Two<V> a) {
  return hn::Add(a.hi, a.lo);
}

// ---------------------------------------------------------------- helpers

// Horner's rule, constant term first.
template <class D, class V, size_t kTerms>
HWY_INLINE V Polynomial(D d, V x, const hn::TFromD<D> (&coefficients)[kTerms]) {
  V sum = hn::Set(d, coefficients[kTerms - 1]);
  for (size_t i = kTerms - 1; i-- > 0;) sum = hn::MulAdd(sum, x, hn::Set(d, coefficients[i]));
  return sum;
}

// The same in pairs of terms, given the square of x: half the chain of dependent operations, and no more of them. 1.05 times
// as fast in double; with the few terms of float 0.9 to 1.01.
template <class D, class V, size_t kTerms>
HWY_INLINE V PairedPolynomial(D d, V x, V square, const hn::TFromD<D> (&coefficients)[kTerms]) {
  constexpr size_t kEven = (kTerms - 1) / 2 * 2;
  const auto pair = [&](size_t i) HWY_ATTR {
    const V constant = hn::Set(d, coefficients[i]), slope = hn::Set(d, coefficients[i + 1]);
    return hn::MulAdd(slope, x, constant);
  };
  V sum = kEven + 1 < kTerms ? pair(kEven) : hn::Set(d, coefficients[kEven]);
  for (size_t i = kEven; i > 0; i -= 2) sum = hn::MulAdd(sum, square, pair(i - 2));
  return sum;
}

// A NaN whose lower half is 0, so that it rounds to 16 bits like a number.
template <class D>
HWY_INLINE hn::Vec<D> QuietNaN(D d) {
  return hn::Set(d, ConstantsOf<D>::kNaN);
}

// The larger and the smaller of x and a limit. NaN stays NaN; Max and Min promise this only on x86, for the second operand.
template <class V>
HWY_INLINE V AtLeast(V x, V low) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  return hn::Max(low, x);
#else
  return hn::IfThenElse(hn::Lt(x, low), low, x);
#endif
}
template <class V>
HWY_INLINE V AtMost(V x, V high) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  return hn::Min(high, x);
#else
  return hn::IfThenElse(hn::Gt(x, high), high, x);
#endif
}

template <class D, class V>
HWY_INLINE V Clamp(D d, V x, hn::TFromD<D> low, hn::TFromD<D> high) {
  return AtMost(AtLeast(x, hn::Set(d, low)), hn::Set(d, high));
}

template <class D, class V>
HWY_INLINE V AtLeast(D d, V x, hn::TFromD<D> low) {
  return AtLeast(x, hn::Set(d, low));
}
// The same for an unevaluated sum: a clamped number has no low part.
template <class D, class V>
HWY_INLINE Two<V> Clamp(D d, Two<V> x, hn::TFromD<D> low, hn::TFromD<D> high) {
  const V clamped = Clamp(d, x.hi, low, high);
  return {clamped, hn::IfThenElseZero(hn::Eq(clamped, x.hi), x.lo)};
}
template <class D, class V>
HWY_INLINE Two<V> AtLeast(D d, Two<V> x, hn::TFromD<D> low) {
  const V limited = AtLeast(d, x.hi, low);
  return {limited, hn::IfThenElseZero(hn::Eq(limited, x.hi), x.lo)};
}

// 2^(k + offset) for an integer k in the vector's integer lanes; the sum must be a normal exponent.
template <int kOffset, class D, class VI>
HWY_INLINE hn::Vec<D> Pow2(D d, VI k) {
  using C = ConstantsOf<D>;
  const hn::RebindToSigned<D> di;
  return hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::Add(k, hn::Set(di, C::kExponentBias + kOffset))));
}

// x = m 2^k with 1 <= |m| < 2. Zero, infinity and NaN are their own m, with k = 0.
template <class V, class VI>
struct PowerSplit {
  V m;
  VI k;
};
template <class D, class V>
HWY_INLINE auto SplitPower(D d, V x) {
  using C = ConstantsOf<D>;
  const hn::RebindToSigned<D> di;
  const auto tiny = hn::Lt(hn::Abs(x), hn::Set(d, C::kMinNormal)), zero = hn::Eq(x, hn::Zero(d));
  const auto ordinary = hn::AndNot(zero, hn::IsFinite(x));
  const auto bits = hn::BitCast(di, hn::IfThenElse(tiny, hn::Mul(x, hn::Set(d, C::kScale)), x));
  const auto biased = hn::And(hn::ShiftRight<C::kMantissaBits>(bits), hn::Set(di, 2 * C::kExponentBias + 1));
  const auto k = hn::Sub(biased, hn::Set(di, C::kExponentBias));
  const V m = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<C::kMantissaBits>(k)));
  const auto scaled = hn::IfThenElseZero(hn::RebindMask(di, tiny), hn::Set(di, C::kScaleExponent));
  const auto power = hn::IfThenElseZero(hn::RebindMask(di, ordinary), hn::Sub(k, scaled));
  return PowerSplit<V, decltype(k)>{hn::IfThenElse(ordinary, m, x), power};
}

// m 2^k for any k, and m far from the ends of the type.
template <class D, class V, class VI>
HWY_INLINE V TimesPow2(D d, V m, VI k) {
  const hn::RebindToSigned<D> di;
  constexpr int kMost = 2 * ConstantsOf<D>::kExponentBias;
  const auto limited = hn::Min(hn::Max(k, hn::Set(di, 2 - kMost)), hn::Set(di, kMost)), half = hn::ShiftRight<1>(limited);
  return hn::Mul(hn::Mul(m, Pow2<0>(d, half)), Pow2<0>(d, hn::Sub(limited, half)));
}

// (hi + lo) * factor, infinite factors included.
template <class D, class V>
HWY_INLINE V Times(D d, Two<V> a, V factor) {
  return Fma(d, a.hi, factor, hn::IfThenElseZero(hn::IsFinite(factor), hn::Mul(a.lo, factor)));
}

// End a calculation carried times 2^kScaleExponent: (hi + lo) * factor, brought back. A large factor takes the scaling,
// beside a small one the product does, so that nothing overflows or loses bits on the way.
template <class D, class V>
HWY_INLINE V Unscale(D d, Two<V> a) {
  return hn::Mul(Round(a), hn::Set(d, ConstantsOf<D>::kUnscale));
}
template <class D, class V>
HWY_INLINE V UnscaleTimes(D d, Two<V> a, V factor) {
  const V one = hn::Set(d, 1), unscale = hn::Set(d, ConstantsOf<D>::kUnscale);
  const auto large = hn::Ge(hn::Abs(factor), one);
  const V f = hn::IfThenElse(large, hn::Mul(factor, unscale), factor);
  return hn::Mul(Times(d, a, f), hn::IfThenElse(large, one, unscale));
}

// ---------------------------------------------------------------- tables in registers

// Whether functions have polynomials in tables. Without fused multiply-add, gelu came to 2.0 ULP.
template <class D>
constexpr bool kHasTables = sizeof(hn::TFromD<D>) == 4 && HWY_NATIVE_FMA;

// Looks up the low 4 bits of each lane of `index` in a table of 16 floats, in registers where there is an instruction for
// it.
template <class D, class VI>
HWY_INLINE hn::Vec<D> EntryOf16(D d, const float* table, VI index) {
  const hn::RebindToSigned<D> di;
#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
  if constexpr (hn::MaxLanes(D()) == 16) {
    return hn::TableLookupLanes(hn::LoadU(d, table), hn::IndicesFromVec(d, index));
  } else {
    const auto low = hn::IndicesFromVec(d, hn::And(index, hn::Set(di, 7)));
    const auto upper = hn::RebindMask(d, hn::Ne(hn::And(index, hn::Set(di, 8)), hn::Zero(di)));
    return hn::IfThenElse(upper, hn::TableLookupLanes(hn::LoadU(d, table + 8), low),
                          hn::TableLookupLanes(hn::LoadU(d, table), low));
  }
#else
  const auto entry = hn::And(index, hn::Set(di, 15));
#if HWY_TARGET == HWY_NEON && HWY_ARCH_ARM_A64  // looks up bytes
  const hn::Repartition<uint8_t, D> bytes;
  const auto places = hn::Add(hn::Mul(entry, hn::Set(di, 0x04040404)), hn::Set(di, 0x03020100));
  const uint8x16x4_t entries = vld1q_u8_x4(reinterpret_cast<const uint8_t*>(table));
  return hn::BitCast(d, hn::Vec<decltype(bytes)>(vqtbl4q_u8(entries, hn::BitCast(bytes, places).raw)));
#else
  return hn::GatherIndex(d, table, entry);
#endif
#endif
}

// The same for 32 floats and the low 5 bits. With kNear, these are of a number from -8 to 7, and a look-up takes a third of
// the instructions where there is none for 32.
template <bool kNear, class D, class VI>
HWY_INLINE hn::Vec<D> EntryOf32(D d, const float* table, VI index) {
  const hn::RebindToSigned<D> di;
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
  (void)di;
  return hn::Vec<D>{_mm512_permutex2var_ps(hn::LoadU(d, table).raw, index.raw, hn::LoadU(d, table + 16).raw)};
#elif HWY_TARGET == HWY_AVX2 && HWY_ARCH_X86
  const auto low = hn::IndicesFromVec(d, hn::And(index, hn::Set(di, 7)));
  const auto has_bit = [&](int bit) HWY_ATTR {
    const auto bits = hn::And(index, hn::Set(di, bit));
    return hn::RebindMask(d, hn::Ne(bits, hn::Zero(di)));
  };
  const auto of_8 = [&](int first) HWY_ATTR { return hn::TableLookupLanes(hn::LoadU(d, table + first), low); };
  const auto upper = hn::IfThenElse(has_bit(8), of_8(24), kNear ? of_8(0) : of_8(16));
  return kNear ? upper : hn::IfThenElse(has_bit(16), upper, hn::IfThenElse(has_bit(8), of_8(8), of_8(0)));
#elif HWY_TARGET == HWY_NEON && HWY_ARCH_ARM_A64  // looks up bytes
  const hn::Repartition<uint8_t, D> bytes;
  const auto places =
      hn::Add(hn::Mul(hn::And(index, hn::Set(di, kNear ? 15 : 31)), hn::Set(di, 0x04040404)), hn::Set(di, 0x03020100));
  const auto of_8 = [&](int first) HWY_ATTR { return vld1q_u8_x2(reinterpret_cast<const uint8_t*>(table + first)); };
  const uint8x16x2_t a = of_8(0), b = of_8(kNear ? 24 : 8);
  const uint8x16x4_t lower = {{a.val[0], a.val[1], b.val[0], b.val[1]}};
  uint8x16_t found = vqtbl4q_u8(lower, hn::BitCast(bytes, places).raw);
  if constexpr (!kNear) {
    const uint8x16x2_t c = of_8(16), e = of_8(24);
    const uint8x16x4_t upper = {{c.val[0], c.val[1], e.val[0], e.val[1]}};
    found = vqtbx4q_u8(found, upper, hn::BitCast(bytes, hn::Sub(places, hn::Set(di, 0x40404040))).raw);
  }
  return hn::BitCast(d, hn::Vec<decltype(bytes)>(found));
#else
  return hn::GatherIndex(d, table, hn::And(index, hn::Set(di, 31)));
#endif
}
// Whether all numbers are within kNearest, so that the short form of EntryOf32 serves. With 16 lanes both are the same.
template <class D, class V>
HWY_INLINE bool AreNear(D d, V x) {
  if constexpr (hn::MaxLanes(D()) == 16) return false;
  return hn::AllTrue(d, hn::Lt(hn::Abs(x), hn::Set(d, ConstantsOf<D>::kNearest)));
}

// ---------------------------------------------------------------- exponentials

// e^x = 2^k (1 + r + t), |r| <= 0.35 and |t| <= 0.07, where t is the curvature and the rounding error of r. Relative error
// below 2^-26.6 (float) / 2^-56 (double).
template <class V, class VI>
struct ExpParts {
  V r, t;
  VI k;  // plus the bits of kRound, none of which survives the shift into the exponent
};

// x = n log(2) + high - n kLn2Low, with high exact.
template <class V, class VI>
struct ExpReduction {
  V n, high;
  VI k;  // n plus the bits of kRound, as above
};

// The integer of a reduction, without the bits of kRound.
template <class D, class VI>
HWY_INLINE VI Integer(D d, VI k) {
  return hn::Sub(k, hn::BitCast(hn::RebindToSigned<D>(), hn::Set(d, ConstantsOf<D>::kRound)));
}

// x in [-kFar, kFar], or NaN.
template <class D, class V>
HWY_INLINE auto ReduceExp(D d, V x) {
  using C = ConstantsOf<D>;
  const hn::RebindToSigned<D> di;
  const V round = hn::Set(d, C::kRound);  // adding it leaves the integer in the low bits
  const V shifted = hn::MulAdd(x, hn::Set(d, C::kLog2E), round);
  const V n = hn::Sub(shifted, round);
  const auto k = hn::BitCast(di, shifted);
  return ExpReduction<V, decltype(k)>{n, hn::NegMulAdd(n, hn::Set(d, C::kLn2High), x), k};  // kLn2High has trailing zeros
}

template <class D, class V>
HWY_INLINE auto SplitExp(D d, Two<V> x) {
  using C = ConstantsOf<D>;
  const auto q = ReduceExp(d, x.hi);
  const Two<V> r = FastTwoSum(q.high, hn::NegMulAdd(q.n, hn::Set(d, C::kLn2Low), x.lo));
  const V t = hn::MulAdd(hn::Mul(r.hi, r.hi), Polynomial(d, r.hi, C::kExp), r.lo);
  return ExpParts<V, decltype(q.k)>{r.hi, t, q.k};
}

template <class D, class V>
HWY_INLINE auto SplitExp(D d, V x) {
  return SplitExp(d, Two<V>{x, hn::Zero(d)});
}

// The short form: e^x = 2^k (1 + fraction), with r and the fraction rounded. Relative error below 2^-24.8 / 2^-53.7.
template <class V, class VI>
struct ShortExpParts {
  V fraction;
  VI k;  // as above
};

template <class D, class V, class VI>
HWY_INLINE ShortExpParts<V, VI> ShortExpOf(D d, V r, VI k) {
  using C = ConstantsOf<D>;
  const V square = hn::Mul(r, r);
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return {hn::MulAdd(square, PairedPolynomial(d, r, square, C::kBriefExp), r), k};
  } else {
    return {hn::MulAdd(square, Polynomial(d, r, C::kExp), r), k};
  }
}
template <class D, class V>
HWY_INLINE auto SplitShortExp(D d, V x) {
  const auto q = ReduceExp(d, x);
  return ShortExpOf(d, hn::NegMulAdd(q.n, hn::Set(d, ConstantsOf<D>::kLn2Low), q.high), q.k);
}
template <class D, class V>
HWY_INLINE auto SplitShortExp(D d, Two<V> x) {
  const auto q = ReduceExp(d, x.hi);
  return ShortExpOf(d, hn::Add(q.high, hn::NegMulAdd(q.n, hn::Set(d, ConstantsOf<D>::kLn2Low), x.lo)), q.k);
}
// The same with one more rounding; with a low part of 0 it gives the same bits as x alone.
template <class D, class V>
HWY_INLINE auto SplitShortExp(D d, V x, V low) {
  const auto q = ReduceExp(d, x);
  return ShortExpOf(d, hn::Add(hn::NegMulAdd(q.n, hn::Set(d, ConstantsOf<D>::kLn2Low), q.high), low), q.k);
}

// f(x) = 2^k (hi + lo) for a function whose table has a polynomial in r for each k, x = k log(2) + r. The entry of kLeast
// serves all k below, that of kMost all above; 31 is no limit. x is of type V or Two<V>.
template <class V, class VI>
struct TableSum {
  V hi, lo;
  VI k;  // as above
};
template <bool kNear, class D, class V, class VI, size_t kRows>
HWY_INLINE TableSum<V, VI> TableSumOf(D d, const float (&table)[kRows][32], V r, VI k, VI index) {
  V q = EntryOf32<kNear>(d, table[kRows - 1], index);
  for (size_t i = kRows - 1; i-- > 3;) q = hn::MulAdd(q, r, EntryOf32<kNear>(d, table[i], index));
  // The linear term comes last and is not rounded, so that the sum rises with r. By Horner's rule, which takes 0.97 times as
  // long, it does not.
  const V rest = hn::MulAdd(hn::Mul(q, r), r, EntryOf32<kNear>(d, table[1], index));
  return {EntryOf32<kNear>(d, table[0], index), hn::MulAdd(r, EntryOf32<kNear>(d, table[2], index), rest), k};
}
template <int kLeast, int kMost = 31, class D, class X, size_t kRows>
HWY_INLINE auto LookUpSum(D d, const float (&table)[kRows][32], X argument) {
  using C = ConstantsOf<D>;
  using V = hn::Vec<D>;
  const hn::RebindToSigned<D> di;
  const V x = HighOf(argument), round = hn::Set(d, C::kRound);
  const auto zero = hn::BitCast(di, round);
  auto k = hn::BitCast(di, hn::MulAdd(x, hn::Set(d, C::kLog2E), round));
  if constexpr (kMost < 31) k = hn::Min(k, hn::Add(zero, hn::Set(di, kMost)));
  const auto index = hn::Max(k, hn::Add(zero, hn::Set(di, kLeast)));
  // The entries are for multiples of the rounded log(2), from which the distance is exact; for all k below, there is a rest.
  const V distance = hn::NegMulAdd(hn::Sub(hn::BitCast(d, k), round), hn::Set(d, C::kLn2), x);
  const V below = hn::Sub(hn::BitCast(d, k), hn::BitCast(d, index));
  const V r = PlusLowOf(hn::NegMulAdd(below, hn::Set(d, C::kLn2Rest), distance), argument);
  return HWY_LIKELY(AreNear(d, x)) ? TableSumOf<true>(d, table, r, k, index) : TableSumOf<false>(d, table, r, k, index);
}

// power (1 + r + t), for a power of two.
template <class D, class V, class VI>
HWY_INLINE Two<V> TimesPower(D d, const ExpParts<V, VI>& e, V power) {
  const Two<V> fraction = FastTwoSum(e.r, e.t);
  const V hi = Fma(d, power, fraction.hi, power);
  return {hi, hn::MulAdd(power, fraction.lo, Fma(d, power, fraction.hi, hn::Sub(power, hi)))};
}

// power (1 + r + t) - 1, for a power of two.
template <class D, class V, class VI>
HWY_INLINE Two<V> TimesPowerMinusOne(D d, const ExpParts<V, VI>& e, V power) {
  const V minus_one = hn::Set(d, -1);
  const Two<V> fraction = FastTwoSum(e.r, e.t);
  const V offset = hn::Add(power, minus_one);
  const V offset_low = hn::Sub(power, hn::Sub(offset, minus_one));  // of a power too small beside 1
  const V hi = Fma(d, power, fraction.hi, offset);
  const V low = hn::MulAdd(power, fraction.lo, Fma(d, power, fraction.hi, hn::Sub(offset, hi)));
  return {hi, hn::Add(low, offset_low)};
}

// e^x * 2^kScaleExponent, x in [-760, 0] or [-110, 0].
template <class D, class V>
HWY_INLINE Two<V> ScaledExp(D d, Two<V> x) {
  const auto e = SplitExp(d, x);
  return TimesPower(d, e, Pow2<ConstantsOf<D>::kScaleExponent>(d, e.k));
}
template <class D, class V>
HWY_INLINE Two<V> ScaledExp(D d, V x) {
  const auto e = SplitExp(d, x);
  return TimesPower(d, e, Pow2<ConstantsOf<D>::kScaleExponent>(d, e.k));
}

// std::expm1 for x <= 0, of type V or Two<V>. Relative error of the unevaluated sum below 2^-26 / 2^-55.
template <class D, class X>
HWY_INLINE Two<hn::Vec<D>> Expm1OfNegative(D d, X x) {
  const auto e = SplitExp(d, AtLeast(d, x, ConstantsOf<D>::kExpm1Saturated));
  return TimesPowerMinusOne(d, e, Pow2<0>(d, e.k));
}

// e^x times a factor, for any x: rounded once, overflow and sub-normal results included.
template <class D, class V>
HWY_INLINE V ExpTimes(D d, Two<V> x, Two<V> factor) {
  using C = ConstantsOf<D>;
  const auto e = SplitExp(d, Clamp(d, x, C::kLogZero, -C::kLogZero));
  const auto k = Integer(d, e.k);
  const auto half = hn::ShiftRight<1>(k);
  const Two<V> m = TwoProduct(d, TimesPower(d, e, hn::Set(d, 1)), factor);
  return hn::Mul(hn::Mul(Round(m), Pow2<0>(d, half)), Pow2<0>(d, hn::Sub(k, half)));
}

// The short form times two factors; sub-normal results and overflow included.
template <class D, class V, class VI>
HWY_INLINE V ShortExpTimes(D d, ShortExpParts<V, VI> e, V first, V second) {
  using C = ConstantsOf<D>;
  const hn::RebindToSigned<D> di;
  const auto bias = hn::Set(di, C::kExponentBias), round = hn::BitCast(di, hn::Set(d, C::kRound));
  const auto least = hn::Add(round, hn::Set(di, C::kSigmoidExponent)),
             most = hn::Sub(round, hn::Set(di, C::kSigmoidExponent));
  const auto k = hn::Min(hn::Max(e.k, least), most);
  const V power = hn::Mul(first, hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::Add(k, bias))));
  const V rest = hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::Add(hn::Sub(e.k, k), bias)));
  return hn::Mul(hn::MulAdd(power, e.fraction, power), hn::Mul(second, rest));
}

// e^x times two factors, for any numbers at all.
template <class D, class V>
HWY_INLINE V AnyExpTimes(D d, Two<V> x, V first, V second) {
  using C = ConstantsOf<D>;
  const auto a = SplitPower(d, first), b = SplitPower(d, second);
  const Two<V> limited = Clamp(d, x, -C::kFar, C::kFar);
  const auto e = SplitShortExp(d, limited.hi, limited.lo);
  const V factor = hn::Mul(a.m, b.m), rounded = hn::Mul(factor, hn::Add(hn::Set(d, 1), e.fraction));
  const V m = hn::IfThenElse(hn::IsFinite(factor), hn::MulAdd(factor, e.fraction, factor), rounded);
  const V y = TimesPow2(d, m, hn::Add(hn::Add(a.k, b.k), Integer(d, e.k)));
  const V limit = hn::IfThenElseZero(hn::Gt(x.hi, hn::Zero(d)), hn::Inf(d));
  return hn::IfThenElse(hn::IsInf(x.hi), hn::Mul(factor, limit), y);
}

// (1 + e^x) / 2^kScaleExponent for x in [-kSigmoidSaturated, -kLogZero], of type V or Two<V>. With kExact, 1 less than the
// sum is as accurate as the sum; otherwise an e^x far below an ULP is left out.
template <bool kExact = false, class D, class X>
HWY_INLINE Two<hn::Vec<D>> OnePlusExp(D d, X x) {
  using C = ConstantsOf<D>;
  using V = hn::Vec<D>;
  const auto e = SplitShortExp(d, x);
  const V one = hn::Set(d, C::kUnscale), power = Pow2<-C::kScaleExponent>(d, e.k);
  if constexpr (kExact) {
    const Two<V> sum = TwoSum(one, power), total = FastTwoSum(sum.hi, hn::Mul(power, e.fraction));
    return {total.hi, hn::Add(total.lo, sum.lo)};
  } else {  // products with the power are exact
    const V total = hn::MulAdd(power, e.fraction, hn::Add(power, one));
    return {total, hn::MulAdd(power, e.fraction, hn::Add(hn::Sub(power, total), one))};
  }
}

// sigmoid(x) * 2^kScaleExponent for x in [kLogZero, kSigmoidSaturated]; above that it rounds to 1.
template <bool kExactRest = false, class D, class X>
HWY_INLINE Two<hn::Vec<D>> ScaledSigmoid(D d, X x) {
  return TwoReciprocal(d, OnePlusExp<kExactRest>(d, Negate(x)));
}

// tanh(a) for a in [0, kTanhOne]: hi + s P(s), with s the distance from a centre whose tanh is a number hi to 2^-36. Near 0,
// a + a P(a).
template <class D, class V>
HWY_INLINE V TabulatedTanh(D d, V a) {
  using C = ConstantsOf<D>;
  const hn::RebindToSigned<D> di;
  const V shifted = hn::Add(a, hn::Set(d, 1));
  const auto index = hn::ShiftRight<C::kMantissaBits - 2>(hn::BitCast(di, shifted));  // as for TabulatedTailRatio
  const V s = hn::Sub(a, EntryOf16(d, C::kTanhTable[0], index));
  V p = EntryOf16(d, C::kTanhTable[7], index);
  for (size_t i = 7; i-- > 2;) p = hn::MulAdd(p, s, EntryOf16(d, C::kTanhTable[i], index));
  const V hi = EntryOf16(d, C::kTanhTable[1], index);
  return hn::MulAdd(s, p, hn::IfThenElse(hn::Lt(shifted, hn::Set(d, 1.25f)), a, hi));
}

// -tanh(|x|), |x| <= kTanhSaturated, as an unevaluated sum: std::tanh. From expm1(-2|x|) / (2 + expm1(-2|x|)).
template <class D, class V>
HWY_INLINE Two<V> MinusTanhOfAbs(D d, V magnitude) {
  const V two = hn::Set(d, 2);
  const auto e = SplitExp(d, hn::Mul(magnitude, hn::Neg(two)));
  const Two<V> y = TimesPowerMinusOne(d, e, Pow2<0>(d, e.k));
  const Two<V> sum = FastTwoSum(two, y.hi);
  return TwoQuotient(d, y, Two<V>{sum.hi, hn::Add(sum.lo, y.lo)});
}

// ---------------------------------------------------------------- logarithms

// log(1 + f) - f for f in [sqrt(1/2) - 1, sqrt(2) - 1], relative to log(1 + f) better than 2^-25 / 2^-54.
template <class D, class V>
HWY_INLINE V Log1pCorrection(D d, V f) {
  const V s = hn::Div(f, hn::Add(hn::Set(d, 2), f));
  const V z = hn::Mul(s, s);
  const V r = hn::Mul(z, Polynomial(d, z, ConstantsOf<D>::kLog));
  const V half = hn::Mul(f, hn::Set(d, 0.5));
  // s (f^2 / 2 + r) - f^2 / 2, where rounding the last square would cost 1/8 ULP
  return FmaNeg(d, f, half, hn::Mul(s, hn::MulAdd(f, half, r)));
}

// log1p(e), with e = hi + lo in [0, 1]: for softplus and similar functions.
template <class D, class V>
HWY_INLINE Two<V> Log1pOfTail(D d, Two<V> e) {
  using C = ConstantsOf<D>;
  const V half = hn::Set(d, 0.5);
  // 1 + e > sqrt(2): log(1 + e) = ln 2 + log(1 + (e - 1) / 2)
  const auto large = hn::Gt(e.hi, hn::Set(d, C::kSqrt2Minus1));
  const Two<V> minus_one = FastTwoSum(hn::Set(d, -1), e.hi);
  const V f = hn::IfThenElse(large, hn::Mul(minus_one.hi, half), e.hi);
  const V f_low = hn::IfThenElse(large, hn::Mul(hn::Add(minus_one.lo, e.lo), half), e.lo);
  const V ln2 = hn::IfThenElseZero(large, hn::Set(d, C::kLn2));
  const V ln2_low = hn::IfThenElseZero(large, hn::Set(d, C::kLn2Rest));
  const Two<V> sum = FastTwoSum(ln2, f);
  const V low = hn::Add(hn::NegMulAdd(f, f_low, f_low), ln2_low);  // f_low / (1 + f) to first order
  return {sum.hi, hn::Add(sum.lo, hn::Add(Log1pCorrection(d, f), low))};
}

// n log(2) + log(1 + f + f_low) for an integer n and f in the range of Log1pCorrection, as an unevaluated sum.
template <class D, class V>
HWY_INLINE Two<V> LogOfParts(D d, V n, V f, V f_low) {
  using C = ConstantsOf<D>;
  const Two<V> sum = FastTwoSum(hn::Mul(n, hn::Set(d, C::kLn2High)), f);
  // f_low / (1 + f) to first order
  const V low = hn::MulAdd(n, hn::Set(d, C::kLn2Low), hn::NegMulAdd(f, f_low, f_low));
  return {sum.hi, hn::Add(sum.lo, hn::Add(Log1pCorrection(d, f), low))};
}

// log(1 + x) for x >= 0, as an unevaluated sum: std::log1p.
template <class D, class V>
HWY_INLINE Two<V> Log1p(D d, Two<V> x) {
  using C = ConstantsOf<D>;
  const hn::RebindToSigned<D> di;
  const V one = hn::Set(d, 1);
  const Two<V> y = TwoSum(one, x.hi);
  // y = 2^k m with m in [sqrt(1/2), sqrt(2)), by the exponent of y / sqrt(1/2).
  const auto offset = hn::BitCast(di, hn::Set(d, C::kSqrtHalf));
  const auto k = hn::ShiftRight<C::kMantissaBits>(hn::Sub(hn::BitCast(di, y.hi), offset));
  const V inverse = Pow2<0>(d, hn::Neg(hn::Min(k, hn::Set(di, C::kExponentBias - 1))));
  const auto small = hn::Eq(k, hn::Zero(di));
  const V f = hn::IfThenElse(hn::RebindMask(d, small), x.hi, hn::MulSub(y.hi, inverse, one));
  const V f_low = hn::IfThenElse(hn::RebindMask(d, small), x.lo, hn::Mul(hn::Add(y.lo, x.lo), inverse));
  const Two<V> log = LogOfParts(d, hn::ConvertTo(d, k), f, f_low);
  const auto infinite = hn::Eq(x.hi, hn::Inf(d));
  return {hn::IfThenElse(infinite, x.hi, log.hi), hn::IfThenZeroElse(infinite, log.lo)};
}

// Logarithms have a short path for vectors of only positive normal numbers; each lane gets the same bits on either path.
template <class D, class V>
HWY_INLINE bool AreOrdinary(D d, V x) {
  return hn::AllTrue(d, hn::And(hn::Ge(x, hn::Set(d, ConstantsOf<D>::kMinNormal)), hn::Lt(x, hn::Inf(d))));
}

// x = 2^n m with m in [sqrt(1/2), sqrt(2)), for positive finite x.
template <class V>
struct LogSplit {
  V n, m;
};
template <bool kOrdinary, class D, class V>
HWY_INLINE LogSplit<V> SplitLog(D d, V x) {
  using C = ConstantsOf<D>;
  const hn::RebindToSigned<D> di;
  const auto tiny = hn::Lt(x, hn::Set(d, C::kMinNormal));
  const V normal = kOrdinary ? x : hn::IfThenElse(tiny, hn::Mul(x, hn::Set(d, C::kScale)), x);
  const auto offset = hn::BitCast(di, hn::Set(d, C::kSqrtHalf));
  const auto bits = hn::Sub(hn::BitCast(di, normal), offset);
  const V n = hn::ConvertTo(d, hn::ShiftRight<C::kMantissaBits>(bits));
  using TI = hn::TFromD<decltype(di)>;
  const V m = hn::BitCast(d, hn::Add(hn::And(bits, hn::Set(di, (TI{1} << C::kMantissaBits) - 1)), offset));
  return {kOrdinary ? n : hn::Sub(n, hn::IfThenElseZero(tiny, hn::Set(d, C::kScaleExponent))), m};
}

// 0 for positive finite x, else the value of log(x): -inf, inf or NaN.
template <class D, class V>
HWY_INLINE V LogOfSpecial(D d, V x) {
  const V zero = hn::Zero(d), infinity = hn::Inf(d);
  const V positive = hn::IfThenElseZero(hn::Eq(x, infinity), infinity);
  const V others = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(infinity), QuietNaN(d));
  return hn::IfThenElse(hn::Gt(x, zero), positive, others);
}

// log(p / q), std::log of the exact quotient. The short path, for numbers whose quotients are far from underflow, splits the
// quotient; the other path splits numerator and denominator, and gives the same bits.
template <class D, class V>
HWY_INLINE V ShortLogRatio(D d, V p, V q) {
  const hn::RebindToSigned<D> di;
  const V zero = hn::Zero(d), one = hn::Set(d, 1);
  const Two<V> ratio = TwoQuotient(d, Two<V>{p, zero}, Two<V>{q, zero}), y = FastTwoSum(ratio.hi, ratio.lo);
  const LogSplit<V> s = SplitLog<true>(d, y.hi);
  const auto shift = hn::Sub(hn::BitCast(di, s.m), hn::BitCast(di, y.hi));
  const V factor = hn::BitCast(d, hn::Add(hn::BitCast(di, one), shift));
  return Round(LogOfParts(d, s.n, hn::Sub(s.m, one), hn::Mul(y.lo, factor)));
}
// Whether both are in [kUnscale, kScale), by their bits, which are larger for negative numbers and NaN.
template <class D, class V>
HWY_INLINE bool HaveShortLogRatio(D d, V p, V q) {
  const hn::RebindToUnsigned<D> du;
  const auto least = hn::BitCast(du, hn::Set(d, ConstantsOf<D>::kUnscale));
  const auto range = hn::Sub(hn::BitCast(du, hn::Set(d, ConstantsOf<D>::kScale)), least);
  const auto above = hn::Max(hn::Sub(hn::BitCast(du, p), least), hn::Sub(hn::BitCast(du, q), least));
  return hn::AllTrue(du, hn::Lt(above, range));
}
template <class D, class V>
HWY_INLINE V LogRatio(D d, V p, V q) {
  using C = ConstantsOf<D>;
  if (HWY_LIKELY(HaveShortLogRatio(d, p, q))) return ShortLogRatio(d, p, q);
  const V zero = hn::Zero(d), half = hn::Set(d, 0.5), one = hn::Set(d, 1), two = hn::Set(d, 2);
  const LogSplit<V> ps = SplitLog<false>(d, p), qs = SplitLog<false>(d, q);
  const Two<V> ratio = TwoQuotient(d, Two<V>{ps.m, zero}, Two<V>{qs.m, zero});
  const Two<V> m = FastTwoSum(ratio.hi, ratio.lo);
  const auto large = hn::Ge(m.hi, hn::Set(d, 2 * C::kSqrtHalf)), small = hn::Lt(m.hi, hn::Set(d, C::kSqrtHalf));
  const V factor = hn::IfThenElse(large, half, hn::IfThenElse(small, two, one));
  const V carry = hn::Sub(hn::IfThenElseZero(large, one), hn::IfThenElseZero(small, one));
  const V n = hn::Add(hn::Sub(ps.n, qs.n), carry);
  const V log = Round(LogOfParts(d, n, hn::MulSub(m.hi, factor, one), hn::Mul(m.lo, factor)));
  const V special = hn::Sub(LogOfSpecial(d, p), LogOfSpecial(d, q));
  return hn::IfThenElse(hn::Eq(special, zero), log, special);
}

// std::log
template <bool kOrdinary, class D, class V>
HWY_INLINE Two<V> Log(D d, V x) {
  const V zero = hn::Zero(d);
  const LogSplit<V> s = SplitLog<kOrdinary>(d, x);
  const Two<V> log = LogOfParts(d, s.n, hn::Sub(s.m, hn::Set(d, 1)), zero);
  if constexpr (kOrdinary) return log;
  const V special = LogOfSpecial(d, x);
  const auto ordinary = hn::Eq(special, zero);
  return {hn::IfThenElse(ordinary, log.hi, special), hn::IfThenElseZero(ordinary, log.lo)};
}
template <class D, class V>
HWY_INLINE Two<V> Log(D d, V x) {
  return HWY_LIKELY(AreOrdinary(d, x)) ? Log<true>(d, x) : Log<false>(d, x);
}

// log(x) in the lanes of `of_x`, else log(1 - x), for x in [0, 1]: std::log, std::log1p(-x).
template <bool kOrdinary, class D, class M, class V>
HWY_INLINE V LogOrLog1m(D d, M of_x, V x, Two<V> y) {
  const V zero = hn::Zero(d), one = hn::Set(d, 1);
  const LogSplit<V> s = SplitLog<kOrdinary>(d, y.hi);
  const auto small = hn::AndNot(of_x, hn::Eq(s.n, zero));
  // Where the difference is not exact, n is 0 or -1.
  const V f = hn::IfThenElse(small, hn::Neg(x), hn::Sub(s.m, one));
  const V f_low = hn::IfThenZeroElse(hn::Or(small, of_x), hn::Add(y.lo, y.lo));
  const V log = Round(LogOfParts(d, s.n, f, f_low));
  if constexpr (kOrdinary) return log;
  const V special = LogOfSpecial(d, y.hi);
  return hn::IfThenElse(hn::Eq(special, zero), log, special);
}
template <class D, class M, class V>
HWY_INLINE V LogOrLog1m(D d, M of_x, V x) {
  Two<V> y = FastTwoDifference(hn::Set(d, 1), x);
  y.hi = hn::IfThenElse(of_x, x, y.hi);
  return HWY_LIKELY(AreOrdinary(d, y.hi)) ? LogOrLog1m<true>(d, of_x, x, y) : LogOrLog1m<false>(d, of_x, x, y);
}

// ---------------------------------------------------------------- the normal distribution

// e^(a^2 / 2) Phi(-a) = erfcx(a / sqrt 2) / 2 for a in [0, 15] (float), [0, 39] (double). Error of the unevaluated sum below
// 2^-24.9 / 2^-53.7. The ratio is smooth in m = k / (a + c). m is rounded to few bits, so that 1 - m and the line below are
// exact and only a small polynomial is rounded; `e` corrects for the rounding of m, to first order.
template <class D, class V>
HWY_INLINE Two<V> RationalTailRatio(D d, V a) {
  using C = ConstantsOf<D>;
  const V c = hn::Set(d, C::kTailShift), k = hn::Set(d, C::kTailNumerator);
  const V round = hn::Set(d, C::kTailRound), constant = hn::Set(d, C::kTailConstant);
  const V shifted = hn::Add(a, c);
  const V m = hn::Sub(hn::Add(hn::Div(k, shifted), round), round);
  const V e = FmaNeg(d, m, a, FmaNeg(d, c, m, k));
  const V q = Polynomial(d, hn::Sub(hn::Set(d, 1), m), C::kTail);
  const V line = hn::MulAdd(hn::Set(d, C::kTailSlope), m, constant);
  const V p = Fma(d, m, q, line);
  const V p_low = Fma(d, m, q, hn::Sub(line, p));
  const V slope = hn::MulSub(a, p, hn::Mul(constant, shifted));
  const V hi = hn::Mul(m, p);
  const V lo = hn::NegMulAdd(e, slope, hn::MulAdd(m, p_low, FmaSub(d, m, p, hi)));
  return FastTwoSum(hi, lo);
}

// The same for floats: a polynomial in each of 16 intervals, four to a binade of a + 1. Error of the unevaluated sum below
// 2^-25.9. At 16 lanes 1.3 times as fast as the rational form; without fused multiply-add, gelu came to 2.0 ULP.
template <class D, class V>
HWY_INLINE Two<V> TabulatedTailRatio(D d, V a) {
  using C = ConstantsOf<D>;
  const hn::RebindToSigned<D> di;
  const auto bits = hn::BitCast(di, hn::Add(a, hn::Set(d, 1)));
  const auto index = hn::ShiftRight<C::kMantissaBits - 2>(bits);  // its low 4 bits count: 12 for the first interval
  const auto half = hn::Set(di, 1 << (C::kMantissaBits - 3));
  const V centre = hn::BitCast(d, hn::Or(hn::And(bits, hn::Set(di, ~((1 << (C::kMantissaBits - 2)) - 1))), half));
  const V s = hn::Sub(a, hn::Sub(centre, hn::Set(d, 1)));
  V q = EntryOf16(d, C::kTailTable[7], index);
  for (size_t i = 7; i-- > 1;) q = hn::MulAdd(q, s, EntryOf16(d, C::kTailTable[i], index));
  // Row 1 is the low part of row 0: the polynomial's constant term.
  return {EntryOf16(d, C::kTailTable[0], index), q};
}

template <class D, class V>
HWY_INLINE Two<V> NormalTailRatio(D d, V a) {
  if constexpr (kHasTables<D>) {
    return TabulatedTailRatio(d, a);
  } else {
    return RationalTailRatio(d, a);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_VMATH_INL_H_
