// Losses on logits, fused with their gradients, on the row kernels.

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

// Every row's loss is sum_i t_i (lse - z_i) + z_loss lse^2, for target weights t_i:
//   class k:          t_i = (1 - smoothing) w_k [i = k] + smoothing / C w_i
//   probabilities y:  t_i = w_i ((1 - smoothing) y_i + smoothing / C)
// and its gradient is grad (p_i A - t_i), with A = sum_i t_i + 2 z_loss lse. Where p_i is above 1 / 2 this is
// computed as grad ((A - t_i) - (1 - p_i) A), 1 - p_i being rest / (1 + rest): a prediction that is nearly right keeps
// its digits.

template <class V>
struct LossOptions {
  V keep, uniform;  // 1 - smoothing, smoothing / C
  V z_loss;
  bool smooth;
};

template <class P, class V>
HWY_INLINE LossOptions<V> MakeOptions(const P& p, V smoothing, V z_loss) {
  using T = hn::TFromD<typename P::D>;
  const V uniform = hn::Div(smoothing, hn::Set(p.d, static_cast<T>(p.classes)));
  return {hn::Sub(hn::Set(p.d, 1), smoothing), uniform, z_loss, hn::GetLane(smoothing) > 0};
}

// t (m - z), and 0 where t is 0 and the logit -inf
template <class D, class V>
HWY_INLINE V Surprise(D d, V t, V max, V z) {
  return hn::IfThenElseZero(hn::Ne(t, hn::Zero(d)), hn::Mul(t, hn::Sub(max, z)));
}

template <class D, class V>
HWY_INLINE V OneMinusTop(D d, V rest) {  // 1 - p of the maximum
  return hn::Div(rest, hn::Add(hn::Set(d, 1), rest));
}

// What both kinds of target share. Operands 0 to 5, then the loss; or the factor of the gradient, the loss, the gradient.
template <bool kWithGradient>
constexpr OperandList CrossEntropyOperands(Operand target) {
  if (kWithGradient) {
    return Operands(Operand::kRowIn, target, Operand::kSharedIn, Operand::kScalarIn, Operand::kScalarIn, Operand::kScalarIn,
                    Operand::kScalarIn, Operand::kScalarOut, Operand::kRowOut);
  }
  return Operands(Operand::kRowIn, target, Operand::kSharedIn, Operand::kScalarIn, Operand::kScalarIn, Operand::kScalarIn,
                  Operand::kScalarOut);
}
enum CrossEntropyOperand {
  kLogits,
  kTarget,
  kWeight,
  kWeightSum,
  kSmoothing,
  kZLoss,
  kLossOnly,
  kGrad = 6,
  kLoss,
  kGradient
};

template <bool kWithGradient>
struct CrossEntropyOfClass {
  static constexpr OperandList kOperands = CrossEntropyOperands<kWithGradient>(Operand::kIndexIn);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const V zero = hn::Zero(d), one = hn::Set(d, 1);
    const auto* z = r.template Row<kLogits>();
    const int64_t* target = r.template Index<kTarget>();
    const auto* weight = r.template Row<kWeight>();
    const V weight_sum = p.LoadScalar(r.template Row<kWeightSum>());
    const auto options = MakeOptions(p, p.LoadScalar(r.template Row<kSmoothing>()), p.LoadScalar(r.template Row<kZLoss>()));
    const auto counts = hn::Ne(p.LoadCounts(target), zero);

    const V target_logit = p.LoadAt(z, target);  // before it may be overwritten
    hn::TFromD<typename P::D>* out = nullptr;
    if constexpr (kWithGradient) out = r.template Row<kGradient>();
    const RowExponentials exponentials(p, z, out, kWithGradient && !options.smooth);
    const auto& sum = exponentials.sum;
    const V log = IfFiniteElseNaN(d, sum.max, LogOfSum(d, sum.rest));
    const V lse = hn::Add(sum.max, log);
    const V target_weight = weight == nullptr ? one : p.LoadSharedAt(weight, target);
    const auto weight_of = [&](size_t i) HWY_ATTR { return weight == nullptr ? one : p.LoadShared(weight, i); };

    V loss = hn::Mul(hn::Mul(options.keep, target_weight), hn::Add(hn::Sub(sum.max, target_logit), log));
    if (options.smooth) {
      const V spread = SumOf(p, z, [&](size_t i, V v) HWY_ATTR { return Surprise(d, weight_of(i), sum.max, v); });
      loss = hn::MulAdd(options.uniform, hn::MulAdd(weight_sum, log, spread), loss);
    }
    loss = hn::MulAdd(hn::Mul(options.z_loss, lse), lse, loss);
    loss = hn::IfThenElseZero(counts, loss);
    if constexpr (!kWithGradient) {
      p.StoreScalar(loss, r.template Row<kLossOnly>());
    } else {
      const V grad = p.LoadScalar(r.template Row<kGrad>());
      const V own = hn::Mul(options.keep, target_weight);
      const V z_term = hn::Mul(hn::Add(options.z_loss, options.z_loss), lse);
      const V total = hn::Add(hn::MulAdd(options.uniform, weight_sum, own), z_term);
      const V others = hn::MulAdd(options.uniform, hn::Sub(weight_sum, target_weight), z_term);
      const ScaledSoftmax softmax(d, sum, hn::Mul(grad, total));
      const V uniform = hn::Mul(grad, options.uniform);
      const bool smooth = options.smooth;
      exponentials.Transform([&](size_t i, V e) HWY_ATTR {
        V g = softmax(e);
        if (smooth) g = hn::NegMulAdd(uniform, weight_of(i), g);
        return hn::IfThenElseZero(counts, g);
      });
      const V top = IfFiniteElseNaN(d, sum.max, hn::Mul(grad, hn::NegMulAdd(OneMinusTop(d, sum.rest), total, others)));
      p.UpdateAt(out, target, [&](V g) HWY_ATTR {
        const V updated = hn::IfThenElse(hn::Eq(target_logit, sum.max), top, hn::NegMulAdd(grad, own, g));
        return hn::IfThenElseZero(counts, updated);
      });
      p.StoreScalar(loss, r.template Row<kLoss>());
    }
  }
};

template <bool kWithGradient>
struct CrossEntropyOfProbabilities {
  static constexpr OperandList kOperands = CrossEntropyOperands<kWithGradient>(Operand::kRowIn);
  template <class P, class R>
  static void Run(const P& p, const R& r) {
    using V = typename P::V;
    const auto d = p.d;
    const auto* z = r.template Row<kLogits>();
    const auto* y = r.template Row<kTarget>();
    const auto* weight = r.template Row<kWeight>();
    const auto options = MakeOptions(p, p.LoadScalar(r.template Row<kSmoothing>()), p.LoadScalar(r.template Row<kZLoss>()));

    const auto sum = SumRow(p, z);
    const V log = IfFiniteElseNaN(d, sum.max, LogOfSum(d, sum.rest));
    const V lse = hn::Add(sum.max, log);
    const auto target = [&](size_t i) HWY_ATTR {
      const V t = hn::MulAdd(options.keep, p.LoadRow(y, i), options.uniform);
      return weight == nullptr ? t : hn::Mul(t, p.LoadShared(weight, i));
    };
    const V at_top = SumOf(p, z, [&](size_t i, V v) HWY_ATTR { return hn::IfThenElseZero(hn::Eq(v, sum.max), target(i)); });
    const V below = SumOf(p, z, [&](size_t i, V v) HWY_ATTR { return hn::IfThenZeroElse(hn::Eq(v, sum.max), target(i)); });
    const V spread = SumOf(p, z, [&](size_t i, V v) HWY_ATTR { return Surprise(d, target(i), sum.max, v); });
    V loss = hn::MulAdd(hn::Add(at_top, below), log, spread);
    loss = hn::MulAdd(hn::Mul(options.z_loss, lse), lse, loss);
    if constexpr (!kWithGradient) {
      p.StoreScalar(loss, r.template Row<kLossOnly>());
    } else {
      const V grad = p.LoadScalar(r.template Row<kGrad>());
      const V z_term = hn::Mul(hn::Add(options.z_loss, options.z_loss), lse);
      const V total = hn::Add(hn::Add(at_top, below), z_term);
      const ScaledSoftmax softmax(d, sum, hn::Mul(grad, total));
      const V top_loss = hn::Mul(IfFiniteElseNaN(d, sum.max, OneMinusTop(d, sum.rest)), total);
      const V others = hn::Add(below, z_term);
      const auto likely = hn::Lt(sum.rest, hn::Set(d, 1));  // p > 1 / 2
      TransformRow(p, z, r.template Row<kGradient>(), [&](size_t i, V v) HWY_ATTR {
        const V t = target(i);
        const V g = softmax(sum.scale.Exp(d, v));
        const V top = hn::Mul(grad, hn::Sub(hn::Add(hn::Sub(at_top, t), others), top_loss));
        return hn::IfThenElse(hn::And(hn::Eq(v, sum.max), likely), top, hn::NegMulAdd(grad, t, g));
      });
      p.StoreScalar(loss, r.template Row<kLoss>());
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_LOSSES_INL_H_
