// The instruction sets that this build holds and this CPU has.
#pragma once

#include <string>
#include <vector>

namespace nonlin {

std::vector<std::string> SupportedTargets();  // best first
std::string JoinedTargets();                  // with commas, for messages
std::string CurrentTarget();
bool ForceTarget(const std::string& name);  // false, and nothing is changed, if it is not supported
std::string HighwayVersion();

}  // namespace nonlin
