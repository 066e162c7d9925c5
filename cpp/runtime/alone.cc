// The team of a build without threads: every call runs on the thread that makes it. It takes the place of pool.cc or
// openmp.cc.
#include "runtime/team.h"

namespace nonlin {

void RunTeam(const TeamJob& job) { job.alone(job.context); }
void InitTeam() {}
int AvailableCpus() { return 1; }
const char* TeamLibrary() { return "none"; }

}  // namespace nonlin
