// What the losses need besides their row kernels: the check of class targets, before anything is written.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <vector>

#include "module.h"

namespace py = pybind11;

namespace nonlin {
namespace {

using Targets = py::array_t<int64_t, py::array::c_style>;
using Weights = py::array_t<double, py::array::c_style>;

// A copy in which an ignored target is -1; the sum of the weights of those that count; the flat position of the first
// target that is no class, or -1.
py::tuple PrepareTargets(const Targets& targets, int64_t classes, int64_t ignore_index,
                         const std::optional<Weights>& weight) {
  py::array_t<int64_t> prepared(std::vector<py::ssize_t>(targets.shape(), targets.shape() + targets.ndim()));
  const int64_t* from = targets.data();
  int64_t* to = prepared.mutable_data();
  const double* weights = weight ? weight->data() : nullptr;
  const py::ssize_t n = targets.size();
  double sum = 0;
  py::ssize_t counted = 0, bad = -1;
  {
    const py::gil_scoped_release release;
    for (py::ssize_t i = 0; i < n; ++i) {
      const int64_t target = from[i];
      const bool ignored = target == ignore_index;
      to[i] = ignored ? -1 : target;
      if (ignored) continue;
      if (target < 0 || target >= classes) {
        bad = i;
        break;
      }
      ++counted;
      if (weights != nullptr) sum += weights[target];
    }
  }
  return py::make_tuple(prepared, weights != nullptr ? sum : static_cast<double>(counted), bad);
}

}  // namespace

void RegisterLosses(py::module_& m) {
  m.def("prepare_targets", &PrepareTargets, py::arg("targets"), py::arg("classes"), py::arg("ignore_index"),
        py::arg("weight").none(true));
}

}  // namespace nonlin
