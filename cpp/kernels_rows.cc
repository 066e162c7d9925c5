// Row kernels, compiled once per instruction set; see kernels_map.cc.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_rows.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels.h"
#include "simd/losses-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

const RowKernels* RowTable() {
  static const RowKernels kTable[] = {
#define NONLIN_ROWS(name, Operation, ...)                               \
  {Operation::kOperands,                                                \
   {RowLoops<Operation, float>::Run, RowLoops<Operation, double>::Run}, \
   {RowLoops<Operation, float>::Scratch, RowLoops<Operation, double>::Scratch}},
#include "rows.def"
#undef NONLIN_ROWS
  };
  return kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nonlin {

HWY_EXPORT(RowTable);

const RowKernels* GetRowKernels() { return HWY_DYNAMIC_DISPATCH(RowTable)(); }

const RowOperation kRowOperations[] = {
#define NONLIN_ROWS(name, Operation, ...) {#name, __VA_ARGS__},
#include "rows.def"
#undef NONLIN_ROWS
};
const int kRowOperationCount = sizeof(kRowOperations) / sizeof(kRowOperations[0]);

}  // namespace nonlin
#endif  // HWY_ONCE
