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

// Compiled beside this file, in kernels_losses_double.cc: they take a minute or two.
#define NONLIN_ROWS(name, Operation, cost, doc) extern template struct RowLoops<Operation, double>;
#include "loss_rows.def"
#undef NONLIN_ROWS

RowTable MakeLossTable() {
  static const RowOperation kOperations[] = {
#define NONLIN_ROWS(name, Operation, cost, doc) RowOperationOf<Operation>(#name, cost, doc),
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
