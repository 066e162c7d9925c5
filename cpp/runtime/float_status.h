// The floating-point environment of a call: round to nearest, sub-normal numbers kept, no traps, whatever the thread's own
// is. A library that is linked with -ffast-math changes it for the thread that loads it. Neither that nor a status flag,
// which NumPy would turn into a warning, is left behind.
#pragma once

#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

namespace nonlin {

#if defined(__SSE2__) || defined(_M_X64)

// Of SSE alone, whose flags and mode are those of the kernels: with those of x87, a call takes 50 ns more.
class FloatScope {
 public:
  FloatScope() : mode_(_mm_getcsr() & ~kFlags) {
    if (mode_ != kDefault) _mm_setcsr(kDefault);
  }
  ~FloatScope() {
    if (mode_ != kDefault || (_mm_getcsr() & kRead) != 0) _mm_setcsr(mode_);
  }
  FloatScope(const FloatScope&) = delete;
  FloatScope& operator=(const FloatScope&) = delete;

 private:
  // All flags; those that NumPy reads: invalid, division by zero, overflow, underflow; and a thread's mode at its start.
  static constexpr unsigned kFlags = 0x3F, kRead = 0x1D, kDefault = 0x1F80;
  unsigned mode_;
};

#else

class FloatScope {
 public:
  FloatScope() {
    std::fegetenv(&environment_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~FloatScope() { std::fesetenv(&environment_); }
  FloatScope(const FloatScope&) = delete;
  FloatScope& operator=(const FloatScope&) = delete;

 private:
  std::fenv_t environment_;
};

#endif

}  // namespace nonlin
