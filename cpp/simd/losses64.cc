// The loss kernels for rows of float64. Compiled once per instruction set; see elementwise.cc.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/losses64.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels.h"
#include "simd/losses-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

const LossKernels* MakeKernels64() { return LossTable<double, double>(); }

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nonlin {

HWY_EXPORT(MakeKernels64);

const LossKernels* GetLossKernels64() { return HWY_DYNAMIC_DISPATCH(MakeKernels64)(); }

}  // namespace nonlin
#endif  // HWY_ONCE
