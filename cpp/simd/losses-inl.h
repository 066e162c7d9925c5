// Losses and their gradients, as row operations. A loss is a struct with the kernels `OfRow`, for a target per entry, and
// `OfClass`, for a target that is a class; its row in losses.def makes it functions. Checks and reductions are made above
// the kernels.

#if defined(NONLIN_SIMD_LOSSES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_LOSSES_INL_H_
#undef NONLIN_SIMD_LOSSES_INL_H_
#else
#define NONLIN_SIMD_LOSSES_INL_H_
#endif

#include "simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// What a kernel computes.
enum class Want { kLoss, kGradient, kBoth };

// The operands of a loss: a row, its target, a weight for each entry, options; for a gradient the row's upstream gradient;
// then the loss, the gradient, or both.
enum LossOperand { kInput, kTarget, kWeight, kFirstOption };

template <Want kWant>
constexpr OperandList LossOperands(OperandList list, Operand loss = Operand::kScalarOut) {
  if (kWant != Want::kLoss) list.kinds[list.count++] = Operand::kScalarIn;
  if (kWant != Want::kGradient) list.kinds[list.count++] = loss;
  if (kWant != Want::kLoss) list.kinds[list.count++] = Operand::kRowOut;
  return list;
}

constexpr OperandList Joined(OperandList list, const OperandList& more) {
  for (int k = 0; k < more.count; ++k) list.kinds[list.count++] = more.kinds[k];
  return list;
}

template <Want kWant, int kOptions>
struct Places {
  static constexpr size_t kUpstream = kFirstOption + kOptions;
  static constexpr size_t kLoss = kUpstream + (kWant == Want::kLoss ? 0 : 1);
  static constexpr size_t kGradient = kUpstream + (kWant == Want::kBoth ? 2 : 1);
};

// factor * v, but 0 if the factor is 0, even for infinite v
template <class D, class V>
HWY_INLINE V TimesOrZero(D d, V factor, V v) {
  return hn::IfThenZeroElse(hn::Eq(factor, hn::Zero(d)), hn::Mul(factor, v));
}

// ---------------------------------------------------------------- a sum over entries
//
// Formula::Term(d, x, y, o) is the loss of an entry x with the target y, Formula::Slope its derivative with respect to x; o
// is what Formula::OptionsOf makes of the formula's own options for a step, 1 where it has none.

// A row of classes; or, of a loss without an axis, an entry, or a piece of them whose losses are added up.
enum class Terms { kOfRow, kOfEntry, kOfPiece };

// The sum of f(step, v) over a row, in double from the first term on.
template <class P, class S, class F>
HWY_INLINE double DoubleSumOf(const P& p, const S* row, F f) {
  if constexpr (std::is_same_v<typename P::T, double>) {
    return hn::GetLane(SumOf(p, row, f));
  } else {
    const hn::ScalableTag<double> dd;
    constexpr size_t kHalves = HWY_TARGET == HWY_SCALAR ? 1 : 2;
    hn::Vec<decltype(dd)> sums[P::kParts * kHalves];
    for (auto& sum : sums) sum = hn::Zero(dd);
    ForEach(p, row, 0, p.Steps(), 0, [&](size_t i, typename P::V v, auto step) NONLIN_LOOP {
      auto term = f(i, v);
      if constexpr (step.kTail) term = hn::IfThenElseZero(hn::FirstN(p.d, p.TailLanes()), term);
      auto* const to = sums + i % P::kParts * kHalves;
#if HWY_TARGET == HWY_SCALAR  // which has no halves
      to[0] = hn::Add(to[0], hn::PromoteTo(dd, term));
#else
      const hn::Half<typename P::D> half;
      to[0] = hn::Add(to[0], hn::PromoteTo(dd, hn::LowerHalf(half, term)));
      to[1] = hn::Add(to[1], hn::PromoteTo(dd, hn::UpperHalf(half, term)));
#endif
    });
    return hn::GetLane(FoldLanes<false, hn::MaxLanes(dd)>(dd, sums, P::kParts * kHalves, false).hi);
  }
}

template <class Formula, Want kWant, Terms kTerms>
struct SumOfTerms : RowFormula {
  static constexpr size_t kNarrow = kTerms == Terms::kOfPiece ? 0 : RowFormula::kNarrow;
  static constexpr bool kInPlace = kTerms != Terms::kOfEntry, kSideBySide = kTerms != Terms::kOfPiece;
  using At = Places<kWant, Formula::kOptions.count>;
  static constexpr OperandList kOperands =
      LossOperands<kWant>(Joined(Operands(Operand::kRowIn, Operand::kRowIn, Operand::kOptionalIn), Formula::kOptions),
                          kTerms == Terms::kOfPiece ? Operand::kSumOut : Operand::kScalarOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    using T = typename P::T;
    const auto d = p.d;
    const auto* x = r.template Row<kInput>();
    const auto* y = r.template Row<kTarget>();
    const T* weight = r.template Row<kWeight>();
    const auto options = Formula::OptionsOf(p, r);
    const auto term = [=](size_t i, V v) NONLIN_LOOP {
      const V value = Formula::Term(d, v, p.LoadRow(y, i), options(i));
      return weight == nullptr ? value : TimesOrZero(d, p.LoadRow(weight, i), value);
    };
    if constexpr (kWant == Want::kLoss) {
      StoreSum(p, x, r.template Row<At::kLoss>(), term);
    } else {
      const V upstream = p.LoadScalar(r.template Row<At::kUpstream>());
      auto* out = r.template Row<At::kGradient>();
      const auto slope = [=](size_t i, V v) NONLIN_LOOP {
        const V by = weight == nullptr ? upstream : hn::Mul(upstream, p.LoadRow(weight, i));
        return TimesOrZero(d, by, Formula::Slope(d, v, p.LoadRow(y, i), options(i)));
      };
      if constexpr (kWant == Want::kGradient) {
        TransformRow(p, x, out, slope);
      } else {
        StoreSum(p, x, r.template Row<At::kLoss>(), [=](size_t i, V v) NONLIN_LOOP {
          const V value = term(i, v), gradient = slope(i, v);
          p.StoreRow(gradient, out, i);  // last, as the result may overwrite the target
          return value;
        });
      }
    }
  }

 private:
  template <class P, class S, class To, class F>
  static HWY_INLINE void StoreSum(const P& p, const S* x, To* to, F f) {
    if constexpr (kTerms == Terms::kOfPiece) {
      *to = DoubleSumOf(p, x, f);
    } else if constexpr (kTerms == Terms::kOfEntry) {
      p.StoreScalar(hn::Add(f(0, p.LoadRow(x, 0)), hn::Zero(p.d)), to);  // 0.0 for -0.0, as a sum
    } else {
      p.StoreScalar(SumOf(p, x, f), to);
    }
  }
};

// The same for a target that is a class: y is 1 there, and 0 elsewhere.
template <class Formula, Want kWant>
struct TermOfClass : RowFormula {
  static constexpr size_t kNarrow = 3;
  static constexpr bool kOwnEntryOnly = kWant == Want::kLoss;
  using At = Places<kWant, 0>;
  static constexpr OperandList kOperands =
      LossOperands<kWant>(Operands(Operand::kRowIn, Operand::kIndexIn, Operand::kOptionalIn));
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const V zero = hn::Zero(d), one = hn::Set(d, 1);
    const auto* x = r.template Row<kInput>();
    const auto target = p.LoadClass(r.template Index<kTarget>());
    const auto* weight = r.template Row<kWeight>();
    const auto counts = p.Counts(target);
    const V w = weight == nullptr ? one : p.LoadAt(weight, target);
    const V v = p.LoadAt(x, target);  // before it may be overwritten
    if constexpr (kWant != Want::kGradient) {
      const V loss = TimesOrZero(d, w, Formula::Term(d, v, one, one));
      p.StoreScalar(hn::IfThenElseZero(counts, loss), r.template Row<At::kLoss>());
    }
    if constexpr (kWant != Want::kLoss) {
      auto* out = r.template Row<At::kGradient>();
      const V upstream = p.LoadScalar(r.template Row<At::kUpstream>());
      const V slope = hn::Mul(upstream, TimesOrZero(d, w, Formula::Slope(d, v, one, one)));
      const V own = hn::IfThenElseZero(counts, slope);
      FillRow(p, out, [=](size_t i) NONLIN_LOOP { return p.Replace(target, i, zero, own); });
    }
  }
};

struct LossFormula {
  static constexpr bool kOfProbabilities = false;  // refused outside [0, 1]
  static constexpr OperandList kOptions = {};
  template <class P, class R>
  static auto OptionsOf(const P& p, const R&) {
    const auto one = hn::Set(p.d, 1);
    return [=](size_t) NONLIN_LOOP { return one; };
  }
};

// Of rows, or without an axis.
template <class Formula>
struct TermLoss : LossFormula {
  template <Want kWant>
  using OfRow = SumOfTerms<Formula, kWant, Terms::kOfRow>;
  template <Want kWant>
  using OfClass = TermOfClass<Formula, kWant>;
};
template <class Formula>
struct EntryLoss : LossFormula {
  template <Want kWant>
  using OfRow = SumOfTerms<Formula, kWant, Terms::kOfEntry>;
  template <Want kWant>
  using OfPiece = SumOfTerms<Formula, kWant, Terms::kOfPiece>;
};

struct NegativeLogLikelihood : TermLoss<NegativeLogLikelihood> {
  template <class D, class V>
  static V Term(D d, V x, V y, V) {
    return hn::Neg(TimesOrZero(d, y, x));
  }
  template <class D, class V>
  static V Slope(D, V, V y, V) {
    return hn::Neg(y);
  }
};

// Losses on probabilities have torch's limits: logarithms are at least -100, divisors at least 1e-12.
template <class D, class V>
HWY_INLINE V LimitedLog(D d, V log) {
  return AtLeast(log, hn::Set(d, -100));
}
template <class D, class V>
HWY_INLINE V LimitedDivisor(D d, V p) {
  return AtLeast(p, hn::Set(d, hn::TFromD<D>(1e-12)));
}

// 1 for a number that losses on probabilities refuse, else 0. NaN is not refused.
template <class D, class V>
HWY_INLINE V CountOneOutside(D d, V p) {
  const V zero = hn::Zero(d), one = hn::Set(d, 1);
  return hn::IfThenElseZero(hn::Or(hn::Lt(p, zero), hn::Gt(p, one)), one);
}

struct CountOutside : RowFormula {
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kScalarOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const V count = SumOf(p, r.template Row<0>(), [=](size_t, V v) NONLIN_LOOP { return CountOneOutside(p.d, v); });
    p.StoreScalar(count, r.template Row<1>());
  }
};

struct CountOutsideOfClass : RowFormula {
  static constexpr bool kOwnEntryOnly = true;
  static constexpr OperandList kOperands = Operands(Operand::kRowIn, Operand::kIndexIn, Operand::kScalarOut);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    const auto target = p.LoadClass(r.template Index<1>());
    const auto v = p.LoadAt(r.template Row<0>(), target);
    p.StoreScalar(hn::IfThenElseZero(p.Counts(target), CountOneOutside(p.d, v)), r.template Row<2>());
  }
};

struct CategoricalCrossEntropy : TermLoss<CategoricalCrossEntropy> {
  static constexpr bool kOfProbabilities = true;
  template <class D, class V>
  static V Term(D d, V p, V y, V) {
    return hn::Neg(TimesOrZero(d, y, LimitedLog(d, Round(Log(d, p)))));
  }
  template <class D, class V>
  static V Slope(D d, V p, V y, V) {
    return hn::Neg(TimesOrZero(d, y, hn::Div(hn::Set(d, 1), LimitedDivisor(d, p))));
  }
};

struct BinaryCrossEntropy : EntryLoss<BinaryCrossEntropy> {
  static constexpr bool kOfProbabilities = true;
  template <class D, class V>
  static V Term(D d, V p, V y, V) {
    const V zero = hn::Zero(d), one = hn::Set(d, 1);
    const auto positive = hn::Eq(y, one);
    const bool hard = hn::AllTrue(d, hn::Or(positive, hn::Eq(y, zero)));
    if (HWY_LIKELY(hard)) return hn::Neg(LimitedLog(d, LogOrLog1m(d, positive, p)));
    const V likely = LimitedLog(d, Round(Log(d, p))), unlikely = LimitedLog(d, LogOrLog1m(d, hn::FirstN(d, 0), p));
    return hn::Neg(hn::MulAdd(y, likely, hn::Mul(hn::Sub(one, y), unlikely)));
  }
  // -y / p + (1 - y) / (1 - p), where neither divisor may vanish
  template <class D, class V>
  static V Slope(D d, V p, V y, V) {
    const V one = hn::Set(d, 1), rest = hn::Sub(one, p);
    const V divisor = LimitedDivisor(d, p), other = LimitedDivisor(d, rest);
    const auto ordinary = hn::And(hn::Eq(rest, other), hn::Eq(p, divisor));  // the divisors add up to 1
    const V sides = hn::MulSub(hn::Sub(one, y), divisor, hn::Mul(y, other));
    const V difference = hn::IfThenElse(ordinary, hn::Sub(divisor, y), sides);
    return hn::Div(difference, hn::Mul(divisor, other));
  }
};

struct BinaryCrossEntropyWithLogits : EntryLoss<BinaryCrossEntropyWithLogits> {
  static constexpr OperandList kOptions = Operands(Operand::kOptionalIn);  // the weight of positive targets
  template <class P, class R>
  static auto OptionsOf(const P& p, const R& r) {
    const auto one = hn::Set(p.d, 1);
    const auto* weight = r.template Row<kFirstOption>();
    return [=](size_t i) NONLIN_LOOP { return weight == nullptr ? one : p.LoadRow(weight, i); };
  }
  // (1 - y) softplus(x) + q y softplus(-x)
  template <class D, class V>
  static V Term(D d, V x, V y, V q) {
    const V zero = hn::Zero(d), unscale = hn::Set(d, ConstantsOf<D>::kUnscale);
    const V negative = hn::Sub(hn::Set(d, 1), y), positive = hn::Mul(q, y);
    const Two<V> e = ScaledExp(d, AtLeast(hn::Neg(hn::Abs(x)), hn::Set(d, ConstantsOf<D>::kLogZero)));
    const V log = Round(Log1pOfTail(d, Two<V>{hn::Mul(e.hi, unscale), hn::Mul(e.lo, unscale)}));
    const V factor = hn::IfThenElse(hn::Gt(x, zero), negative, positive);
    return hn::MulAdd(hn::Add(negative, positive), log, TimesOrZero(d, factor, hn::Abs(x)));
  }
  template <class D, class V>
  static V Slope(D d, V x, V y, V q) {
    const V zero = hn::Zero(d), one = hn::Set(d, 1);
    const V negative = hn::Sub(one, y), positive = hn::Mul(q, y);
    const V e = Unscale(d, ScaledExp(d, AtLeast(hn::Neg(hn::Abs(x)), hn::Set(d, ConstantsOf<D>::kLogZero))));
    const V larger = hn::Div(one, hn::Add(one, e)), smaller = hn::Mul(e, larger);
    const auto above = hn::Gt(x, zero);
    const V sigmoid = hn::IfThenElse(above, larger, smaller), opposite = hn::IfThenElse(above, smaller, larger);
    return hn::MulSub(negative, sigmoid, hn::Mul(positive, opposite));
  }
};

// A factor q^gamma of a cross-entropy l = -log(p), for q = 1 - p: `power`. In gradients it becomes `slope`, q^gamma (1 +
// gamma p l / q).
template <class D>
struct Focus {
  using V = hn::Vec<D>;
  V power, slope;
  HWY_INLINE Focus(D d, V gamma, V p, V q, V l) {
    const V zero = hn::Zero(d), one = hn::Set(d, 1);
    power = Power(d, q, gamma);
    const V ratio = hn::IfThenElse(hn::Eq(q, zero), one, hn::Div(l, q));
    slope = hn::Mul(power, hn::MulAdd(gamma, TimesOrZero(d, p, ratio), one));
  }
  static HWY_INLINE V Power(D d, V q, V gamma) {
    V power = hn::Mul(q, q);
    if (HWY_UNLIKELY(!hn::AllTrue(d, hn::Eq(gamma, hn::Set(d, 2))))) RaiseTo(d, gamma, q, power);
    return power;
  }
  // For any gamma, 0^0 being 1. Inline in every kernel it takes 0.3 MB.
  static HWY_NOINLINE void RaiseTo(D d, const V& gamma, const V& q, V& power) {
    const V zero = hn::Zero(d), one = hn::Set(d, 1);
    const Two<V> log = Log(d, q), exponent = TwoProduct(d, gamma, FastTwoSum(log.hi, log.lo));
    power = hn::IfThenElse(hn::Eq(gamma, zero), one, ExpTimes(d, exponent, Two<V>{one, zero}));
  }
};

struct BinaryFocalLossWithLogits : EntryLoss<BinaryFocalLossWithLogits> {
  // gamma, and the factors of positive and of negative targets
  static constexpr OperandList kOptions = Operands(Operand::kScalarIn, Operand::kScalarIn, Operand::kScalarIn);
  template <class V>
  struct Options {
    V gamma, positive, negative;
  };
  template <class P, class R>
  static auto OptionsOf(const P& p, const R& r) {
    const Options<typename P::V> options{p.LoadScalar(r.template Row<kFirstOption>()),
                                         p.LoadScalar(r.template Row<kFirstOption + 1>()),
                                         p.LoadScalar(r.template Row<kFirstOption + 2>())};
    return [=](size_t) NONLIN_LOOP { return options; };
  }

  // sigmoid(-|x|) and sigmoid(|x|); q = (1 - y) sigmoid(x) + y sigmoid(-x); alpha q^gamma
  template <class D>
  struct Parts {
    using V = hn::Vec<D>;
    V smaller, larger, negative, positive, q, factor;
    HWY_INLINE Parts(D d, V x, V y, const Options<V>& o) {
      const V one = hn::Set(d, 1);
      const V e = Unscale(d, ScaledExp(d, AtLeast(hn::Neg(hn::Abs(x)), hn::Set(d, ConstantsOf<D>::kLogZero))));
      larger = hn::Div(one, hn::Add(one, e));
      smaller = hn::Mul(e, larger);
      const V other = hn::Sub(one, y);
      const auto above = hn::Gt(x, hn::Zero(d));
      negative = hn::Mul(other, hn::IfThenElse(above, larger, smaller));
      positive = hn::Mul(y, hn::IfThenElse(above, smaller, larger));
      q = hn::Add(negative, positive);
      factor = hn::Mul(hn::MulAdd(o.positive, y, hn::Mul(o.negative, other)), Focus<D>::Power(d, q, o.gamma));
    }
  };
  template <class D, class V>
  static V LogLoss(D d, V x, V y) {
    return BinaryCrossEntropyWithLogits::Term(d, x, y, hn::Set(d, 1));
  }

  template <class D, class V>
  static V Term(D d, V x, V y, const Options<V>& o) {
    return TimesOrZero(d, Parts<D>(d, x, y, o).factor, LogLoss(d, x, y));
  }
  // alpha q^gamma (p - y + gamma (1 - 2 y) p (1 - p) l / q)
  template <class D, class V>
  static V Slope(D d, V x, V y, const Options<V>& o) {
    const V one = hn::Set(d, 1);
    const Parts<D> parts(d, x, y, o);
    const V ratio = hn::IfThenElse(hn::Eq(parts.q, hn::Zero(d)), one, hn::Div(parts.smaller, parts.q));
    const V of_q = hn::Mul(hn::Mul(o.gamma, hn::Sub(one, hn::Add(y, y))), hn::Mul(ratio, parts.larger));
    const V slope = hn::Add(hn::Sub(parts.negative, parts.positive), TimesOrZero(d, of_q, LogLoss(d, x, y)));
    return TimesOrZero(d, parts.factor, slope);
  }
};

struct KlDivergence : TermLoss<KlDivergence> {
  template <class D, class V>
  static V Term(D d, V q, V p, V) {
    return TimesOrZero(d, p, LogRatio(d, p, q));
  }
  template <class D, class V>
  static V Slope(D d, V q, V p, V) {
    return hn::Neg(hn::IfThenZeroElse(hn::Eq(p, hn::Zero(d)), hn::Div(p, q)));
  }
};

// ---------------------------------------------------------------- losses of softmax
//
// A row's loss is sum_i t_i (lse - z_i) + z_loss lse^2, for target weights t_i:
//   class k:          t_i = (1 - smoothing) w_k [i = k] + smoothing / C w_i
//   probabilities y:  t_i = w_i ((1 - smoothing) y_i + smoothing / C)
// and its gradient is grad (p_i A - t_i), with A = sum_i t_i + 2 z_loss lse. Where p_i is above 1 / 2 this is computed as
// grad ((A - t_i) - (1 - p_i) A), with 1 - p_i = rest / (1 + rest): a prediction that is nearly right keeps its digits.

template <class V>
struct LossOptions {
  V keep, uniform;  // 1 - smoothing, smoothing / C
  V z_loss;
  bool smooth, has_z_loss;
  // The slope of z_loss lse^2. Without z_loss, nothing waits for the logarithm.
  HWY_INLINE V SlopeOf(V lse) const { return has_z_loss ? hn::Mul(hn::Add(z_loss, z_loss), lse) : z_loss; }
};

template <class P, class V>
HWY_INLINE LossOptions<V> MakeOptions(const P& p, V smoothing, V z_loss) {
  using T = hn::TFromD<typename P::D>;
  const V uniform = hn::Div(smoothing, hn::Set(p.d, static_cast<T>(p.classes)));
  return {hn::Sub(hn::Set(p.d, 1), smoothing), uniform, z_loss, hn::GetLane(smoothing) > 0, hn::GetLane(z_loss) != 0};
}

template <class Scale>
HWY_INLINE auto IsLikely(const RowSum<Scale>& sum) {  // whether p of the maximum is above 1 / 2
  return hn::Lt(sum.rest.hi, hn::Set(typename Scale::D(), 1));
}

template <class Scale, class V = typename Scale::V>
HWY_INLINE V OneMinusTop(const RowSum<Scale>& sum) {  // 1 - p of the maximum
  const typename Scale::D d;
  const Two<V> total = TwoSum(hn::Set(d, 1), sum.rest.hi);
  return Round(TwoQuotient(d, sum.rest, Two<V>{total.hi, hn::Add(total.lo, sum.rest.lo)}));
}

enum CrossEntropyOption { kWeightSum = kFirstOption, kSmoothing, kZLoss };

constexpr OperandList CrossEntropyInputs(Operand target) {
  return Operands(Operand::kRowIn, target, Operand::kOptionalIn, Operand::kScalarIn, Operand::kScalarIn, Operand::kScalarIn);
}

// The gradient of rows whose targets are classes: softmax times a factor, but for the targets' own entries.
template <class D>
struct ClassGradient {
  using V = hn::Vec<D>;
  ScaledSoftmax<D> softmax;
  V own_entry, uniform;  // times its weight, the latter is subtracted from the other entries

  template <class Sum>
  HWY_INLINE ClassGradient(D d, const Sum& sum, const LossOptions<V>& options, V grad, V logit, V weight, V weight_sum,
                           V lse)
      : ClassGradient(d, sum, options, grad, logit, weight, Totals(d, options, weight, weight_sum, options.SlopeOf(lse))) {}

 private:
  struct Totals {
    V own, others, all, all_low;
    HWY_INLINE Totals(D d, const LossOptions<V>& options, V weight, V weight_sum, V z_term)
        : own(hn::Mul(options.keep, weight)), others(z_term), all(own), all_low(hn::Zero(d)) {
      if (!options.smooth && !options.has_z_loss) return;
      others = hn::MulAdd(options.uniform, hn::Sub(weight_sum, weight), z_term);
      const Two<V> spread = TwoProduct(d, options.uniform, weight_sum), first = TwoSum(own, spread.hi);
      const Two<V> both = TwoSum(first.hi, z_term);
      all = both.hi;
      all_low = hn::Add(both.lo, hn::Add(first.lo, spread.lo));
    }
  };
  template <class Sum>
  HWY_INLINE ClassGradient(D d, const Sum& sum, const LossOptions<V>& options, V grad, V logit, V weight,
                           const Totals& totals)
      : softmax(d, sum, TwoProduct(d, grad, Two<V>{totals.all, totals.all_low})), uniform(hn::Mul(grad, options.uniform)) {
    V usual = softmax(sum.scale.Exp(d, logit));
    if (options.smooth) usual = hn::NegMulAdd(uniform, weight, usual);
    const V rest = hn::NegMulAdd(OneMinusTop(sum), totals.all, totals.others);
    const V top = IfFiniteElseNaN(d, sum.max, hn::Mul(grad, rest));
    const auto dominates = hn::And(hn::Eq(logit, sum.max), IsLikely(sum));
    own_entry = hn::IfThenElse(dominates, top, hn::NegMulAdd(grad, totals.own, usual));
  }
};

// The loss of a row whose target is a class. `spread` is what smoothing adds to it, beside the logarithm.
template <class D, class Sum, class V, class F>
HWY_INLINE V ClassLoss(D d, const Sum& sum, const LossOptions<V>& options, V logit, V weight, V weight_sum, V log,
                       F spread) {
  const V lse = hn::Add(sum.max, log);
  V loss = TimesOrZero(d, hn::Mul(options.keep, weight), hn::Add(hn::Sub(sum.max, logit), log));
  if (options.smooth) loss = hn::MulAdd(options.uniform, hn::MulAdd(weight_sum, log, spread()), loss);
  return hn::MulAdd(hn::Mul(options.z_loss, lse), lse, loss);
}

template <Want kWant, class S, class Scalar>
size_t RunDenseClasses(const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end, void* buffer);

template <Want kWant>
struct CrossEntropyOfClass : RowFormula {
  static constexpr size_t kNarrow = 16;
  using At = Places<kWant, 3>;
  static constexpr bool kWithGradient = kWant != Want::kLoss;
  static constexpr OperandList kOperands = LossOperands<kWant>(CrossEntropyInputs(Operand::kIndexIn));
  static constexpr bool kDense = true, kTakesLogarithm = true;
  static constexpr unsigned kDenseWithout = 1u << kWeight | 1u << kSmoothing | 1u << kZLoss;
  template <class S, class Scalar>
  static constexpr auto RunDense = RunDenseClasses<kWant, S, Scalar>;
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const V one = hn::Set(d, 1);
    const auto* z = r.template Row<kInput>();
    const auto target = p.LoadClass(r.template Index<kTarget>());
    const auto* weight = r.template Row<kWeight>();
    const V weight_sum = p.LoadScalar(r.template Row<kWeightSum>());
    const auto options = MakeOptions(p, p.LoadScalar(r.template Row<kSmoothing>()), p.LoadScalar(r.template Row<kZLoss>()));
    const auto counts = p.Counts(target);

    const V target_logit = p.LoadAt(z, target);  // before it may be overwritten
    const V target_weight = weight == nullptr ? one : p.LoadAt(weight, target);
    const auto weight_of = [=](size_t i) NONLIN_LOOP { return weight == nullptr ? one : p.LoadRow(weight, i); };
    typename P::T* buffer = nullptr;
    const void* result = nullptr;
    if constexpr (kWithGradient) {  // with smoothing, the logits are read once more
      auto* const out = r.template Row<At::kGradient>();
      buffer = options.smooth ? r.buffer : p.Keep(out, r.buffer);
      result = out;
    }
    const auto exponentials = ExponentialsOf<true>(p, z, buffer, result);
    const auto& sum = exponentials.sum;
    const V log = IfFiniteElseNaN(d, sum.max, LogOfSum(d, sum.rest));

    if constexpr (kWant != Want::kGradient) {
      const V loss = ClassLoss(d, sum, options, target_logit, target_weight, weight_sum, log, [&]() NONLIN_LOOP {
        return SumOf(p, z, [=](size_t i, V v) NONLIN_LOOP { return TimesOrZero(d, weight_of(i), hn::Sub(sum.max, v)); });
      });
      p.StoreScalar(hn::IfThenElseZero(counts, loss), r.template Row<At::kLoss>());
    }
    if constexpr (kWithGradient) {
      auto* const out = r.template Row<At::kGradient>();
      const ClassGradient<typename P::D> gradient(d, sum, options, p.LoadScalar(r.template Row<At::kUpstream>()),
                                                  target_logit, target_weight, weight_sum, hn::Add(sum.max, log));
      const auto softmax = gradient.softmax;
      const V own_entry = gradient.own_entry, uniform = gradient.uniform;
      if (options.smooth) {
        exponentials.Transform(out, [=](size_t i, V e) NONLIN_LOOP {
          const V g = hn::NegMulAdd(uniform, weight_of(i), softmax(e));
          return hn::IfThenElseZero(counts, p.Replace(target, i, g, own_entry));
        });
      } else {
        exponentials.Transform(out, [=](size_t i, V e) NONLIN_LOOP {
          return hn::IfThenElseZero(counts, p.Replace(target, i, softmax(e), own_entry));
        });
      }
    }
  }
};

#if HWY_HAVE_SCALABLE || HWY_TARGET == HWY_SCALAR
template <Want kWant, class S, class Scalar>
size_t RunDenseClasses(const RowPlan&, const RowOperand*, size_t begin, size_t, void*) {
  return begin;
}
#else
// The kernel of dense rows, without weights, smoothing and z_loss.
template <Want kWant, class S, class Scalar>
HWY_NOINLINE size_t RunDenseClasses(const RowPlan& plan, const RowOperand* operands, size_t begin, size_t end,
                                    void* buffer) {
  using T = Computed<S>;
  using P = Across<T, kIsShort<CrossEntropyOfClass<kWant>, S, Scalar> >;
  using D = typename P::D;
  using V = typename P::V;
  using At = Places<kWant, 3>;
  using Gradient = ClassGradient<D>;
  constexpr bool kWithGradient = kWant != Want::kLoss;
  const P p{{}, plan.classes};
  const D d = p.d;
  const V zero = hn::Zero(d), one = hn::Set(d, 1);
  const size_t lanes = hn::Lanes(d), classes = p.classes;
  const LossOptions<V> options = MakeOptions(p, zero, zero);
  const DenseBuffers<T> buffers(plan, buffer);
  constexpr size_t kMaxRows = kMaxGroups * hn::MaxLanes(D());
  HWY_ALIGN T logits[kMaxRows], losses[kMaxRows], own_entries[kMaxRows], upstream[kMaxRows];
  HWY_ALIGN typename P::Index places[kMaxRows];
  alignas(Gradient) unsigned char memory[kMaxGroups * sizeof(Gradient)];  // see InChunks
  Gradient* const gradients = reinterpret_cast<Gradient*>(memory);
  const DenseLanes<P> rows(p);
  return ForDenseBatches<true, kWithGradient, S>(
      p, plan, operands[kInput], begin, end, buffers,
      [&](size_t row, size_t count, const S* from) NONLIN_LOOP {
        if constexpr (kWithGradient) {
          PackRows<Scalar>(operands[At::kUpstream], {1, lanes}, row, count, upstream);
          for (size_t i = 0; i < count; i += lanes) {
            if (!IsPlainUpstream(d, hn::Load(d, upstream + i))) return false;
          }
        }
        PackIndices(operands[kTarget], row, count, lanes, classes, places);
        for (size_t i = 0; i < count; ++i) logits[i] = LoadOne(from + i * classes + HWY_MAX(places[i], 0));
        return true;
      },
      [&](size_t i, const auto& sum) NONLIN_LOOP {
        const auto counts = p.Counts(p.LoadClass(places + i));
        const V logit = hn::Load(d, logits + i), log = IfFiniteElseNaN(d, sum.max, LogOfSum(d, sum.rest));
        if constexpr (kWant != Want::kGradient) {
          const V loss = ClassLoss(d, sum, options, logit, one, one, log, [=]() NONLIN_LOOP { return zero; });
          hn::Store(hn::IfThenElseZero(counts, loss), d, losses + i);
        }
        if constexpr (kWithGradient) {
          Gradient& gradient = gradients[i / lanes];
          gradient = Gradient(d, sum, options, hn::Load(d, upstream + i), logit, one, one, hn::Add(sum.max, log));
          hn::Store(gradient.own_entry, d, own_entries + i);
        }
      },
      [&](size_t row, size_t count, const S*) NONLIN_LOOP {
        if constexpr (kWant != Want::kGradient) {
          UnpackRows<Scalar, T>(operands[At::kLoss], {1, lanes}, row, count, losses, nullptr, false);
        }
        if constexpr (kWithGradient) {
          FillDense(
              p, rows, count, buffers, plan.stream, reinterpret_cast<S*>(operands[At::kGradient].data) + row * classes,
              [=](size_t i, size_t at, auto of_row)
                  NONLIN_LOOP { return Spread(d, gradients[i].softmax, of_row)(hn::Load(d, buffers.exponentials + at)); },
              [&](size_t i, S* to) NONLIN_LOOP {
                if (HWY_LIKELY(places[i] >= 0)) {
                  StoreOne(own_entries[i], to + places[i]);
                } else {
                  for (size_t j = 0; j < classes; ++j) StoreOne(T(0), to + j);
                }
              });
        }
      });
}
#endif

// With kDivergence the entropy of the target is subtracted, which gives the divergence of softmax from it; it has no
// options.
template <Want kWant, bool kDivergence>
struct CrossEntropyOfProbabilities : RowFormula {
  static constexpr size_t kNarrow = 16;
  using At = Places<kWant, kDivergence ? 0 : 3>;
  static constexpr OperandList kOperands = LossOperands<kWant>(
      kDivergence ? Operands(Operand::kRowIn, Operand::kRowIn, Operand::kOptionalIn) : CrossEntropyInputs(Operand::kRowIn));
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const auto* z = r.template Row<kInput>();
    const auto* y = r.template Row<kTarget>();
    const auto* weight = r.template Row<kWeight>();
    V smoothing = hn::Zero(d), z_loss = smoothing;
    if constexpr (!kDivergence) {
      smoothing = p.LoadScalar(r.template Row<kSmoothing>());
      z_loss = p.LoadScalar(r.template Row<kZLoss>());
    }
    const auto options = MakeOptions(p, smoothing, z_loss);

    const auto exponentials = ExponentialsOf<true>(p, z, kWant != Want::kLoss ? r.buffer : nullptr);
    const auto& sum = exponentials.sum;
    const V log = IfFiniteElseNaN(d, sum.max, LogOfSum(d, sum.rest));
    const V lse = hn::Add(sum.max, log);
    const auto target = [=](size_t i) NONLIN_LOOP {
      const V t = hn::MulAdd(options.keep, p.LoadRow(y, i), options.uniform);
      return weight == nullptr ? t : hn::Mul(t, p.LoadRow(weight, i));
    };
    const auto at_maximum = [=](V v, V t) NONLIN_LOOP { return hn::IfThenElseZero(hn::Eq(v, sum.max), t); };
    const auto elsewhere = [=](V v, V t) NONLIN_LOOP { return hn::IfThenZeroElse(hn::Eq(v, sum.max), t); };
    V sums[3];
    if constexpr (kWant == Want::kGradient) {
      SumsOf<2, true>(p, z, sums, [=](size_t i, V v, V* terms) NONLIN_LOOP {
        const V t = target(i);
        terms[0] = at_maximum(v, t);
        terms[1] = elsewhere(v, t);
      });
    } else {
      SumsOf<3, true>(p, z, sums, [=](size_t i, V v, V* terms) NONLIN_LOOP {
        const V t = target(i), distance = hn::Sub(sum.max, v);
        terms[0] = at_maximum(v, t);
        terms[1] = elsewhere(v, t);
        terms[2] = TimesOrZero(d, t, kDivergence ? hn::Add(distance, Round(Log(d, t))) : distance);
      });
    }
    const V at_top = sums[0], below = sums[1];
    if constexpr (kWant != Want::kGradient) {
      const V loss = hn::MulAdd(hn::Add(at_top, below), log, sums[2]);
      p.StoreScalar(hn::MulAdd(hn::Mul(options.z_loss, lse), lse, loss), r.template Row<At::kLoss>());
    }
    if constexpr (kWant != Want::kLoss) {
      const V grad = p.LoadScalar(r.template Row<At::kUpstream>());
      const V z_term = options.SlopeOf(lse);
      const Two<V> first = TwoSum(at_top, below), total = TwoSum(first.hi, z_term);
      const ScaledSoftmax softmax(d, sum, TwoProduct(d, grad, Two<V>{total.hi, hn::Add(first.lo, total.lo)}));
      const V top_loss = hn::Mul(IfFiniteElseNaN(d, sum.max, OneMinusTop(sum)), total.hi);
      const V others = hn::Add(below, z_term);
      const auto likely = IsLikely(sum);
      exponentials.Transform(r.template Row<At::kGradient>(), [=](size_t i, V e) NONLIN_LOOP {
        const V v = p.LoadRow(z, i), t = target(i), g = softmax(e);
        const V top = hn::Mul(grad, hn::Sub(hn::Add(hn::Sub(at_top, t), others), top_loss));
        return hn::IfThenElse(hn::And(hn::Eq(v, sum.max), likely), top, hn::NegMulAdd(grad, t, g));
      });
    }
  }
};

struct CrossEntropy : LossFormula {
  template <Want kWant>
  using OfRow = CrossEntropyOfProbabilities<kWant, false>;
  template <Want kWant>
  using OfClass = CrossEntropyOfClass<kWant>;
};

// ---------------------------------------------------------------- focal losses of softmax
//
// A row's loss is sum_i t_i q_i^gamma l_i, for t_i = w_i [i = k] or w_i y_i, q_i = 1 - p_i and l_i = -log(p_i), and its
// gradient grad (p_i S - t_i F_i), with F as in `Focus` and S = sum_i t_i F_i. Where p_i is above 1 / 2, q_i is rest / (1 +
// rest), and the gradient grad ((S - t_i F_i) - q_i S).

template <class P>
struct FocalRow {
  using D = typename P::D;
  using V = hn::Vec<D>;
  using Scale = ScaleOf<P>;
  D d;
  Scale scale;
  V max, log, rest, gamma;
  hn::Mask<D> likely;
  ScaledSoftmax<D> softmax;

  HWY_INLINE FocalRow(D tag, const RowSum<Scale>& sum, V exponent)
      : d(tag),
        scale(sum.scale),
        max(sum.max),
        log(IfFiniteElseNaN(tag, sum.max, LogOfSum(tag, sum.rest))),
        rest(IfFiniteElseNaN(tag, sum.max, OneMinusTop(sum))),
        gamma(exponent),
        likely(IsLikely(sum)),
        softmax(tag, sum, hn::Set(tag, 1)) {}

  struct Entry {
    V q, l;
    Focus<D> focus;
  };
  HWY_INLINE auto IsTop(V z) const { return hn::And(hn::Eq(z, max), likely); }
  HWY_INLINE Entry Of(V z) const {
    const V l = hn::Add(hn::Sub(max, z), log);
    const V p = hn::IfThenZeroElse(hn::Eq(l, hn::Inf(d)), softmax(scale.Exp(d, z)));
    const V q = hn::IfThenElse(IsTop(z), rest, hn::Sub(hn::Set(d, 1), p));
    return {q, l, Focus<D>(d, gamma, p, q, l)};
  }
};

template <Want kWant>
struct FocalOfClass : RowFormula {
  static constexpr bool kSharesFloatKernels = true;  // saves 0.4 MB
  static constexpr size_t kNarrow = 16;
  using At = Places<kWant, 1>;
  static constexpr OperandList kOperands =
      LossOperands<kWant>(Operands(Operand::kRowIn, Operand::kIndexIn, Operand::kOptionalIn, Operand::kScalarIn));
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const auto* z = r.template Row<kInput>();
    const auto target = p.LoadClass(r.template Index<kTarget>());
    const auto* weight = r.template Row<kWeight>();
    const auto counts = p.Counts(target);
    const V w = weight == nullptr ? hn::Set(d, 1) : p.LoadAt(weight, target);
    const V own = p.LoadAt(z, target);  // before it may be overwritten
    typename P::T* buffer = nullptr;
    if constexpr (kWant != Want::kLoss) buffer = p.Keep(r.template Row<At::kGradient>(), r.buffer);
    const auto exponentials = ExponentialsOf<true>(p, z, buffer);
    const auto entry = FocalRow<P>(d, exponentials.sum, p.LoadScalar(r.template Row<kFirstOption>())).Of(own);
    if constexpr (kWant != Want::kGradient) {
      const V loss = TimesOrZero(d, hn::Mul(w, entry.focus.power), entry.l);
      p.StoreScalar(hn::IfThenElseZero(counts, loss), r.template Row<At::kLoss>());
    }
    if constexpr (kWant != Want::kLoss) {
      const V by = hn::Mul(p.LoadScalar(r.template Row<At::kUpstream>()), hn::Mul(w, entry.focus.slope));
      const ScaledSoftmax softmax(d, exponentials.sum, by);
      const V own_entry = hn::Neg(hn::Mul(entry.q, by));
      exponentials.Transform(r.template Row<At::kGradient>(), [=](size_t i, V e) NONLIN_LOOP {
        return hn::IfThenElseZero(counts, p.Replace(target, i, softmax(e), own_entry));
      });
    }
  }
};

template <Want kWant>
struct FocalOfProbabilities : RowFormula {
  static constexpr bool kSharesFloatKernels = true;  // saves 0.4 MB
  static constexpr size_t kNarrow = 16;
  using At = Places<kWant, 1>;
  static constexpr OperandList kOperands =
      LossOperands<kWant>(Operands(Operand::kRowIn, Operand::kRowIn, Operand::kOptionalIn, Operand::kScalarIn));
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const auto* z = r.template Row<kInput>();
    const auto* y = r.template Row<kTarget>();
    const auto* weight = r.template Row<kWeight>();
    const auto exponentials = ExponentialsOf<true>(p, z, kWant != Want::kLoss ? r.buffer : nullptr);
    const FocalRow<P> row(d, exponentials.sum, p.LoadScalar(r.template Row<kFirstOption>()));
    const auto target = [=](size_t i) NONLIN_LOOP {
      return weight == nullptr ? p.LoadRow(y, i) : hn::Mul(p.LoadRow(y, i), p.LoadRow(weight, i));
    };
    V sums[3];
    SumsOf<3>(p, z, sums, [=](size_t i, V v, V* terms) NONLIN_LOOP {
      const V t = target(i);
      const auto entry = row.Of(v);
      const V share = TimesOrZero(d, t, entry.focus.slope);
      terms[0] = hn::IfThenElseZero(row.IsTop(v), share);
      terms[1] = hn::IfThenZeroElse(row.IsTop(v), share);
      terms[2] = TimesOrZero(d, t, TimesOrZero(d, entry.focus.power, entry.l));
    });
    if constexpr (kWant != Want::kGradient) p.StoreScalar(sums[2], r.template Row<At::kLoss>());
    if constexpr (kWant != Want::kLoss) {
      const V grad = p.LoadScalar(r.template Row<At::kUpstream>());
      const V at_top = sums[0], below = sums[1], total = hn::Add(at_top, below);
      const ScaledSoftmax softmax(d, exponentials.sum, hn::Mul(grad, total));
      exponentials.Transform(r.template Row<At::kGradient>(), [=](size_t i, V e) NONLIN_LOOP {
        const V v = p.LoadRow(z, i), share = TimesOrZero(d, target(i), row.Of(v).focus.slope);
        const V top = hn::Mul(grad, hn::NegMulAdd(row.rest, total, hn::Add(hn::Sub(at_top, share), below)));
        return hn::IfThenElse(row.IsTop(v), top, hn::NegMulAdd(grad, share, softmax(e)));
      });
    }
  }
};

struct FocalLoss : LossFormula {
  template <Want kWant>
  using OfRow = FocalOfProbabilities<kWant>;
  template <Want kWant>
  using OfClass = FocalOfClass<kWant>;
};

struct KlDivergenceWithLogits : LossFormula {
  template <Want kWant>
  using OfRow = CrossEntropyOfProbabilities<kWant, true>;
};

// ---------------------------------------------------------------- tables

template <class Operation, class S, class Scalar, bool kExists = true>
LossKernel LossKernelOf() {
  if constexpr (kExists) return {TraitsOf<Operation>(), KernelsOf<Operation, S, Scalar>()};
  return {};
}

template <template <Want> class Kernel, class CountOutside, bool kWithGrad, bool kOfProbabilities, class S, class Scalar>
LossKernelsOfTargets KernelsOfTargets() {
  return {{LossKernelOf<Kernel<Want::kLoss>, S, Scalar>(), LossKernelOf<Kernel<Want::kGradient>, S, Scalar>(),
           LossKernelOf<Kernel<Want::kBoth>, S, Scalar, kWithGrad>()},
          LossKernelOf<CountOutside, S, Scalar, kOfProbabilities>()};
}

template <class Formula, Targets kTargets, bool kWithGrad, class S, class Scalar>
LossKernels LossKernelsOf() {
  constexpr bool kOfProbabilities = Formula::kOfProbabilities;
  LossKernels kernels{};
  kernels.of_row = KernelsOfTargets<Formula::template OfRow, CountOutside, kWithGrad, kOfProbabilities, S, Scalar>();
  if constexpr (kTargets == Targets::kClassesOrRows) {
    kernels.of_class =
        KernelsOfTargets<Formula::template OfClass, CountOutsideOfClass, kWithGrad, kOfProbabilities, S, Scalar>();
  } else if constexpr (kTargets == Targets::kEntries) {
    kernels.of_piece = KernelsOfTargets<Formula::template OfPiece, CountOutside, kWithGrad, kOfProbabilities, S, Scalar>();
  }
  return kernels;
}

// For rows of type S; losses and options have type Scalar.
template <class S, class Scalar>
const LossKernels* LossTable() {
  static const LossKernels kTable[] = {
#define NONLIN_LOSS(name, Formula, targets, first, second, options, with_grad, cost) \
  LossKernelsOf<Formula, targets, with_grad, S, Scalar>(),
#include "losses.def"
#undef NONLIN_LOSS
  };
  return kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_LOSSES_INL_H_
