// Lists the instruction sets that are in this build and on this CPU, and selects one.
#pragma once

#include <string>
#include <vector>

namespace nonlin {

std::vector<std::string> SupportedTargets();  // best first
std::string JoinedTargets();                  // joined by commas, for messages
std::string CurrentTarget();
bool ForceTarget(const std::string& name);  // returns false, and changes nothing, if it is not supported
std::string HighwayVersion();

}  // namespace nonlin
