// Loads and stores: whole vectors, and tails of fewer elements than a vector has lanes, which never touch memory beyond
// their end. The same functions serve the 16-bit types, which they widen and narrow on the way.

#if defined(NONLIN_SIMD_MEMORY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_MEMORY_INL_H_
#undef NONLIN_SIMD_MEMORY_INL_H_
#else
#define NONLIN_SIMD_MEMORY_INL_H_
#endif

#include <type_traits>

#include "hwy/highway.h"
#include "simd/float16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// Instruction sets at which few machines stop: their kernels are compiled small. One vector at a time, one form of a
// formula, 16-bit types through float's kernels, vectors of one or two lanes in one layout: less than half the size.
constexpr bool kIsRare =
    HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || (HWY_ARCH_X86 != 0 && HWY_TARGET > HWY_AVX2);

// S is the type of numbers in memory; D is a tag of the type that they are computed in.

template <class S>
using Computed = std::conditional_t<sizeof(S) == sizeof(uint16_t), float, S>;

template <class D, class S>
constexpr bool kIs16Bit = !std::is_same_v<S, hn::TFromD<D>>;

template <class S>
HWY_INLINE const uint16_t* BitsAt(const S* array) {
  return reinterpret_cast<const uint16_t*>(array);
}
template <class S>
HWY_INLINE uint16_t* BitsAt(S* array) {
  return reinterpret_cast<uint16_t*>(array);
}

template <class D, class S>
HWY_INLINE hn::Vec<D> LoadFrom(D d, const S* from) {
  if constexpr (kIs16Bit<D, S>) {
    return S::Widen(d, hn::LoadU(hn::Rebind<uint16_t, D>(), BitsAt(from)));
  } else {
    return hn::LoadU(d, from);
  }
}

template <class D, class S>
HWY_INLINE void StoreTo(hn::Vec<D> v, D d, S* to) {
  if constexpr (kIs16Bit<D, S>) {
    hn::StoreU(S::Narrow(d, v), hn::Rebind<uint16_t, D>(), BitsAt(to));
  } else {
    hn::StoreU(v, d, to);
  }
}

// Asks for a line that will be written, which costs other cores theirs.
HWY_INLINE void FetchToWrite(const void* to) {
#if HWY_ARCH_X86 && !HWY_COMPILER_MSVC
  __asm__ volatile("prefetchw %0" : : "m"(*static_cast<const char*>(to)));  // Intel's processors of before 2014 do nothing
#elif !HWY_COMPILER_MSVC
  __builtin_prefetch(to, 1);
#endif
}

// With `stream`, stores past the caches; `to` must then be aligned to the size of the store.
template <class D, class S>
HWY_INLINE void StoreOrStream(hn::Vec<D> v, D d, S* to, bool stream) {
  if constexpr (kIs16Bit<D, S>) {
    const hn::Rebind<uint16_t, D> dh;
    constexpr size_t kLeastStreamed = 16;  // bytes: Highway would store this many even of a shorter vector
    if (stream && hn::MaxLanes(dh) * sizeof(S) >= kLeastStreamed) {
      hn::Stream(S::Narrow(d, v), dh, BitsAt(to));
    } else {
      hn::StoreU(S::Narrow(d, v), dh, BitsAt(to));
    }
  } else if (stream) {
    hn::Stream(v, d, to);
  } else {
    hn::StoreU(v, d, to);
  }
}

// A pair of vectors holds the elements of two vectors, in the order that takes the least work.
template <class S>
constexpr bool kPairsAlternate = HWY_TARGET != HWY_SCALAR && std::is_same_v<S, PureBFloat16>;

template <size_t kSecond, class D, class S>
HWY_INLINE hn::Vec<D> LoadOfPair(D d, const S* from) {
  if constexpr (kPairsAlternate<S>) {
    return S::template WidenOf<kSecond>(d, hn::LoadU(hn::Repartition<uint16_t, D>(), BitsAt(from)));
  } else {
    return LoadFrom(d, from + kSecond * hn::Lanes(d));
  }
}

template <class D, class S>
HWY_INLINE void StoreOrStreamPair(hn::Vec<D> first, hn::Vec<D> second, D d, S* to, bool stream) {
  if constexpr (kPairsAlternate<S>) {
    StoreOrStream(S::NarrowBoth(d, first, second), hn::Repartition<uint16_t, D>(), BitsAt(to), stream);
  } else {
    StoreOrStream(first, d, to, stream);
    StoreOrStream(second, d, to + hn::Lanes(d), stream);
  }
}

// Loads the first n < Lanes(d) elements; the lanes after them hold `filler`.
template <class D, class S>
HWY_INLINE hn::Vec<D> LoadTail(D d, const S* from, size_t n, hn::TFromD<D> filler) {
  if constexpr (kIs16Bit<D, S>) {
    const hn::Rebind<uint16_t, D> dh;
    const auto v = S::Widen(d, LoadTail(dh, BitsAt(from), n, 0));
    return hn::IfThenElse(hn::FirstN(d, n), v, hn::Set(d, filler));
  } else {
#if HWY_MEM_OPS_MIGHT_FAULT
    HWY_ALIGN S buffer[hn::MaxLanes(d)];
    hn::Store(hn::Set(d, filler), d, buffer);
    for (size_t i = 0; i < n; ++i) buffer[i] = from[i];
    return hn::Load(d, buffer);
#else
    const auto mask = hn::FirstN(d, n);
    return hn::IfThenElse(mask, hn::MaskedLoad(mask, d, from), hn::Set(d, filler));
#endif
  }
}

template <class D, class S>
HWY_INLINE void StoreTail(hn::Vec<D> v, D d, S* to, size_t n) {
  if constexpr (kIs16Bit<D, S>) {
    StoreTail(S::Narrow(d, v), hn::Rebind<uint16_t, D>(), BitsAt(to), n);
  } else {
#if HWY_MEM_OPS_MIGHT_FAULT
    HWY_ALIGN S buffer[hn::MaxLanes(d)];
    hn::Store(v, d, buffer);
    for (size_t i = 0; i < n; ++i) to[i] = buffer[i];
#else
    hn::BlendedStore(v, hn::FirstN(d, n), d, to);
#endif
  }
}

template <class S>
HWY_INLINE Computed<S> LoadOne(const S* from) {
  return hn::GetLane(LoadFrom(hn::CappedTag<Computed<S>, 1>(), from));
}

template <class S>
HWY_INLINE void StoreOne(Computed<S> value, S* to) {
  const hn::CappedTag<Computed<S>, 1> d;
  StoreTo(hn::Set(d, value), d, to);
}

// How many elements the start of an array lies beyond a multiple of `lanes` elements.
template <class S>
HWY_INLINE size_t Misalignment(size_t lanes, const S* array) {
  return reinterpret_cast<uintptr_t>(array) / sizeof(S) % lanes;
}

// target = source, in aligned vectors.
template <class S>
HWY_INLINE void CopyAligned(const S* source, S* target, size_t n, bool stream) {
  using Item = std::conditional_t<sizeof(S) == sizeof(uint16_t), uint16_t, S>;
  const hn::ScalableTag<Item> d;
  const Item* from = reinterpret_cast<const Item*>(source);
  Item* to = reinterpret_cast<Item*>(target);
  const size_t lanes = hn::Lanes(d);
  size_t i = HWY_MIN(n, (lanes - Misalignment(lanes, to)) % lanes);
  if (i > 0) StoreTail(LoadTail(d, from, i, 0), d, to, i);
  for (; i + lanes <= n; i += lanes) StoreOrStream(hn::LoadU(d, from + i), d, to + i, stream);
  if (i < n) StoreTail(LoadTail(d, from + i, n - i, 0), d, to + i, n - i);
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_MEMORY_INL_H_
