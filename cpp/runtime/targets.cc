// Lists the instruction sets that Highway can dispatch to, and forces one of them. Kernels are in simd/.
#include "runtime/targets.h"

#include "hwy/highway.h"

namespace nonlin {
namespace {

// Bits of the usable targets, best (lowest) first.
std::vector<int64_t> TargetBits() {
  static const int64_t available = (hwy::SupportedTargets() | HWY_STATIC_TARGET) & HWY_TARGETS;  // before one is forced
  std::vector<int64_t> bits;
  for (int64_t rest = available; rest != 0; rest &= rest - 1) bits.push_back(rest & -rest);
  return bits;
}

int64_t forced = 0;

}  // namespace

std::vector<std::string> SupportedTargets() {
  std::vector<std::string> names;
  for (const int64_t bit : TargetBits()) names.push_back(hwy::TargetName(bit));
  return names;
}

std::string JoinedTargets() {
  std::string text;
  for (const std::string& name : SupportedTargets()) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string CurrentTarget() { return hwy::TargetName(forced != 0 ? forced : TargetBits().front()); }

bool ForceTarget(const std::string& name) {
  for (const int64_t bit : TargetBits()) {
    if (name != hwy::TargetName(bit)) continue;
    forced = bit;
    hwy::GetChosenTarget().Update(bit);
    return true;
  }
  return false;
}

std::string HighwayVersion() {
  return std::to_string(HWY_MAJOR) + "." + std::to_string(HWY_MINOR) + "." + std::to_string(HWY_PATCH);
}

}  // namespace nonlin
