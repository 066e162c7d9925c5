// How row kernels are compiled for the instruction set at hand. Without SSE4, on machines of before 2008, this is for size:
// 0.6 of it, and 0.09 MB of a wheel, for 1.16 times as long. The kernels of activations become no smaller so.
#include "hwy/highway.h"

#if defined(__GNUC__) && !defined(__clang__) && HWY_ARCH_X86 && HWY_TARGET > HWY_SSE4
#undef HWY_BEFORE_NAMESPACE
#undef HWY_AFTER_NAMESPACE
#ifdef HWY_TARGET_STR
#define HWY_BEFORE_NAMESPACE() HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR) HWY_PRAGMA(GCC optimize("Os")) static_assert(true, "")
#else
#define HWY_BEFORE_NAMESPACE() HWY_PRAGMA(GCC push_options) HWY_PRAGMA(GCC optimize("Os")) static_assert(true, "")
#endif
#define HWY_AFTER_NAMESPACE() HWY_PRAGMA(GCC pop_options) static_assert(true, "")
#endif
