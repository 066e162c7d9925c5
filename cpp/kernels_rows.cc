// Row kernels, compiled once per instruction set; see kernels_map.cc.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_rows.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels.h"
#include "simd/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

RowTable MakeRowTable() {
  static const RowOperation kOperations[] = {
#define NONLIN_ROWS(name, Operation, cost, doc) RowOperationOf<Operation, false>(#name, cost, doc),
#include "rows.def"
#undef NONLIN_ROWS
  };
  return {kOperations, sizeof(kOperations) / sizeof(kOperations[0])};
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nonlin {

HWY_EXPORT(MakeRowTable);

RowTable GetRowTable() { return HWY_DYNAMIC_DISPATCH(MakeRowTable)(); }

}  // namespace nonlin
#endif  // HWY_ONCE
