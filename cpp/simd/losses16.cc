// The loss kernels for rows of the 16-bit types, whose losses are float32. Compiled once per instruction set; see
// elementwise.cc.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/losses16.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels.h"
#include "simd/losses-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

const LossKernels* MakeKernelsFloat16() { return LossTable<Float16, float>(); }
const LossKernels* MakeKernelsBFloat16() { return LossTable<BFloat16, float>(); }

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nonlin {

HWY_EXPORT(MakeKernelsFloat16);
HWY_EXPORT(MakeKernelsBFloat16);

const LossKernels* GetLossKernelsFloat16() { return HWY_DYNAMIC_DISPATCH(MakeKernelsFloat16)(); }
const LossKernels* GetLossKernelsBFloat16() { return HWY_DYNAMIC_DISPATCH(MakeKernelsBFloat16)(); }

}  // namespace nonlin
#endif  // HWY_ONCE
