// Clears the floating-point status flags, the last step of a call: NumPy turns flags that a loop leaves behind into
// warnings.
#pragma once

#include <cfenv>

namespace nonlin {

// Usually none of the flags that NumPy looks at is set, and testing is 50 ns cheaper than clearing.
inline void ClearFloatStatus() {
  if (std::fetestexcept(FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INVALID) != 0) std::feclearexcept(FE_ALL_EXCEPT);
}

}  // namespace nonlin
