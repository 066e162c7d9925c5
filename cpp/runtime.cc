// Runtime functions: threads, instruction sets, build configuration.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "kernels.h"
#include "module.h"
#include "parallel.h"
#include "targets.h"

namespace py = pybind11;

namespace nonlin {
namespace {

std::string Join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string Compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#else
  return "unknown";
#endif
}

void ChooseTarget() {
  const char* wanted = std::getenv("NONLIN_SIMD_TARGET");
  if (wanted == nullptr || *wanted == '\0' || ForceTarget(wanted)) return;
  throw py::import_error("NONLIN_SIMD_TARGET is " + std::string(wanted) +
                         "; this build and CPU take one of: " + Join(SupportedTargets()));
}

}  // namespace

void RegisterRuntime(py::module_& m) {
  ChooseTarget();
  m.attr("__version__") = NONLIN_VERSION;
  m.def("get_num_threads", &MaxThreads);
  m.def("set_num_threads", &SetMaxThreads);
  m.def("simd_target", &CurrentTarget);
  m.def("simd_targets", &SupportedTargets);
  m.def("config", [] {
    py::dict config;
    config["version"] = NONLIN_VERSION;
    config["simd_target"] = CurrentTarget();
    config["simd_targets"] = SupportedTargets();
    config["threads"] = MaxThreads();
    config["openmp"] = OpenMPRuntime();
    config["compiler"] = Compiler();
    config["highway"] = HighwayVersion();
    return config;
  });
}

}  // namespace nonlin
