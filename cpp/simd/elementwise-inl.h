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

// Stores results, of one or two vectors, in the one or two outputs at offset i.
template <class D, class S, class V>
HWY_INLINE void Put(D d, V v, S* const* outputs, size_t i) {
  StoreTo(v, d, outputs[0] + i);
}
template <class D, class S, class V>
HWY_INLINE void Put(D d, GateGradients<V> v, S* const* outputs, size_t i) {
  StoreTo(v.gate, d, outputs[0] + i);
  StoreTo(v.up, d, outputs[1] + i);
}
template <class D, class S, class V>
HWY_INLINE void PutPair(D d, V first, V second, S* const* outputs, size_t i, bool stream) {
  StoreOrStreamPair(first, second, d, outputs[0] + i, stream);
}
template <class D, class S, class V>
HWY_INLINE void PutPair(D d, GateGradients<V> first, GateGradients<V> second, S* const* outputs, size_t i, bool stream) {
  StoreOrStreamPair(first.gate, second.gate, d, outputs[0] + i, stream);
  StoreOrStreamPair(first.up, second.up, d, outputs[1] + i, stream);
}

// The loop of a form over n elements, a pair of vectors or more. The last pair ends at n, and may compute again some of the
// one before: half the time of a buffer. An input that does not advance is one pair. With kSmall, one vector at a time: for
// forms and instruction sets that are rarely met.
template <class Form, class S, bool kSmall, size_t... kInput>
void MapPairs(const S* const* inputs, const size_t* steps, S* const* outputs, size_t n, [[maybe_unused]] bool stream) {
  const hn::ScalableTag<Computed<S>> d;
  const size_t advance = (kSmall ? 1 : 2) * hn::Lanes(d), last = n - advance;
  const S* in[] = {inputs[kInput]...};
  const size_t by[] = {steps[kInput] * advance...};
  S* const out[kMaxOutputs] = {outputs[0], outputs[1]};
  for (size_t i = 0;;) {
    if constexpr (kSmall) {
      Put(d, Form::Call(d, LoadFrom(d, in[kInput])...), out, i);
      ((in[kInput] += by[kInput]), ...);
    } else {
      // Two vectors at a time, so that the compiler interleaves their operations: a formula is one long chain, and a core
      // looks ahead by little more than its length. 1.2 times as fast. Three or four vectors win a few percent in some
      // functions and lose them in others. Prefetching inputs gains nothing (0.97 to 1.03).
      const auto first = Form::Call(d, LoadOfPair<0>(d, in[kInput])...);
      const auto second = Form::Call(d, LoadOfPair<1>(d, in[kInput])...);
      ((in[kInput] += by[kInput]), ...);
      PutPair(d, first, second, out, i, stream);
    }
    i += advance;
    if (HWY_LIKELY(i <= last)) continue;
    if (i == n) return;
    ((in[kInput] -= steps[kInput] * (i - last)), ...);
    i = last;
  }
}
template <class S>
using PairLoop = void (*)(const S* const* inputs, const size_t* steps, S* const* outputs, size_t n, bool stream);

// Copies less than a pair of vectors to a buffer of a pair, or back from it.
template <class S>
HWY_INLINE void CopyPart(const S* from, S* to, size_t n, bool is_back) {
#if HWY_MEM_OPS_MIGHT_FAULT
  if (!is_back) std::memset(static_cast<void*>(to), 0, 2 * hn::Lanes(hn::ScalableTag<Computed<S>>()) * sizeof(S));
  std::memcpy(static_cast<void*>(to), from, n * sizeof(S));
#else
  using Item = std::conditional_t<sizeof(S) == sizeof(uint16_t), uint16_t, S>;
  const hn::ScalableTag<Item> d;
  const size_t lanes = hn::Lanes(d), pair = 2 * hn::Lanes(hn::ScalableTag<Computed<S>>());
  for (size_t i = 0; i < pair; i += lanes) {
    const size_t count = n > i ? n - i : 0;  // where it is 0, a load under a mask reads nevertheless on SCALAR
    const auto mask = hn::FirstN(d, count);
    const Item* source = reinterpret_cast<const Item*>(from) + i;
    Item* target = reinterpret_cast<Item*>(to) + i;
    if (!is_back) {
      hn::Store(count > 0 ? hn::MaskedLoad(mask, d, source) : hn::Zero(d), d, target);
    } else if (count > 0) {
      hn::BlendedStore(hn::Load(d, source), mask, d, target);
    }
  }
#endif
}

// Runs a loop on any number of elements. What is less than a pair, or remains of a call in place, goes through a buffer:
// compiled in for each form, tails took a third of the size.
template <class S, size_t kInputs>
HWY_NOINLINE void MapInputs(PairLoop<S> loop, const void* const* inputs, const size_t* steps, void* const* outputs, size_t n,
                            bool stream) {
  const hn::ScalableTag<Computed<S>> d;
  constexpr size_t kMaxPair = 2 * hn::MaxLanes(d);
  const size_t pair = 2 * hn::Lanes(d);
  // A single value becomes a pair of vectors of copies, read again and again: the loop needs no branch and no product.
  HWY_ALIGN S copies[kInputs][kMaxPair];
  const S* in[kInputs];
  S* const out[kMaxOutputs] = {static_cast<S*>(outputs[0]), static_cast<S*>(outputs[1])};
  bool in_place = false;
  for (size_t k = 0; k < kInputs; ++k) {
    in[k] = static_cast<const S*>(inputs[k]);
    in_place |= inputs[k] == outputs[0] || inputs[k] == outputs[1];
    if (steps[k] == 0) {
      std::fill_n(copies[k], pair, *in[k]);
      in[k] = copies[k];
    }
  }
  const size_t tail = n < pair || in_place || stream ? n % pair : 0, whole = n - tail;
  if (whole > 0) loop(in, steps, out, whole, stream);
  if (tail == 0) return;
  HWY_ALIGN S results[kMaxOutputs][kMaxPair];
  S* const to[kMaxOutputs] = {results[0], results[1]};
  for (size_t k = 0; k < kInputs; ++k) {
    if (steps[k] == 0) continue;
    CopyPart(in[k] + whole, copies[k], tail, false);
    in[k] = copies[k];
  }
  loop(in, steps, to, pair, false);
  CopyPart(results[0], out[0] + whole, tail, true);
  if (out[1] != nullptr) CopyPart(results[1], out[1] + whole, tail, true);
}

// The same with results that go past the caches, from the first one on that is aligned.
template <class S, size_t kInputs>
HWY_NOINLINE void StreamInputs(PairLoop<S> loop, const void* const* inputs, const size_t* steps, void* const* outputs,
                               size_t n) {
  const size_t pair = 2 * hn::Lanes(hn::ScalableTag<Computed<S>>());
  const size_t head = HWY_MIN(n, (pair - Misalignment(pair, static_cast<S*>(outputs[0]))) % pair);
  if (head > 0) MapInputs<S, kInputs>(loop, inputs, steps, outputs, head, false);
  const void* in[kInputs];
  for (size_t k = 0; k < kInputs; ++k) in[k] = static_cast<const S*>(inputs[k]) + steps[k] * head;
  S* const first = static_cast<S*>(outputs[0]) + head;
  void* const to[kMaxOutputs] = {first, outputs[1] == nullptr ? nullptr : static_cast<S*>(outputs[1]) + head};
  MapInputs<S, kInputs>(loop, in, steps, to, n - head, true);
  hwy::FlushStream();
}

template <class Form, class S, bool kSmall = kIsRare, size_t... kInput>
HWY_INLINE void MapForm(const void* const* inputs, const size_t* steps, void* const* outputs, size_t n, bool stream,
                        std::index_sequence<kInput...>) {
  constexpr PairLoop<S> kLoop = MapPairs<Form, S, kSmall, kInput...>;
  const size_t pair = 2 * hn::Lanes(hn::ScalableTag<Computed<S>>());
  const auto misaligned = [=](int k) { return Misalignment(pair, static_cast<S*>(outputs[k])); };
  stream &= ((inputs[kInput] != outputs[0] && inputs[kInput] != outputs[1]) && ...);
  stream &= outputs[1] == nullptr || misaligned(0) == misaligned(1);
  if (HWY_UNLIKELY(stream)) return StreamInputs<S, sizeof...(kInput)>(kLoop, inputs, steps, outputs, n);
  MapInputs<S, sizeof...(kInput)>(kLoop, inputs, steps, outputs, n, false);
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
    if constexpr (kTakes<Form, Operands> && !kIsRare) {
      if (same && HaveDefaults<S, List>(inputs)) return MapForm<Form, S>(inputs, steps, outputs, n, stream, Operands());
    }
    if constexpr (kTakes<typename Form::Any, Inputs>) {
      using One = std::conditional_t<kIsRare, EachOf<Form, kOperands>, typename Form::Any>;
      if (!same) return MapForm<EachOf<Form, kOperands>, S, true>(inputs, steps, outputs, n, stream, Inputs());
      if (!AreUsual<Form, S>(inputs + kOperands, std::make_index_sequence<kInputs - kOperands>()))
        return MapForm<One, S, true>(inputs, steps, outputs, n, stream, Inputs());
    }
  }
  MapForm<Form, S>(inputs, steps, outputs, n, stream, Inputs());
}

// Computes 16-bit arrays by a kernel of float, a few numbers at a time. Inputs from `given` on have their defaults, which
// are not rounded to 16 bits where there is a form for them.
template <class S>
void MapByFloat(ElementwiseKernel kernel, const InputList& list, size_t given, const void* const* inputs,
                const size_t* steps, void* const* outputs, size_t n) {
  const size_t count = list.count;
  constexpr size_t kBlock = 256;
  float in[kMaxInputs][kBlock], out[kMaxOutputs][kBlock];
  const void* from[kMaxInputs];
  void* to[kMaxOutputs];
  for (size_t k = 0; k < count; ++k) from[k] = in[k];
  for (int k = 0; k < kMaxOutputs; ++k) to[k] = outputs[k] == nullptr ? nullptr : out[k];
  for (size_t i = 0; i < n; i += kBlock) {
    const size_t length = HWY_MIN(kBlock, n - i);
    for (size_t k = given; k < count; ++k) in[k][0] = static_cast<float>(list.items[k].value);
    for (size_t k = 0; k < given; ++k) {
      const S* const input = static_cast<const S*>(inputs[k]) + steps[k] * i;
      for (size_t j = 0; j < (steps[k] == 0 ? 1 : length); ++j) in[k][j] = LoadOne(input + j);
    }
    kernel(from, steps, to, length, false);
    for (int k = 0; k < kMaxOutputs && outputs[k] != nullptr; ++k) {
      for (size_t j = 0; j < length; ++j) StoreOne(out[k][j], static_cast<S*>(outputs[k]) + i + j);
    }
  }
}
template <class Form, ElementwiseKernel kKernel, class List, class S>
void MapByKernel(const void* const* inputs, const size_t* steps, void* const* outputs, size_t n, bool) {
  constexpr size_t kInputs = List::kList.count, kOperands = List::kList.Operands();
  bool same = true;
  for (size_t k = kOperands; k < kInputs; ++k) same &= steps[k] == 0 || n == 1;
  constexpr bool kHasFormOfDefaults = kTakes<Form, std::make_index_sequence<kOperands>>;
  const size_t given = kHasFormOfDefaults && same && HaveDefaults<S, List>(inputs) ? kOperands : kInputs;
  MapByFloat<S>(kKernel, List::kList, given, inputs, steps, outputs, n);
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
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) results[k] = table[low >> 16 * k & 0xFFFF];
#pragma GCC unroll 4
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
