// What the losses need besides their row kernels: their table, and the check of class targets before anything is written.
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

struct Loss {
  const char *name, *kind, *arguments, *options;
  bool with_grad;
  const char *summary, *source, *example, *result, *gradient;
};

const Loss kLosses[] = {
#define NONLIN_LOSS(name, Formula, kind, arguments, options, with_grad, class_cost, cost, ...) \
  {#name, #kind, arguments, options, with_grad, __VA_ARGS__},
#include "losses.def"
#undef NONLIN_LOSS
};

py::list Losses() {
  py::list rows;
  for (const Loss& loss : kLosses) {
    py::dict row;
    row["name"] = loss.name;
    row["kind"] = loss.kind;
    row["arguments"] = py::str(loss.arguments).attr("split")();
    row["options"] = py::str(loss.options).attr("split")();
    row["with_grad"] = loss.with_grad;
    row["summary"] = loss.summary;
    row["source"] = loss.source;
    row["example"] = loss.example;
    row["result"] = loss.result;
    row["gradient"] = loss.gradient;
    rows.append(row);
  }
  return rows;
}

}  // namespace

void RegisterLosses(py::module_& m) {
  m.def("losses", &Losses, "The table of losses, a dict a row.");
  m.def("prepare_targets", &PrepareTargets, py::arg("targets"), py::arg("classes"), py::arg("ignore_index"),
        py::arg("weight").none(true));
}

}  // namespace nonlin
