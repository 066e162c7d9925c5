// The elementwise functions as NumPy ufuncs, with their documentation, made from activations.def. Broadcasting, casting,
// overlap and `out=` are NumPy's.
#include <pybind11/pybind11.h>

#include <deque>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "python/context.h"
#include "python/dtypes.h"
#include "python/module.h"
#include "runtime/elementwise.h"
#include "runtime/targets.h"
#include "runtime/threads.h"
#include "tuning.h"

namespace py = pybind11;

namespace nonlin {
namespace {

void InnerLoop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const auto& loop = *static_cast<const ElementwiseLoop*>(data);
  if (RunSmall(loop, args, steps, dimensions[0])) return;
  const CallLimit limit(LimitOfLoop());
  RunElementwise(loop, args, steps, dimensions[0]);
}

// A loop whose last inputs, the parameters, have their defaults.
struct DefaultsLoop {
  ElementwiseLoop loop;
  int operands;
  char* defaults[kMaxInputs];
};

void InnerLoopOfDefaults(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const auto& d = *static_cast<const DefaultsLoop*>(data);
  char* all[kMaxInputs + kMaxOutputs];
  npy_intp all_steps[kMaxInputs + kMaxOutputs];
  for (int k = 0, given = 0; k < d.loop.inputs + d.loop.outputs; ++k) {
    const bool is_default = d.operands <= k && k < d.loop.inputs;
    all[k] = is_default ? d.defaults[k - d.operands] : args[given];
    all_steps[k] = is_default ? 0 : steps[given];
    given += !is_default;
  }
  InnerLoop(all, dimensions, all_steps, const_cast<ElementwiseLoop*>(&d.loop));
}

const char* Describe(std::string_view name) {
  if (name == "grad") return "The gradient of the loss with respect to the result, dL/d(out).";
  if (name == "y") return "The *result* of the forward function.";
  if (name == "gate") return "The argument of the activation.";
  if (name == "up") return "The factor that the activation gates.";
  if (name == "x") return "The argument.";
  return "A parameter of the formula; broadcasts.";
}

// numpydoc; NumPy puts the signature line in front.
std::string Documentation(const Activation& a, bool backward) {
  const bool is_gated = a.inputs.Operands() > 1;
  const Ulp& ulp = backward ? kBackwardUlp : a.ulp;
  std::ostringstream doc;
  if (backward) {
    doc << "Gradient of `" << a.name << "`: `grad` times the derivative at the forward pass's argument.\n\n";
  }
  doc << a.summary << "\n\nParameters\n----------\n";
  for (const Input& input : backward ? BackwardInputs(a.inputs, a.slope) : a.inputs) {
    doc << input.name << " : array_like";
    if (input.is_parameter) doc << ", default " << std::string(py::repr(py::float_(input.value)));
    doc << "\n    " << Describe(input.name) << "\n";
  }
  doc << "**kwargs\n    `out`, `where`, `dtype`, `casting` and the others of every NumPy ufunc.\n"
      << "\nReturns\n-------\n"
      << (backward && is_gated ? "grad_gate, grad_up : ndarray\n" : "ndarray\n")
      << "    Of the shape to which the inputs broadcast. Floats are kept, booleans and integers give\n"
      << "    float64. The error is at most " << ulp.float32 << " ULP in float32 and " << ulp.float64 << " in float64.\n"
      << "\nRaises\n------\nTypeError\n    For complex, object and string input.\n"
      << "\nReferences\n----------\n"
      << a.source << ".\n"
      << "\nExamples\n--------\n>>> import nonlin as nl\n>>> nl." << a.name << (backward ? "_backward(1.0, " : "(")
      << "[-2.0, 0.0, 2.0]" << (is_gated ? ", 3.0" : "") << ")\n"
      << (backward ? a.example.backward : a.example.forward) << "\n";
  return doc.str();
}

int SameType(const void*, int, int number) { return number; }

// With defaults, which are arrays by type and input, of the operands alone.
py::object NewUfuncOf(const Activation& a, bool backward, const ElementwiseKernels& kernels,
                      const std::vector<PyObject*>* defaults = nullptr) {
  struct Data {
    std::string name, doc;
    ResultTable tables[kDTypes];  // of 16-bit types
    ElementwiseLoop loops[kDTypes];
    DefaultsLoop defaults_loops[kDTypes];
  };
  static std::deque<Data>& all = *new std::deque<Data>;
  Data& data = all.emplace_back();
  data.name = std::string(a.name) + (backward ? "_backward" : "");
  data.doc = Documentation(a, backward);
  InputList names = backward ? BackwardInputs(a.inputs, a.slope) : a.inputs;
  const int inputs = names.count;
  if (defaults != nullptr) names.count = names.Operands();
  Ufunc ufunc{data.name.c_str(),
              data.doc.c_str(),
              nullptr,
              names.count,
              backward ? a.inputs.Operands() : 1,
              defaults == nullptr ? InnerLoop : InnerLoopOfDefaults,
              {},
              SameType,
              true,
              names};
  const double backward_cost = a.slope == Slope::kOfResult ? kFromResultCost : kBackwardCost * a.cost;
  const double cycles = (backward ? backward_cost : a.cost) * kCostLanes / FloatLanes();
  const bool has_table = inputs == 1 && a.cost >= kMinTableCost;
  for (int i = 0; i < kDTypes; ++i) {
    ResultTable* const table = Is16Bit(i) && has_table ? &data.tables[i] : nullptr;
    data.loops[i] = {kernels[i],
                     inputs,
                     ufunc.outputs,
                     static_cast<ptrdiff_t>(ItemSize(i)),
                     i == kFloat64 ? kDoubleCost * cycles : cycles,
                     table};
    ufunc.data[i] = &data.loops[i];
    if (defaults == nullptr) continue;
    DefaultsLoop& loop = data.defaults_loops[i] = {data.loops[i], names.count, {}};
    for (int k = names.count; k < inputs; ++k) {
      if (defaults[i][k] != nullptr)
        loop.defaults[k - names.count] = static_cast<char*>(PyArray_DATA(ArrayOf(defaults[i][k])));
    }
    ufunc.data[i] = &loop;
  }
  return NewUfunc(ufunc);
}

// Those of the instruction set in use.
py::dict MakeUfuncs() {
  py::dict ufuncs;
  const ActivationKernels* kernels = GetActivationKernels();
  for (int i = 0; i < kActivationCount; ++i) {
    const std::string name = kActivations[i].name;
    ufuncs[name.c_str()] = NewUfuncOf(kActivations[i], false, kernels[i].forward);
    ufuncs[(name + "_backward").c_str()] = NewUfuncOf(kActivations[i], true, kernels[i].backward);
  }
  return ufuncs;
}

// Every call makes new ones, which live for ever.
py::dict UfuncsOf(const std::string& target) {
  const std::string current = CurrentTarget();
  if (!ForceTarget(target)) {
    throw py::value_error("target is " + target + "; this build and CPU take one of: " + JoinedTargets());
  }
  py::dict ufuncs = MakeUfuncs();
  ForceTarget(current);
  return ufuncs;
}

py::list Activations() {
  const auto names_of = [](const InputList& inputs) {
    py::list names;
    for (const Input& input : inputs) names.append(input.name);
    return names;
  };
  py::list rows;
  for (int i = 0; i < kActivationCount; ++i) {
    const Activation& a = kActivations[i];
    py::dict parameters, row, option;
    for (const Input& input : a.inputs) {
      if (input.is_parameter) parameters[input.name] = input.value;
    }
    if (a.form.name != nullptr) option[a.form.option] = a.form.value;
    row["name"] = a.name;
    row["form_of"] = a.form.name == nullptr ? "" : a.form.name;
    row["option"] = option;
    row["forward_inputs"] = names_of(a.inputs);
    row["backward_inputs"] = names_of(BackwardInputs(a.inputs, a.slope));
    row["outputs"] = 1;
    row["backward_outputs"] = a.inputs.Operands();
    row["parameters"] = parameters;
    row["summary"] = a.summary;
    row["cost"] = a.cost;
    row["ulp"] = a.ulp.float32;
    row["ulp64"] = a.ulp.float64;
    row["ulp_backward"] = kBackwardUlp.float32;
    row["ulp64_backward"] = kBackwardUlp.float64;
    rows.append(row);
  }
  return rows;
}

}  // namespace

py::object NewUfuncOfDefaults(int row, bool backward, const std::vector<PyObject*>* defaults) {
  const ActivationKernels& kernels = GetActivationKernels()[row];
  return NewUfuncOf(kActivations[row], backward, backward ? kernels.backward : kernels.forward, defaults);
}

void RegisterElementwise(py::module_& m) {
  for (const auto& [name, ufunc] : MakeUfuncs()) m.attr(name) = ufunc;
  m.def("ufuncs_of", &UfuncsOf, py::arg("target"), "The elementwise ufuncs with the kernels of an instruction set.");
  m.def("activations", &Activations, "The table of activations, a dict a row.");
}

}  // namespace nonlin
