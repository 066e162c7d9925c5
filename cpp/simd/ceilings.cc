// Passes over memory that show the most that the machine can do, for the benchmark to compare with. Compiled once per
// instruction set; see elementwise.cc.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/ceilings.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels.h"
#include "simd/memory-inl.h"
#include "simd/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// The sum of f(vector) over all vectors, four at a time.
template <class T, class F>
HWY_INLINE double SumOf(const void* source, size_t bytes, F f) {
  const hn::ScalableTag<T> d;
  const T* from = static_cast<const T*>(source);
  const size_t lanes = hn::Lanes(d), n = bytes / sizeof(T);
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (size_t i = 0; i < n; i += 4 * lanes) {
    a = hn::Add(a, f(d, hn::Load(d, from + i)));
    b = hn::Add(b, f(d, hn::Load(d, from + i + lanes)));
    c = hn::Add(c, f(d, hn::Load(d, from + i + 2 * lanes)));
    e = hn::Add(e, f(d, hn::Load(d, from + i + 3 * lanes)));
  }
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e)))));
}

double Read(const void* source, void*, size_t bytes) {
  return SumOf<float>(source, bytes, [](auto, auto v) HWY_ATTR { return v; });
}

// The cheapest exponential of nonlin: no special values, no low part.
template <class T>
double Exponentials(const void* source, void*, size_t bytes) {
  return SumOf<T>(source, bytes, [](auto d, auto x) HWY_ATTR {
    const auto e = SplitShortExp(d, x);
    const auto power = Pow2<0>(d, e.k);
    return hn::MulAdd(power, e.fraction, power);
  });
}

template <bool kPastCaches>
double Write(const void*, void* target, size_t bytes) {
  const hn::ScalableTag<float> d;
  float* to = static_cast<float*>(target);
  const auto value = hn::Set(d, 1);
  for (size_t i = 0; i < bytes / sizeof(float); i += hn::Lanes(d)) StoreOrStream(value, d, to + i, kPastCaches);
  return 0;
}

template <bool kPastCaches>
double Copy(const void* source, void* target, size_t bytes) {
  CopyAligned(static_cast<const float*>(source), static_cast<float*>(target), bytes / sizeof(float), kPastCaches);
  return 0;
}

PassTable MakePassTable() {
  static const Pass kPasses[] = {
      {"read", Read},
      {"write", Write<false>},
      {"write past caches", Write<true>},
      {"copy", Copy<false>},
      {"copy past caches", Copy<true>},
      {"exponentials of float32", Exponentials<float>},
      {"exponentials of float64", Exponentials<double>},
  };
  return {kPasses, sizeof(kPasses) / sizeof(kPasses[0])};
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nonlin {

HWY_EXPORT(MakePassTable);

PassTable GetPassTable() { return HWY_DYNAMIC_DISPATCH(MakePassTable)(); }

}  // namespace nonlin
#endif  // HWY_ONCE
