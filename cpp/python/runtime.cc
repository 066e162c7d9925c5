// Runtime functions: threads, instruction sets, build configuration.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels.h"
#include "python/context.h"
#include "python/module.h"
#include "runtime/targets.h"
#include "runtime/team.h"
#include "runtime/threads.h"

namespace py = pybind11;

namespace nonlin {
namespace {

std::string Compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#elif defined(_MSC_VER)
  return "msvc " + std::to_string(_MSC_VER);
#else
  return "unknown";
#endif
}

// CMake's optimised build types define this name, and no other does.
const char* Build() {
#ifdef NDEBUG
  return "optimised";
#else
  return "debug";
#endif
}

void ChooseTarget() {
  const char* wanted = std::getenv("NONLIN_SIMD_TARGET");
  if (wanted == nullptr || *wanted == '\0' || ForceTarget(wanted)) return;
  throw py::import_error("NONLIN_SIMD_TARGET is " + std::string(wanted) +
                         "; this build and CPU take one of: " + JoinedTargets());
}

using Bytes = py::array_t<uint8_t, py::array::c_style>;

// One of the passes, `repeats` times, by all threads: each goes over its own part of the arrays again and again, so that
// nothing is in the time but the pass.
double RunPass(const std::string& name, const Bytes& source, Bytes& target, size_t repeats) {
  const PassTable table = GetPassTable();
  const Pass* const end = table.passes + table.count;
  const Pass* const pass = std::find_if(table.passes, end, [&](const Pass& p) { return p.name == name; });
  const auto* from = reinterpret_cast<const char*>(source.data());
  auto* to = reinterpret_cast<char*>(target.mutable_data());
  const auto misfit = [](const void* data, size_t bytes) {
    return reinterpret_cast<uintptr_t>(data) % kPassBytes != 0 || bytes % kPassBytes != 0;
  };
  const size_t bytes = source.nbytes();
  if (pass == end || misfit(from, bytes) || misfit(to, bytes) || static_cast<size_t>(target.nbytes()) != bytes) {
    throw py::value_error("not a pass, or not two arrays for one: " + name);
  }
  const CallLimit limit(LimitOfContext());
  std::atomic<double> total{0};
  ParallelFor(bytes, kPassBytes, 1e9, [&](size_t begin, size_t stop) {
    double sum = 0;
    for (size_t i = 0; i < repeats; ++i) sum += pass->run(from + begin, to + begin, stop - begin);
    total = sum;
  });
  return total;
}

}  // namespace

// By this symbol threadpoolctl tells this library from others of its name.
extern "C" PYBIND11_EXPORT int nonlin_num_threads() { return MaxThreads(); }

void RegisterRuntime(py::module_& m) {
  ChooseTarget();
  InitThreads();
  m.attr("__version__") = NONLIN_VERSION;
  m.def("get_num_threads", &MaxThreads, "Of the process.");
  m.def("set_num_threads", &SetMaxThreads);
  m.def("simd_target", &CurrentTarget);
  m.def("simd_targets", &SupportedTargets);
  m.def("run_pass", &RunPass, py::arg("name"), py::arg("source"), py::arg("target").noconvert(), py::arg("repeats"));
  m.def("config", [] {
    py::dict config;
    config["version"] = NONLIN_VERSION;
    config["simd_target"] = CurrentTarget();
    config["simd_targets"] = SupportedTargets();
    config["threads"] = MaxThreads();
    config["threading"] = TeamLibrary();
    config["compiler"] = Compiler();
    config["build"] = Build();
    config["highway"] = HighwayVersion();
    return config;
  });
}

}  // namespace nonlin
