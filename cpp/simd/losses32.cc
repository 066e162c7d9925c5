// The loss kernels for rows of float32, compiled once per instruction set (see elementwise.cc), and the table of losses.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/losses32.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels.h"
#include "simd/losses-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

const LossKernels* MakeKernels32() { return LossTable<float, float>(); }

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nonlin {

HWY_EXPORT(MakeKernels32);

const LossKernels* GetLossKernels32() { return HWY_DYNAMIC_DISPATCH(MakeKernels32)(); }

const Loss kLosses[] = {
#define NONLIN_LOSS(name, Formula, ...) {#name, __VA_ARGS__},
#include "losses.def"
#undef NONLIN_LOSS
};
const int kLossCount = sizeof(kLosses) / sizeof(kLosses[0]);

}  // namespace nonlin
#endif  // HWY_ONCE
