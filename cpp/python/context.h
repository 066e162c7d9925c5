// The number of threads that nl.num_threads sets: a context variable, which calls read while they hold the GIL.
#pragma once

#include <Python.h>

namespace nonlin {

int LimitOfContext();  // of this context, or 0 where none is set; needs the GIL
int LimitOfLoop();     // of the call that runs a loop; methods, such as outer, ask the context here

}  // namespace nonlin
