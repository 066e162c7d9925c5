// Losses on the row kernels, compiled once per instruction set; see kernels_map.cc.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_losses.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels.h"
#include "simd/losses-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// Compiled beside this file, in kernels_losses_double.cc and kernels_losses_half.cc: they take a minute or two.
#define NONLIN_ROWS(name, Operation, cost, doc)               \
  template struct RowLoops<Operation, float>;                 \
  extern template struct RowLoops<Operation, double>;         \
  extern template struct RowLoops<Operation, Float16, float>; \
  extern template struct RowLoops<Operation, BFloat16, float>;
#include "loss_rows.def"
#undef NONLIN_ROWS

RowTable MakeLossTable() {
  static const RowOperation kOperations[] = {
  // 16-bit logits have a loss in float.
#define NONLIN_ROWS(name, Operation, cost, doc) RowOperationOf<Operation, true>(#name, cost, doc),
#include "loss_rows.def"
#undef NONLIN_ROWS
  };
  return {kOperations, sizeof(kOperations) / sizeof(kOperations[0])};
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nonlin {

HWY_EXPORT(MakeLossTable);

RowTable GetLossTable() { return HWY_DYNAMIC_DISPATCH(MakeLossTable)(); }

}  // namespace nonlin
#endif  // HWY_ONCE
