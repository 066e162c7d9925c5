// softmax and its family, as row operations: formulas only, written on the steps of layouts-inl.h. Their rows in rows.def
// make them generalised ufuncs.

#if defined(NONLIN_SIMD_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_SOFTMAX_INL_H_
#undef NONLIN_SIMD_SOFTMAX_INL_H_
#else
#define NONLIN_SIMD_SOFTMAX_INL_H_
#endif

#include <limits>

#include "simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

struct Softmax : RowFormula {
  static constexpr bool kHasExponentials = true;
  static constexpr bool kDense = true;
  template <class S, class>
  static constexpr auto RunDense = RunDenseRows<Softmax, S>;
  static constexpr size_t kNarrow = 7;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kRowOut);
  static constexpr Changes kChanges{true, 0, false, {kMinusInfinity, 0}};
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    const auto d = p.d;
    auto* out = r.template Row<1>();
    using EntryOf = Entry<decltype(d), P::kShort>;
    const auto* x = r.template Row<0>();
    auto* const kept = p.Keep(out, r.buffer);
    // Of more classes, the sum without a rest comes to 4.2 ULP.
    if (!EntryOf::kRest || p.classes <= kFewClasses<typename P::T>) {
      const auto exponentials = ExponentialsOf<EntryOf::kRestOfFew>(p, x, kept, out);
      exponentials.Transform(out, EntryOf(d, exponentials.sum));
    } else {
      const auto exponentials = ExponentialsOf<true>(p, x, kept, out);
      exponentials.Transform(out, EntryOf(d, exponentials.sum));
    }
  }

  // An entry of the result from its exponential.
  template <class D, bool kShort>
  struct Entry {
    static constexpr bool kRest = !kShort, kRestOfFew = kRest && sizeof(hn::TFromD<D>) == 8;  // of double, 4.4 ULP
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
  static constexpr size_t kShortSteps = 20;
};

struct LogSoftmax : RowFormula {
  static constexpr bool kHasExponentials = true;
  static constexpr bool kDense = true, kTakesLogarithm = true;
  template <class S, class>
  static constexpr auto RunDense = RunDenseRows<LogSoftmax, S>;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kRowOut);
  static constexpr Changes kChanges{true, 0, false, {kMinusInfinity, kMinusInfinity}};
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    const auto* x = r.template Row<0>();
    const auto sum = SumRow(p, x);
    TransformRow(p, x, r.template Row<1>(), Entry<typename P::D, false>(p.d, sum));
  }

  // An entry of the result from its entry of x.
  template <class D, bool>
  struct Entry {
    static constexpr bool kRest = true, kRestOfFew = true;
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
  static constexpr size_t kShortSteps = 32;
};

struct LogSumExp : RowFormula {
  static constexpr bool kHasExponentials = true;
  static constexpr size_t kNarrow = 16;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kScalarOut);
  static constexpr Changes kChanges{true, -1, false, {kMinusInfinity}};
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    const auto sum = SumRow(p, r.template Row<0>());
    p.StoreScalar(Round(Logsumexp(sum)), r.template Row<1>());
  }
};

// log |sum b e^x| and the sum's sign. With m = max(x + log |b|), no b e^(x - m) overflows. Terms at the maximum are added up
// apart, so that the others keep their digits beside them.
struct LogSumExpSigned : RowFormula {
  static constexpr size_t kNarrow = 16;
  static constexpr OperandList kOperands =
      Operands(Operand::kRowIn, Operand::kRowIn, Operand::kScalarOut, Operand::kScalarOut);
  static constexpr Changes kChanges{true, -1, false, {kMinusInfinity, 0}};
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const V zero = hn::Zero(d), one = hn::Set(d, 1), lowest = hn::Neg(hn::Inf(d)), infinity = hn::Inf(d);
    const auto* x = r.template Row<0>();
    const auto* b = r.template Row<1>();
    const auto size = [=](V v, V factor) NONLIN_LOOP {
      const V sum = hn::Add(v, Round(Log(d, hn::Abs(factor))));
      return hn::IfThenElse(hn::Eq(factor, zero), lowest, sum);
    };
    V m = lowest;
    ForEach(p, x, 0, p.Steps(), hn::GetLane(lowest),
            [&](size_t i, V v, auto) NONLIN_LOOP { m = hn::Max(size(v, p.LoadRow(b, i)), m); });
    m = p.Max(m);
    const auto is_infinite = hn::Eq(m, infinity);
    const V reference = hn::IfThenElseZero(hn::IsFinite(m), m);
    V sums[2];  // at the maximum, and elsewhere
    SumsOf<2>(p, x, sums, [=](size_t i, V v, V* terms) NONLIN_LOOP {
      const V factor = p.LoadRow(b, i), s = size(v, factor);
      const Two<V> difference = TwoSum(v, hn::Neg(reference));
      const Two<V> exponent{difference.hi, hn::IfThenElseZero(hn::IsFinite(difference.hi), difference.lo)};
      const V finite = ExpTimes(d, exponent, Two<V>{factor, zero});
      const auto at_top = hn::Eq(s, m);
      const V top = hn::IfThenElse(is_infinite, hn::CopySign(infinity, factor), finite);
      terms[0] = hn::IfThenElseZero(hn::AndNot(hn::Eq(s, lowest), at_top), top);
      terms[1] = hn::IfThenZeroElse(hn::Or(hn::Eq(s, lowest), hn::Or(at_top, is_infinite)), finite);
      terms[1] = hn::IfThenElse(hn::IsNaN(s), s, terms[1]);
    });
    const Two<V> sum = TwoSum(sums[0], sums[1]);
    const V signs = hn::IfThenElse(hn::Gt(sum.hi, zero), one, hn::IfThenElse(hn::Lt(sum.hi, zero), hn::Neg(one), sum.hi));
    const Two<V> log = LogOfSum(d, Two<V>{hn::Abs(sum.hi), hn::Xor(sum.lo, hn::And(hn::SignBit(d), sum.hi))});
    const Two<V> total = TwoSum(reference, log.hi);
    const V low = hn::Add(total.lo, log.lo);
    p.StoreScalar(hn::Add(total.hi, hn::IfThenElseZero(hn::IsFinite(low), low)), r.template Row<2>());
    p.StoreScalar(signs, r.template Row<3>());
  }

 private:
  // log(x) for x >= 0
  template <class D, class V>
  static Two<V> LogOfSum(D d, Two<V> x) {
    const hn::RebindToSigned<D> di;
    const V one = hn::Set(d, 1);
    const LogSplit<V> s = SplitLog<false>(d, x.hi);
    const auto shift = hn::Sub(hn::BitCast(di, s.m), hn::BitCast(di, x.hi));  // of the exponent
    const V factor = hn::BitCast(d, hn::Add(hn::BitCast(di, one), shift));
    const V low = hn::IfThenElseZero(hn::Ge(x.hi, hn::Set(d, ConstantsOf<D>::kUnscale)), hn::Mul(x.lo, factor));
    const Two<V> log = LogOfParts(d, s.n, hn::Sub(s.m, one), low);
    const V special = LogOfSpecial(d, x.hi);
    const auto ordinary = hn::Eq(special, hn::Zero(d));
    return {hn::IfThenElse(ordinary, log.hi, special), hn::IfThenElseZero(ordinary, log.lo)};
  }
};

// ---------------------------------------------------------------- rows in pieces

// The maximum m of a row and r, the sum of e^(x - m) over all other entries: r + 1 has lost the digits of a small r. They
// are -inf and -1 for no entries, or such of -inf, and r is 0 beside inf.
struct PieceFormula : RowFormula {
  static constexpr bool kHasExponentials = true, kSharesFloatKernels = true, kWideScalars = true;
};

struct LogSumExpPartial : PieceFormula {
  static constexpr size_t kNarrow = 16;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kScalarOut, Operand::kScalarOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const auto sum = SumRow(p, r.template Row<0>());
    const V max = hn::Add(sum.max, hn::Mul(sum.rest.hi, hn::Zero(d)));  // or NaN
    p.StoreScalar(max, r.template Row<1>());
    p.StoreScalar(RestOf(d, max, sum.rest.hi), r.template Row<2>());
  }

  template <class D, class V>
  static V RestOf(D d, V max, V rest) {
    const V infinity = hn::Inf(d);
    const V infinite = hn::IfThenElse(hn::Eq(max, hn::Neg(infinity)), hn::Set(d, -1), max);  // or NaN
    return hn::IfThenElse(hn::IsFinite(max), rest, hn::IfThenZeroElse(hn::Eq(max, infinity), infinite));
  }
};

struct LogSumExpMerge : PieceFormula {
  static constexpr OperandList kOperands = Operands(Operand::kScalarIn, Operand::kScalarIn, Operand::kScalarIn,
                                                    Operand::kScalarIn, Operand::kScalarOut, Operand::kScalarOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const V m1 = p.LoadScalar(r.template Row<0>()), r1 = p.LoadScalar(r.template Row<1>());
    const V m2 = p.LoadScalar(r.template Row<2>()), r2 = p.LoadScalar(r.template Row<3>());
    const auto is_nan = hn::Or(hn::IsNaN(m1), hn::IsNaN(m2));
    const V m = hn::IfThenElse(is_nan, QuietNaN(d), hn::Add(hn::Max(m1, m2), hn::Zero(d)));  // 0.0 for 0.0 and -0.0
    // The piece with the larger maximum leads; of two alike that with the larger r, so that their order is no matter.
    const auto first = hn::Or(hn::Gt(m1, m2), hn::And(hn::Eq(m1, m2), hn::Ge(r1, r2)));
    const V lead = hn::IfThenElse(first, r1, r2), other = hn::IfThenElse(first, r2, r1);
    const Two<V> difference = TwoSum(hn::IfThenElse(first, m2, m1), hn::Neg(m));
    const Two<V> exponent{difference.hi, FiniteOrZero(difference.lo)};
    const V carried = ExpTimes(d, exponent, TwoSum(hn::Set(d, 1), other));
    const V sum = hn::Add(lead, hn::IfThenElse(hn::Eq(m1, m2), hn::Add(other, hn::Set(d, 1)), carried));
    p.StoreScalar(m, r.template Row<4>());
    p.StoreScalar(LogSumExpPartial::RestOf(d, m, sum), r.template Row<5>());
  }
};

struct LogSumExpFinish : PieceFormula {
  static constexpr OperandList kOperands = Operands(Operand::kScalarIn, Operand::kScalarIn, Operand::kScalarOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    p.StoreScalar(Round(Logsumexp(SumOfPieces(p, r.template Row<0>(), r.template Row<1>()))), r.template Row<2>());
  }

  // The sums of a row, as SumRow gives them.
  template <class P, class Scalar>
  static RowSum<ScaleOf<P>> SumOfPieces(const P& p, const Scalar* m, const Scalar* r) {
    using V = typename P::V;
    const V max = p.LoadScalar(m), rest = p.LoadScalar(r);
    const ScaleOf<P> scale(p.d, max);
    const Two<V> total = TwoProduct(p.d, TwoSum(hn::Set(p.d, 1), rest), scale.ExpOfMax(p.d, max));
    return {scale, max, {rest, hn::Zero(p.d)}, total};
  }
};

struct SoftmaxFrom : PieceFormula {
  static constexpr size_t kNarrow = 7;
  static constexpr OperandList kOperands =
      Operands(Operand::kScalarIn, Operand::kScalarIn, Operand::kRowIn, Operand::kRowOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    const auto d = p.d;
    const auto sum = LogSumExpFinish::SumOfPieces(p, r.template Row<0>(), r.template Row<1>());
    const auto scale = sum.scale;
    const Softmax::Entry<typename P::D, false> entry(d, sum);
    TransformRow(p, r.template Row<2>(), r.template Row<3>(),
                 [=](size_t i, typename P::V v) NONLIN_LOOP { return entry(i, scale.Exp(d, v)); });
  }
};

struct LogSoftmaxFrom : PieceFormula {
  static constexpr size_t kNarrow = 3;
  static constexpr OperandList kOperands =
      Operands(Operand::kScalarIn, Operand::kScalarIn, Operand::kRowIn, Operand::kRowOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    const auto sum = LogSumExpFinish::SumOfPieces(p, r.template Row<0>(), r.template Row<1>());
    TransformRow(p, r.template Row<2>(), r.template Row<3>(), LogSoftmax::Entry<typename P::D, false>(p.d, sum));
  }
};

// ---------------------------------------------------------------- gradients

// Gradients are linear in the upstream gradient: it takes their scale.
struct SoftmaxBackward : RowFormula {
  static constexpr size_t kNarrow = 3;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kRowIn, Operand::kRowOut);
  static constexpr Changes kChanges{true, 0, true, {0, 0, 0}};
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto* grad = r.template Row<0>();
    const auto* y = r.template Row<1>();
    const V dot = SumOf(p, grad, [=](size_t i, V g) NONLIN_LOOP { return hn::Mul(g, p.LoadRow(y, i)); });
    TransformRow(p, grad, r.template Row<2>(),
                 [=](size_t i, V g) NONLIN_LOOP { return hn::Mul(p.LoadRow(y, i), hn::Sub(g, dot)); });
  }
};

struct LogSoftmaxBackward : RowFormula {
  static constexpr size_t kNarrow = 3;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kRowIn, Operand::kRowOut);
  static constexpr Changes kChanges{true, 0, true, {0, kMinusInfinity, 0}};
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const auto* grad = r.template Row<0>();
    const auto* y = r.template Row<1>();
    const V zero = hn::Zero(d), one = hn::Set(d, 1);
    const V total = SumOf(p, grad, [](size_t, V g) NONLIN_LOOP { return g; });
    TransformRow(p, grad, r.template Row<2>(), [=](size_t i, V g) NONLIN_LOOP {
      return hn::NegMulAdd(ExpTimes(d, Two<V>{p.LoadRow(y, i), zero}, Two<V>{one, zero}), total, g);
    });
  }
};

struct LogSumExpBackward : RowFormula {
  static constexpr bool kHasExponentials = true;
  static constexpr size_t kNarrow = 7;
  static constexpr OperandList kOperands = Operands(Operand::kScalarIn, Operand::kRowIn, Operand::kRowOut);
  static constexpr Changes kChanges{true, -1, false, {0, kMinusInfinity, 0}, true};
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    auto* out = r.template Row<2>();
    const auto exponentials = ExponentialsOf<!P::kShort>(p, r.template Row<1>(), p.Keep(out, r.buffer), out);
    const ScaledSoftmax gradient(p.d, exponentials.sum, p.LoadScalar(r.template Row<0>()));
    exponentials.Transform(out, [=](size_t, V e) NONLIN_LOOP { return gradient(e); });
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_SOFTMAX_INL_H_
