// Loads and stores: whole vectors, and tails of fewer than a vector's lanes, which never touch memory beyond their end;
// and the 16-bit types, which are only stored: they are computed in float.

#if defined(NONLIN_SIMD_VIO_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_VIO_INL_H_
#undef NONLIN_SIMD_VIO_INL_H_
#else
#define NONLIN_SIMD_VIO_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The first n < Lanes(d) elements; the lanes behind them hold `filler`.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> LoadTail(D d, const T* from, size_t n, T filler) {
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN T buffer[hn::MaxLanes(d)];
  hn::Store(hn::Set(d, filler), d, buffer);
  for (size_t i = 0; i < n; ++i) buffer[i] = from[i];
  return hn::Load(d, buffer);
#else
  const auto mask = hn::FirstN(d, n);
  return hn::IfThenElse(mask, hn::MaskedLoad(mask, d, from), hn::Set(d, filler));
#endif
}

template <class D, class T = hn::TFromD<D>>
HWY_INLINE void StoreTail(hn::Vec<D> v, D d, T* to, size_t n) {
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN T buffer[hn::MaxLanes(d)];
  hn::Store(v, d, buffer);
  for (size_t i = 0; i < n; ++i) to[i] = buffer[i];
#else
  hn::BlendedStore(v, hn::FirstN(d, n), d, to);
#endif
}

// In elements, of an array's first one in a vector.
template <class D, class T>
HWY_INLINE size_t Misalignment(D d, const T* array) {
  return reinterpret_cast<uintptr_t>(array) / sizeof(T) % hn::Lanes(d);
}

// Past the caches where `stream`; `to` is aligned then.
template <class D, class T>
HWY_INLINE void StoreOrStream(hn::Vec<D> v, D d, T* to, bool stream) {
  if (stream) {
    hn::Stream(v, d, to);
  } else {
    hn::StoreU(v, d, to);
  }
}

// to = from, in aligned vectors.
template <class D, class T>
HWY_INLINE void CopyAligned(D d, const T* from, T* to, size_t n, bool stream) {
  const size_t lanes = hn::Lanes(d);
  size_t i = HWY_MIN(n, (lanes - Misalignment(d, to)) % lanes);
  if (i > 0) StoreTail(LoadTail(d, from, i, T(0)), d, to, i);
  for (; i + lanes <= n; i += lanes) StoreOrStream(hn::LoadU(d, from + i), d, to + i, stream);
  if (i < n) StoreTail(LoadTail(d, from + i, n - i, T(0)), d, to + i, n - i);
}

// ---------------------------------------------------------------- 16-bit types
//
// Rounded to nearest even, sub-normals kept, NaN and infinities too: in integer arithmetic, as what processors and Highway
// offer for these conversions flushes sub-normals (bfloat16) or gives infinities up (float16 without F16C).

// Loads and stores a vector of 16-bit numbers by way of Half::Widen and Half::Narrow, from bits to bits.
template <class Half>
struct ByBits {
  template <class D>
  static hn::Vec<D> Load(D d, const uint16_t* from) {
    const hn::RebindToUnsigned<D> du;
    return hn::BitCast(d, Half::Widen(du, hn::PromoteTo(du, hn::LoadU(hn::Rebind<uint16_t, D>(), from))));
  }
  template <class D>
  static void Store(hn::Vec<D> v, D, uint16_t* to) {
    const hn::RebindToUnsigned<D> du;
    const hn::Rebind<uint16_t, D> dh;
    const auto bits = Half::Narrow(du, hn::BitCast(du, v));
    hn::StoreU(hn::DemoteTo(dh, hn::BitCast(hn::RebindToSigned<D>(), bits)), dh, to);
  }
};

struct BFloat16 : ByBits<BFloat16> {
  template <class DU, class VU>
  static VU Widen(DU, VU h) {
    return hn::ShiftLeft<16>(h);
  }
  template <class DU, class VU>
  static VU Narrow(DU du, VU bits) {
    const VU high = hn::ShiftRight<16>(bits);
    const VU carry = hn::Add(hn::And(high, hn::Set(du, 1)), hn::Set(du, 0x7FFF));
    const VU rounded = hn::ShiftRight<16>(hn::Add(bits, carry));
    const auto is_nan = hn::IsNaN(hn::BitCast(hn::RebindToFloat<DU>(), bits));
    return hn::IfThenElse(hn::RebindMask(du, is_nan), hn::Or(high, hn::Set(du, 0x40)), rounded);
  }
};

#if HWY_TARGET <= HWY_AVX2 && !defined(HWY_DISABLE_F16C)
struct Float16 {
  template <class D>
  static hn::Vec<D> Load(D d, const uint16_t* from) {
    const hn::Rebind<uint16_t, D> dh;
    return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), hn::LoadU(dh, from)));
  }
  template <class D>
  static void Store(hn::Vec<D> v, D, uint16_t* to) {
    const hn::Rebind<uint16_t, D> dh;
    hn::StoreU(hn::BitCast(dh, hn::DemoteTo(hn::Rebind<hwy::float16_t, D>(), v)), dh, to);
  }
};
#else
struct Float16 : ByBits<Float16> {
  template <class DU, class VU>
  static VU Widen(DU du, VU h) {
    const hn::RebindToFloat<DU> d;
    const VU magnitude = hn::ShiftLeft<13>(hn::And(h, hn::Set(du, 0x7FFF)));
    // The exponent's bias grows by 112; the product brings sub-normals too.
    const VU scaled = hn::BitCast(du, hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 5.192296858534828e33f)));
    const auto special = hn::Gt(magnitude, hn::Set(du, 0x0F7FFFFF));
    const VU value = hn::IfThenElse(special, hn::Or(magnitude, hn::Set(du, 0x7F800000)), scaled);
    return hn::Or(value, hn::ShiftLeft<16>(hn::And(h, hn::Set(du, 0x8000))));
  }
  template <class DU, class VU>
  static VU Narrow(DU du, VU bits) {
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

// to = vector(from) for n numbers, a float vector's lanes at a time; an incomplete last one goes through buffers.
template <class From, class To, class F>
HWY_INLINE void ConvertAll(const From* from, To* to, size_t n, F vector) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) vector(from + i, to + i);
  if (i == n) return;
  HWY_ALIGN From in[hn::MaxLanes(d)] = {};
  HWY_ALIGN To out[hn::MaxLanes(d)];
  for (size_t k = i; k < n; ++k) in[k - i] = from[k];
  vector(in, out);
  for (size_t k = i; k < n; ++k) to[k] = out[k - i];
}

template <class Half>
void Widen(const uint16_t* from, float* to, size_t n) {
  ConvertAll(from, to, n, [](const uint16_t* in, float* out) HWY_ATTR {
    const hn::ScalableTag<float> d;
    hn::StoreU(Half::Load(d, in), d, out);
  });
}

template <class Half>
void Narrow(const float* from, uint16_t* to, size_t n) {
  ConvertAll(from, to, n, [](const float* in, uint16_t* out) HWY_ATTR {
    const hn::ScalableTag<float> d;
    Half::Store(hn::LoadU(d, in), d, out);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_VIO_INL_H_
