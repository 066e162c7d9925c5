// Loads and stores: whole vectors, and tails of fewer than a vector's lanes, which never touch memory beyond their end.
// 16-bit types are only stored: they are computed in float.

#if defined(NONLIN_SIMD_VIO_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_VIO_INL_H_
#undef NONLIN_SIMD_VIO_INL_H_
#else
#define NONLIN_SIMD_VIO_INL_H_
#endif

#include <type_traits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// ---------------------------------------------------------------- 16-bit types
//
// Rounded to nearest even, sub-normals kept, NaN and infinities too: in integer arithmetic, as what processors and Highway
// offer for these conversions flushes sub-normals (bfloat16) or gives infinities up (float16 without F16C).

struct BFloat16 {
  uint16_t bits;
  template <class D, class VH>
  HWY_INLINE static hn::Vec<D> Widen(D d, VH h) {
    const hn::RebindToUnsigned<D> du;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, h)));
  }
  template <class D, class V>
  HWY_INLINE static hn::Vec<hn::Rebind<uint16_t, D>> Narrow(D d, V v) {
    const hn::RebindToUnsigned<D> du;
    const auto quiet = hn::Or(hn::BitCast(du, v), hn::Set(du, 0x400000));
    return Upper(d, hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, Rounded(d, v)));
  }

 protected:
  // The result in the upper half of each lane, unless a NaN's lower half carries into the rest.
  template <class D, class V>
  HWY_INLINE static hn::Vec<hn::RebindToUnsigned<D>> Rounded(D, V v) {
    const hn::RebindToUnsigned<D> du;
    const auto all = hn::BitCast(du, v);
    const auto odd = hn::TestBit(all, hn::Set(du, 1 << 16));
    return hn::Add(all, hn::IfThenElse(odd, hn::Set(du, 0x8000), hn::Set(du, 0x7FFF)));
  }
  template <class D, class VU>
  HWY_INLINE static hn::Vec<hn::Rebind<uint16_t, D>> Upper(D, VU v) {
#if HWY_TARGET <= HWY_AVX3
    if constexpr (hn::MaxLanes(D()) >= 16) {  // one instruction instead of three
      const hn::Repartition<uint16_t, D> d16;
      return hn::LowerHalf(hn::ConcatOdd(d16, hn::BitCast(d16, v), hn::BitCast(d16, v)));
    }
#endif
    return hn::DemoteTo(hn::Rebind<uint16_t, D>(), hn::BitCast(hn::RebindToSigned<D>(), hn::ShiftRight<16>(v)));
  }
};

// Where nothing but bfloat16 is computed with, the lower half of a NaN is 0 and may be rounded as all else.
struct PureBFloat16 : BFloat16 {
  template <class D, class V>
  HWY_INLINE static hn::Vec<hn::Rebind<uint16_t, D>> Narrow(D d, V v) {
    return Upper(d, Rounded(d, v));
  }
#if HWY_TARGET != HWY_SCALAR
  // The even elements and the odd ones of a vector of them: half the work.
  template <size_t kOdd, class D, class VH>
  HWY_INLINE static hn::Vec<D> WidenOf(D d, VH h) {
    const hn::RebindToUnsigned<D> du;
    const auto both = hn::BitCast(du, h);
    return hn::BitCast(d, kOdd ? hn::And(both, hn::Set(du, 0xFFFF0000)) : hn::ShiftLeft<16>(both));
  }
  template <class D, class V>
  HWY_INLINE static hn::Vec<hn::Repartition<uint16_t, D>> NarrowBoth(D d, V even, V odd) {
    const hn::Repartition<uint16_t, D> dh;
    return hn::OddEven(hn::BitCast(dh, Rounded(d, odd)), hn::BitCast(dh, hn::ShiftRight<16>(Rounded(d, even))));
  }
#endif
};

#if HWY_TARGET <= HWY_AVX2 && !defined(HWY_DISABLE_F16C)
struct Float16 {
  uint16_t bits;
  template <class D, class VH>
  HWY_INLINE static hn::Vec<D> Widen(D d, VH h) {
    return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), h));
  }
  template <class D, class V>
  HWY_INLINE static hn::Vec<hn::Rebind<uint16_t, D>> Narrow(D, V v) {
    return hn::BitCast(hn::Rebind<uint16_t, D>(), hn::DemoteTo(hn::Rebind<hwy::float16_t, D>(), v));
  }
};
#else
struct Float16 {
  uint16_t bits;
  template <class D, class VH>
  HWY_INLINE static hn::Vec<D> Widen(D d, VH h) {
    const hn::RebindToUnsigned<D> du;
    return hn::BitCast(d, WidenBits(du, hn::PromoteTo(du, h)));
  }
  template <class D, class V>
  HWY_INLINE static hn::Vec<hn::Rebind<uint16_t, D>> Narrow(D, V v) {
    const hn::RebindToUnsigned<D> du;
    const auto narrow = NarrowBits(du, hn::BitCast(du, v));
    return hn::DemoteTo(hn::Rebind<uint16_t, D>(), hn::BitCast(hn::RebindToSigned<D>(), narrow));
  }

 private:
  template <class DU, class VU>
  HWY_INLINE static VU WidenBits(DU du, VU h) {
    const hn::RebindToFloat<DU> d;
    const VU magnitude = hn::ShiftLeft<13>(hn::And(h, hn::Set(du, 0x7FFF)));
    // The exponent's bias grows by 112; the product brings sub-normals too.
    const VU scaled = hn::BitCast(du, hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 5.192296858534828e33f)));
    const auto special = hn::Gt(magnitude, hn::Set(du, 0x0F7FFFFF));
    const VU value = hn::IfThenElse(special, hn::Or(magnitude, hn::Set(du, 0x7F800000)), scaled);
    return hn::Or(value, hn::ShiftLeft<16>(hn::And(h, hn::Set(du, 0x8000))));
  }
  template <class DU, class VU>
  HWY_INLINE static VU NarrowBits(DU du, VU bits) {
    const hn::RebindToFloat<DU> d;
    const VU magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFF)), one = hn::Set(du, 1);
    const VU odd = hn::And(hn::ShiftRight<13>(magnitude), one);
    // A carry takes what is too large to infinity.
    const VU normal =
        hn::ShiftRight<13>(hn::Add(hn::Sub(magnitude, hn::Set(du, 112 << 23)), hn::Add(odd, hn::Set(du, 0xFFF))));
    // Adding 1 / 2 rounds a small number at the last bit of a sub-normal.
    const VU half = hn::Set(du, 0x3F000000);
    const VU small = hn::Sub(hn::BitCast(du, hn::Add(hn::BitCast(d, magnitude), hn::BitCast(d, half))), half);
    const VU finite = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 113 << 23)), small, normal);
    const VU infinity = hn::Set(du, 0x7C00);
    const VU nan = hn::Or(hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 0x3FF)), hn::Set(du, 0x7E00));
    const VU special = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7F800000)), nan, infinity);
    const VU value = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x477FFFFF)), special, finite);
    return hn::Or(value, hn::ShiftRight<16>(hn::And(bits, hn::Set(du, 0x80000000))));
  }
};
#endif

// ---------------------------------------------------------------- vectors in memory
//
// In memory stand numbers of type S; D is of the type in which they are computed.

template <class S>
using Computed = std::conditional_t<sizeof(S) == sizeof(uint16_t), float, S>;

template <class D, class S>
constexpr bool kIsHalf = !std::is_same_v<S, hn::TFromD<D>>;

template <class Half>
HWY_INLINE const uint16_t* BitsAt(const Half* array) {
  return reinterpret_cast<const uint16_t*>(array);
}
template <class Half>
HWY_INLINE uint16_t* BitsAt(Half* array) {
  return reinterpret_cast<uint16_t*>(array);
}

template <class D, class S>
HWY_INLINE hn::Vec<D> LoadFrom(D d, const S* from) {
  if constexpr (kIsHalf<D, S>) {
    return S::Widen(d, hn::LoadU(hn::Rebind<uint16_t, D>(), BitsAt(from)));
  } else {
    return hn::LoadU(d, from);
  }
}

template <class D, class S>
HWY_INLINE void StoreTo(hn::Vec<D> v, D d, S* to) {
  if constexpr (kIsHalf<D, S>) {
    hn::StoreU(S::Narrow(d, v), hn::Rebind<uint16_t, D>(), BitsAt(to));
  } else {
    hn::StoreU(v, d, to);
  }
}

// Past the caches where `stream`; `to` is aligned to what is stored then.
template <class D, class S>
HWY_INLINE void StoreOrStream(hn::Vec<D> v, D d, S* to, bool stream) {
  if constexpr (kIsHalf<D, S>) {
    const hn::Rebind<uint16_t, D> dh;
    constexpr size_t kLeastStreamed = 16;  // bytes: Highway would store so many of a shorter vector
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

// Two vectors' elements as a pair of vectors, in the order that is the least work.
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

// The first n < Lanes(d) elements; the lanes behind them hold `filler`.
template <class D, class S>
HWY_INLINE hn::Vec<D> LoadTail(D d, const S* from, size_t n, hn::TFromD<D> filler) {
  if constexpr (kIsHalf<D, S>) {
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
  if constexpr (kIsHalf<D, S>) {
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

// In elements, of an array's first one among as many.
template <class S>
HWY_INLINE size_t Misalignment(size_t lanes, const S* array) {
  return reinterpret_cast<uintptr_t>(array) / sizeof(S) % lanes;
}

// to = from, in aligned vectors.
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

#endif  // NONLIN_SIMD_VIO_INL_H_
