// Stands in for Highway's library where only a shared one is installed, as on Debian, so that the module needs none at run
// time. Of that library kernels use two functions, which find the instruction sets of a processor. For GCC and Clang; on
// other processors than x86 it knows what every one of them has.
#include "hwy/highway.h"

#if HWY_ARCH_X86
#include <cpuid.h>
#endif

namespace hwy {
namespace {

#if HWY_ARCH_X86
struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers Cpuid(unsigned leaf) {
  Registers r;
  __get_cpuid_count(leaf, 0, &r.a, &r.b, &r.c, &r.d);
  return r;
}

bool HasAll(unsigned features, unsigned wanted) { return (features & wanted) == wanted; }

// What the system saves of vectors when it switches threads.
bool Saves(unsigned wanted) {
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return HasAll(low, wanted);
}

// The features are those that Highway asks for, from SSE4 on.
int64_t Find() {
  const Registers basic = Cpuid(1), more = Cpuid(7), extended = Cpuid(0x80000001);
  int64_t targets = HWY_STATIC_TARGET;
  if (!HasAll(basic.c, bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_PCLMUL | bit_AES)) return targets;
  targets |= HWY_SSE4;
  constexpr unsigned kYmm = 0x6, kZmm = 0xE6;
  if (!HasAll(basic.c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C) || !HasAll(more.b, bit_AVX2 | bit_BMI | bit_BMI2) ||
      !HasAll(extended.c, bit_LZCNT) || !Saves(kYmm)) {
    return targets;
  }
  targets |= HWY_AVX2;
  if (!HasAll(more.b, bit_AVX512F | bit_AVX512VL | bit_AVX512DQ | bit_AVX512BW | bit_AVX512CD) || !Saves(kZmm)) {
    return targets;
  }
  return targets | HWY_AVX3;
}
#else
int64_t Find() { return HWY_STATIC_TARGET; }
#endif

}  // namespace

int64_t SupportedTargets() {
  static const int64_t targets = Find();
  return targets;
}

ChosenTarget& GetChosenTarget() {
  static ChosenTarget chosen;
  return chosen;
}

}  // namespace hwy
