// The table of row operations: softmax and its family. Compiled once per instruction set; see elementwise.cc.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/rows.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels.h"
#include "simd/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

template <class Operation>
RowOperation OperationOf(const char* name, double cost) {
  return {name,
          cost * kCostLanes / hn::Lanes(hn::ScalableTag<float>()),
          TraitsOf<Operation>(),
          {KernelsOf<Operation, float>(), KernelsOf<Operation, double>(), KernelsOf<Operation, Float16>(),
           KernelsOf<Operation, PureBFloat16>()}};
}

RowTable MakeRowTable() {
  static const RowOperation kOperations[] = {
#define NONLIN_ROWS(name, Operation, cost) OperationOf<Operation>(#name, cost),
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
