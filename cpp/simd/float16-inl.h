// Conversions of vectors of the 16-bit types, float16 and bfloat16, to vectors of float and back: these types are storage
// only. Rounding is to nearest even; sub-normal numbers, NaN and infinities are kept.

#if defined(NONLIN_SIMD_FLOAT16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_FLOAT16_INL_H_
#undef NONLIN_SIMD_FLOAT16_INL_H_
#else
#define NONLIN_SIMD_FLOAT16_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// In integer arithmetic, as the conversions of processors and Highway flush sub-normals (bfloat16) or lose infinities
// (float16 without F16C).
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
  // The result is in the upper half of each lane, unless the lower half of a NaN carries into it.
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

// If all operands are bfloat16, the lower half of a NaN is 0, so that NaN rounds like any number.
struct PureBFloat16 : BFloat16 {
  template <class D, class V>
  HWY_INLINE static hn::Vec<hn::Rebind<uint16_t, D>> Narrow(D d, V v) {
    return Upper(d, Rounded(d, v));
  }
#if HWY_TARGET != HWY_SCALAR
  // The even or the odd elements of a vector: half the work.
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
    // The exponent's bias grows by 112; a product handles sub-normals too.
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
    // A carry turns numbers that are too large into infinity.
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

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_FLOAT16_INL_H_
