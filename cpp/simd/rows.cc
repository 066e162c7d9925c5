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

// Numbers without rows, of pieces of rows, are float64.
template <class Operation, class S>
constexpr RowKernels KernelsOfRows() {
  if constexpr (!Operation::kWideScalars) {
    return KernelsOf<Operation, S>();
  } else if constexpr (Has(Operation::kOperands, Operand::kRowIn) || std::is_same_v<S, double>) {
    return KernelsOf<Operation, S, Computed<S>>();
  } else {
    return {};
  }
}

template <class Operation>
RowOperation OperationOf(const char* name, const char* arguments, double cost) {
  return {name,
          cost * kCostLanes / hn::Lanes(hn::ScalableTag<float>()),
          TraitsOf<Operation>(),
          {KernelsOfRows<Operation, float>(), KernelsOfRows<Operation, double>(), KernelsOfRows<Operation, Float16>(),
           KernelsOfRows<Operation, PureBFloat16>()},
          arguments};
}

RowTable MakeRowTable() {
  static const RowOperation kOperations[] = {
#define NONLIN_ROWS(name, Operation, arguments, cost) OperationOf<Operation>(#name, arguments, cost),
#include "rows.def"
#undef NONLIN_ROWS
  };
  return {kOperations, sizeof(kOperations) / sizeof(kOperations[0])};
}

template <class S>
constexpr ChangeKernels ChangesOf() {
  return {Change<S>::Run, Change<S>::Restore};
}

std::array<ChangeKernels, kDTypes> MakeChangeKernels() {
  return {ChangesOf<float>(), ChangesOf<double>(), ChangesOf<Float16>(), ChangesOf<BFloat16>()};
}

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nonlin {

HWY_EXPORT(MakeRowTable);
HWY_EXPORT(MakeChangeKernels);

RowTable GetRowTable() { return HWY_DYNAMIC_DISPATCH(MakeRowTable)(); }

std::array<ChangeKernels, kDTypes> GetChangeKernels() { return HWY_DYNAMIC_DISPATCH(MakeChangeKernels)(); }

}  // namespace nonlin
#endif  // HWY_ONCE
