// The team that runs a call: this thread, and others that help if they are free. One of pool.cc, openmp.cc and alone.cc is
// built in; only threads.cc uses it.
#pragma once

namespace nonlin {

struct TeamJob {
  int threads;          // the most to use, 2 or more
  double microseconds;  // estimated time on one thread
  void (*alone)(void* context);
  void (*together)(void* context, int place);  // place is 0 on this thread, and different on each other one
  void* context;
};

// Calls `alone`, or else `together` on this thread and on others, maybe none. Returns when all of them have returned. Only
// one call at a time.
void RunTeam(const TeamJob& job);

void InitTeam();            // at import
int AvailableCpus();        // that the process may run on; 0 if the system does not tell
const char* TeamLibrary();  // "pool", "OpenMP 201511", "none"

}  // namespace nonlin
