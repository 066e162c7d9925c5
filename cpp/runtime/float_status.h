// The floating-point status flags, which NumPy turns into warnings where a loop leaves them behind, and the mode: rounding
// and the treatment of sub-normal numbers.
#pragma once

#if defined(__SSE2__) || defined(_M_X64)
#define NONLIN_HAS_SSE_STATUS 1
#include <xmmintrin.h>
#else
#define NONLIN_HAS_SSE_STATUS 0
#include <cfenv>
#endif

namespace nonlin {

#if NONLIN_HAS_SSE_STATUS

// Clears the flags if one is set that NumPy reads: invalid, division by zero, overflow, underflow. Kernels set only those of
// SSE, and clearing these alone saves 50 ns.
inline void ClearFloatStatus() {
  constexpr unsigned kFlags = 0x3F, kRead = 0x1D;
  const unsigned status = _mm_getcsr();
  if ((status & kRead) != 0) _mm_setcsr(status & ~kFlags);
}

// Of SSE too, whole: what the C library of Windows hands on lacks the treatment of sub-normal numbers.
using FloatMode = unsigned;
inline FloatMode GetFloatMode() { return _mm_getcsr(); }
inline void SetFloatMode(FloatMode mode) { _mm_setcsr(mode); }

#else

inline void ClearFloatStatus() {
  if (std::fetestexcept(FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INVALID) != 0) std::feclearexcept(FE_ALL_EXCEPT);
}

using FloatMode = std::fenv_t;
inline FloatMode GetFloatMode() {
  FloatMode mode;
  std::fegetenv(&mode);
  return mode;
}
inline void SetFloatMode(const FloatMode& mode) { std::fesetenv(&mode); }

#endif

}  // namespace nonlin
