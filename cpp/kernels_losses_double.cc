// The loops of the losses over rows of float64, for the table of kernels_losses.cc.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_losses_double.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels.h"
#include "simd/losses-inl.h"

// No HWY_BEFORE_NAMESPACE: it is for definitions, which are those of the templates.
namespace nonlin {
namespace HWY_NAMESPACE {

#define NONLIN_ROWS(name, Operation, cost, doc) template struct RowLoops<Operation, double>;
#include "loss_rows.def"
#undef NONLIN_ROWS

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
