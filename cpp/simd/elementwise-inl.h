// The elementwise loops over contiguous arrays, for formulas of activations and for the look-up of 16-bit results. Strided
// arrays and threads are left to runtime/elementwise.cc.

#if defined(NONLIN_SIMD_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_ELEMENTWISE_INL_H_
#undef NONLIN_SIMD_ELEMENTWISE_INL_H_
#else
#define NONLIN_SIMD_ELEMENTWISE_INL_H_
#endif

#include <algorithm>
#include <cstring>
#include <utility>

#include "hwy/cache_control.h"
#include "simd/activations-inl.h"
#include "simd/memory-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// The form of a formula for any parameters, where there is one.
template <class Activation>
struct AnyForwardOf {
  template <class A = Activation, class D, class... V>
  HWY_INLINE static auto Call(D d, V... v) -> decltype(A::AnyForward(d, v...)) {
    return A::AnyForward(d, v...);
  }
};
template <class Activation>
struct AnyBackwardOf {
  template <class A = Activation, class D, class... V>
  HWY_INLINE static auto Call(D d, V... v) -> decltype(A::AnyBackward(d, v...)) {
    return A::AnyBackward(d, v...);
  }
};

template <class Activation>
struct ForwardOf {
  using Of = Activation;
  using Any = AnyForwardOf<Activation>;
  template <class D, class... V>
  HWY_INLINE static auto Call(D d, V... v) -> decltype(Activation::Forward(d, v...)) {
    return Activation::Forward(d, v...);
  }
};

template <class Activation>
struct BackwardOf {
  using Of = Activation;
  using Any = AnyBackwardOf<Activation>;
  template <class D, class... V>
  HWY_INLINE static auto Call(D d, V... v) -> decltype(Activation::Backward(d, v...)) {
    return Activation::Backward(d, v...);
  }
};

// For arrays of parameters: every element has the form, and the bits, that its parameters have alone.
template <class Form, size_t kOperands>
struct EachOf {
  template <class D, class... V>
  HWY_INLINE static auto Call(D d, V... v) {
    return hn::IfThenElse(AreUsual<kOperands>(d, v...), Form::Call(d, v...), Form::Any::Call(d, v...));
  }
  template <size_t kLeft, class D, class First, class... Rest>
  HWY_INLINE static auto AreUsual(D d, First first, Rest... rest) {
    if constexpr (kLeft == 0) {
      return Form::Of::IsUsual(d, first, rest...);
    } else {
      return AreUsual<kLeft - 1>(d, rest...);
    }
  }
};

// Store results, of two vectors or of a tail of n lanes, in the one or two outputs at offset i.
template <class D, class S, class V>
HWY_INLINE void PutPair(D d, V first, V second, S* const* outputs, size_t i, bool stream) {
  StoreOrStreamPair(first, second, d, outputs[0] + i, stream);
}
template <class D, class S, class V>
HWY_INLINE void PutPair(D d, GateGradients<V> first, GateGradients<V> second, S* const* outputs, size_t i, bool stream) {
  StoreOrStreamPair(first.gate, second.gate, d, outputs[0] + i, stream);
  StoreOrStreamPair(first.up, second.up, d, outputs[1] + i, stream);
}
template <class D, class S, class V>
HWY_INLINE void PutTail(D d, V v, S* const* outputs, size_t i, size_t n) {
  StoreTail(v, d, outputs[0] + i, n);
}
template <class D, class S, class V>
HWY_INLINE void PutTail(D d, GateGradients<V> v, S* const* outputs, size_t i, size_t n) {
  StoreTail(v.gate, d, outputs[0] + i, n);
  StoreTail(v.up, d, outputs[1] + i, n);
}

// With kSmall, one vector at a time: for forms that are rarely met.
template <class Form, class S, bool kSmall = false, size_t... kInput>
HWY_INLINE void MapInputs(const void* const* inputs, const size_t* steps, void* const* outputs, size_t n, bool stream,
                          std::index_sequence<kInput...>) {
  constexpr size_t kInputs = sizeof...(kInput);
  const hn::ScalableTag<Computed<S>> d;
  const size_t lanes = hn::Lanes(d), pair = 2 * lanes;
  // A single value becomes a pair of vectors of copies, read again and again: the loop needs no branch and no product.
  HWY_ALIGN S copies[kInputs][2 * hn::MaxLanes(d)];
  const S* in[kInputs];
  S* const out[2] = {static_cast<S*>(outputs[0]), static_cast<S*>(outputs[1])};
  for (size_t k = 0; k < kInputs; ++k) {
    in[k] = static_cast<const S*>(inputs[k]);
    if (steps[k] == 0) {
      std::fill_n(copies[k], pair, *in[k]);
      in[k] = copies[k];
    }
  }
  stream &= ((in[kInput] != out[0] && in[kInput] != out[1]) && ...);
  stream &= out[1] == nullptr || Misalignment(pair, out[0]) == Misalignment(pair, out[1]);
  const size_t advance[kInputs] = {steps[kInput] * pair...};
  size_t i = 0;
  const auto put_until = [&](size_t end) HWY_ATTR {
    for (size_t count; i < end; i += count) {
      count = HWY_MIN(lanes, end - i);
      PutTail(d, Form::Call(d, LoadTail(d, in[kInput], count, 0)...), out, i, count);
      ((in[kInput] += steps[kInput] * count), ...);
    }
  };
  if constexpr (kSmall) return put_until(n);
  if (stream) put_until(HWY_MIN(n, (pair - Misalignment(pair, out[0])) % pair));
  // Two vectors at a time, so that the compiler interleaves their operations: a formula is one long chain, and a core looks
  // ahead by little more than its length. 1.2 times as fast. Three or four vectors win a few percent in some functions and
  // lose them in others. Prefetching inputs gains nothing (0.97 to 1.03).
  for (; i + pair <= n; i += pair) {
    const auto first = Form::Call(d, LoadOfPair<0>(d, in[kInput])...);
    const auto second = Form::Call(d, LoadOfPair<1>(d, in[kInput])...);
    ((in[kInput] += advance[kInput]), ...);
    PutPair(d, first, second, out, i, stream);
  }
  put_until(n);
  if (stream) hwy::FlushStream();
}

template <class T, size_t>
using VecOf = hn::Vec<hn::ScalableTag<T>>;
// Whether a formula takes this number of inputs.
template <class Form, class Inputs, class = void>
constexpr bool kTakes = false;
template <class Form, size_t... kInput>
constexpr bool kTakes<Form, std::index_sequence<kInput...>,
                      std::void_t<decltype(Form::Call(hn::ScalableTag<float>(), VecOf<float, kInput>()...))>> = true;

// Whether parameters that are the same for all elements have their defaults, rounded to the type.
template <class S, class List>
bool HaveDefaults(const void* const* inputs) {
  for (size_t k = List::kList.Operands(); k < List::kList.count; ++k) {
    S value;
    StoreOne(static_cast<Computed<S>>(List::kList.items[k].value), &value);
    if (LoadOne(static_cast<const S*>(inputs[k])) != LoadOne(&value)) return false;
  }
  return true;
}
// Whether they are usual.
template <class Form, class S, size_t... kParameter>
bool AreUsual(const void* const* parameters, std::index_sequence<kParameter...>) {
  const hn::CappedTag<Computed<S>, 1> d;
  return hn::AllTrue(d, Form::Of::IsUsual(d, hn::Set(d, LoadOne(static_cast<const S*>(parameters[kParameter])))...));
}

// See ElementwiseKernel in kernels.h. Operands come first, then parameters.
template <class Form, class S, class List>
void Map(const void* const* inputs, const size_t* steps, void* const* outputs, size_t n, bool stream) {
  constexpr size_t kInputs = List::kList.count, kOperands = List::kList.Operands();
  using Inputs = std::make_index_sequence<kInputs>;
  using Operands = std::make_index_sequence<kOperands>;
  if constexpr (kOperands < kInputs) {
    bool same = true;
    for (size_t k = kOperands; k < kInputs; ++k) same &= steps[k] == 0 || n == 1;
    if constexpr (kTakes<Form, Operands>) {
      if (same && HaveDefaults<S, List>(inputs)) return MapInputs<Form, S>(inputs, steps, outputs, n, stream, Operands());
    }
    if constexpr (kTakes<typename Form::Any, Inputs>) {
      if (!same) return MapInputs<EachOf<Form, kOperands>, S, true>(inputs, steps, outputs, n, stream, Inputs());
      if (!AreUsual<Form, S>(inputs + kOperands, std::make_index_sequence<kInputs - kOperands>()))
        return MapInputs<typename Form::Any, S, true>(inputs, steps, outputs, n, stream, Inputs());
    }
  }
  MapInputs<Form, S>(inputs, steps, outputs, n, stream, Inputs());
}

HWY_INLINE void LookUpInCaches(const uint16_t* table, const uint16_t* from, uint16_t* to, size_t n) {
  size_t i = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  // Two loads of arguments and one store for eight results, which are assembled in a register: 1.6 times as fast as one by
  // one or with gather instructions. The prefetch gains another 1.2 times for arguments in main memory.
  constexpr size_t kAhead = 1024;
#if HWY_COMPILER_MSVC
  using Results = uint16_t[8];
#else
  using Results = uint16_t __attribute__((vector_size(16)));
#endif
  for (; i + 8 <= n; i += 8) {
    hwy::Prefetch(from + i + kAhead);
    uint64_t low, high;
    std::memcpy(&low, from + i, sizeof(low));
    std::memcpy(&high, from + i + 4, sizeof(high));
    Results results{};
    for (int k = 0; k < 4; ++k) results[k] = table[low >> 16 * k & 0xFFFF];
    for (int k = 0; k < 4; ++k) results[4 + k] = table[high >> 16 * k & 0xFFFF];
    std::memcpy(to + i, &results, sizeof(results));
  }
#endif
  for (; i < n; ++i) to[i] = table[from[i]];
}

// See LookUpKernel in kernels.h.
void LookUp(const uint16_t* table, const uint16_t* from, uint16_t* to, size_t n, bool stream) {
  if (!stream || from == to) return LookUpInCaches(table, from, to, n);
  constexpr size_t kBlock = 1024;
  uint16_t results[kBlock];
  size_t count = kBlock - Misalignment(hn::Lanes(hn::ScalableTag<uint16_t>()), to);
  for (size_t i = 0; i < n; i += count, count = kBlock) {
    count = HWY_MIN(count, n - i);
    LookUpInCaches(table, from + i, results, count);
    CopyAligned(results, to + i, count, true);
  }
  hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_ELEMENTWISE_INL_H_
