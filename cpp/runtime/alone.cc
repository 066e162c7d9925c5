// No team: every call on the thread that makes it.
#include "runtime/team.h"

namespace nonlin {

void RunTeam(const TeamJob& job) { job.alone(job.context); }
void InitTeam() {}
int AvailableCpus() { return 1; }
const char* TeamLibrary() { return "none"; }

}  // namespace nonlin
