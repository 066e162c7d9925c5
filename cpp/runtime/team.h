// The team behind a call: this thread, and others that help where they are free. One of pool.cc, openmp.cc and alone.cc
// is built in; threads.cc is its only user.
#pragma once

namespace nonlin {

struct TeamJob {
  int threads;          // at most, 2 or more
  double microseconds;  // that one thread would take, estimated
  void (*alone)(void* context);
  void (*together)(void* context, int place);  // on this thread with place 0, on others with different ones
  void* context;
};

// Calls `alone`, or else `together` here and on some others, maybe none. Returns when nobody is inside any more. One call
// at a time.
void RunTeam(const TeamJob& job);

void InitTeam();            // at import
int AvailableCpus();        // that the process may run on, where the system tells; else 0
const char* TeamLibrary();  // "pool", "OpenMP 201511", "none"

}  // namespace nonlin
