// The loops of the losses over rows of 16-bit types, for the table of kernels_losses.cc.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_losses_half.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels.h"
#include "simd/losses-inl.h"

// No HWY_BEFORE_NAMESPACE: it is for definitions, which are those of the templates.
namespace nonlin {
namespace HWY_NAMESPACE {

#define NONLIN_ROWS(name, Operation, cost, doc)        \
  extern template struct RowLoops<Operation, float>;   \
  template struct RowLoops<Operation, Float16, float>; \
  template struct RowLoops<Operation, BFloat16, float>;
#include "loss_rows.def"
#undef NONLIN_ROWS

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
