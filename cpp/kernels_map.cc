// Elementwise kernels. Highway includes this file again for every instruction set; what stands after HWY_ONCE is
// compiled once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_map.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels.h"
#include "simd/half-inl.h"
#include "simd/map-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

constexpr size_t CountNames(const char* names) {
  size_t count = 1;
  for (; *names; ++names) count += *names == ' ';
  return count;
}

template <template <class> class Call, class Activation, size_t kInputs>
constexpr MapKernels KernelsOf() {
  return {Map<Call<Activation>, float, kInputs>, Map<Call<Activation>, double, kInputs>,
          Map<Call<Half<Activation, Float16>>, Float16, kInputs>,
          Map<Call<Half<Activation, PureBFloat16>>, PureBFloat16, kInputs>};
}

const ActivationKernels* ActivationTable() {
  static const ActivationKernels kTable[] = {
#define NONLIN_ACTIVATION(name, Struct, inputs, backward_inputs, ...) \
  {KernelsOf<ForwardOf, Struct, CountNames(inputs)>(), KernelsOf<BackwardOf, Struct, CountNames(backward_inputs)>()},
#include "activations.def"
#undef NONLIN_ACTIVATION
  };
  return kTable;
}

LookUpKernel LookUpTable() { return LookUp; }

size_t LanesOfFloat() { return hn::Lanes(hn::ScalableTag<float>()); }

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nonlin {

HWY_EXPORT(ActivationTable);
HWY_EXPORT(LookUpTable);
HWY_EXPORT(LanesOfFloat);

const ActivationKernels* GetActivationKernels() { return HWY_DYNAMIC_DISPATCH(ActivationTable)(); }

LookUpKernel GetLookUpKernel() { return HWY_DYNAMIC_DISPATCH(LookUpTable)(); }

size_t FloatLanes() { return HWY_DYNAMIC_DISPATCH(LanesOfFloat)(); }

const Activation kActivations[] = {
#define NONLIN_ACTIVATION(name, Struct, ...) {#name, __VA_ARGS__},
#include "activations.def"
#undef NONLIN_ACTIVATION
};
const int kActivationCount = sizeof(kActivations) / sizeof(kActivations[0]);

}  // namespace nonlin
#endif  // HWY_ONCE
