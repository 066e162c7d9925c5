// The tables of elementwise kernels and activations. Highway includes this file once for every instruction set; code under
// HWY_ONCE is compiled only once. Loops are in elementwise-inl.h, formulas in the headers of activations.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/elementwise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels.h"
#include "simd/activations16-inl.h"
#include "simd/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

template <template <class> class Call, class Activation, class List>
constexpr ElementwiseKernels KernelsOf() {
  constexpr ElementwiseKernel kFloat = Map<Call<Activation>, float, List>;
  constexpr ElementwiseKernel kDouble = Map<Call<Activation>, double, List>;
  if constexpr (kIsRare) {
    using Form = Call<Activation>;
    return {kFloat, kDouble, MapByKernel<Form, kFloat, List, Float16>, MapByKernel<Form, kFloat, List, PureBFloat16>};
  } else {
    return {kFloat, kDouble, Map<Call<Short<Activation, Float16>>, Float16, List>,
            Map<Call<Short<Activation, PureBFloat16>>, PureBFloat16, List>};
  }
}

#define NONLIN_ACTIVATION(name, Struct, inputs, slope, ...)           \
  struct ForwardInputs_##name {                                       \
    static constexpr InputList kList = inputs;                        \
  };                                                                  \
  struct BackwardInputs_##name {                                      \
    static constexpr InputList kList = BackwardInputs(inputs, slope); \
  };
#include "activations.def"
#undef NONLIN_ACTIVATION

const ActivationKernels* ActivationTable() {
  static const ActivationKernels kTable[] = {
#define NONLIN_ACTIVATION(name, Struct, inputs, slope, ...) \
  {KernelsOf<ForwardOf, Struct, ForwardInputs_##name>(), KernelsOf<BackwardOf, Struct, BackwardInputs_##name>()},
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
