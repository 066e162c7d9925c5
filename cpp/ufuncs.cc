// The elementwise kernels as NumPy ufuncs. Broadcasting, casting, overlap and `out=` are NumPy's; here are the inner loop
// and the registration of activations.def.
#include <pybind11/pybind11.h>

#include <cfenv>
#include <cstring>
#include <deque>
#include <sstream>
#include <string>
#include <vector>

#include "context.h"
#include "halves.h"
#include "kernels.h"
#include "module.h"
#include "numpy_api.h"
#include "promotion.h"
#include "runtime/threads.h"
#include "targets.h"

namespace py = pybind11;

namespace nonlin {
namespace {

struct Loop {
  MapKernel kernel;
  int inputs, outputs;
  npy_intp item;
  double cycles;
  ResultTable* table;  // of a 16-bit function of one argument, or nullptr where it does not pay
};

constexpr npy_intp kBlock = 512;                              // elements packed at a time where a stride is not contiguous
constexpr size_t kChunkMultiple = 64;                         // elements; keeps two threads off one cache line
constexpr double kLookUpCycles = 0.7, kMinTableCost = 0.8;    // a table beats the formula, but for the cheapest ones
constexpr double kBackwardCost = 1.4, kFromResultCost = 0.4;  // of forward's; of a gradient that needs no exponential

// Strided data through contiguous blocks: the same kernel, the same bits.
template <class T>
void CopyStrided(char* to, npy_intp to_step, const char* from, npy_intp from_step, npy_intp n) {
  for (npy_intp i = 0; i < n; ++i) {
    T value;
    std::memcpy(&value, from + i * from_step, sizeof(T));
    std::memcpy(to + i * to_step, &value, sizeof(T));
  }
}

void CopyItems(npy_intp item, char* to, npy_intp to_step, const char* from, npy_intp from_step, npy_intp n) {
  if (item == 2) {
    CopyStrided<uint16_t>(to, to_step, from, from_step, n);
  } else if (item == 4) {
    CopyStrided<uint32_t>(to, to_step, from, from_step, n);
  } else {
    CopyStrided<uint64_t>(to, to_step, from, from_step, n);
  }
}

// Whether a kernel may work on an operand in place. A step of 0 stands for a single value.
bool IsDirect(const Loop& loop, bool is_input, npy_intp step, npy_intp n) {
  return step == loop.item || n == 1 || (step == 0 && is_input);
}

// What a block of an operand takes, in whole cache lines.
size_t PackedBytes(const Loop& loop, npy_intp block) { return (block * loop.item + 63) / 64 * 64; }

// Elements [begin, end) of a call, as a kernel takes them; through `scratch` where an operand is not direct.
template <class Kernel>
void RunRange(const Kernel& kernel, const Loop& loop, char* const* args, const npy_intp* steps, npy_intp begin, npy_intp end,
              npy_intp block, void* scratch, bool stream) {
  char* packed[kMaxInputs + kMaxOutputs];
  const int nargs = loop.inputs + loop.outputs;
  for (int k = 0; k < nargs; ++k) packed[k] = static_cast<char*>(scratch) + k * PackedBytes(loop, block);
  for (npy_intp i = begin; i < end; i += block) {
    const npy_intp n = std::min(block, end - i);
    const void* in[kMaxInputs];
    size_t in_steps[kMaxInputs];
    void* out[kMaxOutputs] = {};
    for (int k = 0; k < nargs; ++k) {
      char* data = args[k] + i * steps[k];
      const bool direct = IsDirect(loop, k < loop.inputs, steps[k], n);
      if (k < loop.inputs) {
        in_steps[k] = steps[k] != 0 || n == 1;
        if (!direct) CopyItems(loop.item, packed[k], loop.item, data, steps[k], n);
        in[k] = direct ? data : packed[k];
      } else {
        out[k - loop.inputs] = direct ? data : packed[k];
      }
    }
    kernel(in, in_steps, out, n, stream);
    for (int k = loop.inputs; k < nargs; ++k) {
      char* data = args[k] + i * steps[k];
      if (out[k - loop.inputs] != data) CopyItems(loop.item, data, steps[k], packed[k], loop.item, n);
    }
  }
}

// On this thread, with up to 8 elements at a time.
template <class Kernel>
void RunInSmallBlocks(const Kernel& kernel, const Loop& loop, char* const* args, const npy_intp* steps, npy_intp n,
                      npy_intp block) {
  alignas(64) char packed[(kMaxInputs + kMaxOutputs) * 8 * sizeof(double)];
  RunRange(kernel, loop, args, steps, 0, n, block, packed, false);
}

// Whether an element's result is another element's input, as in np.ufunc.reduce and accumulate.
bool IsSequential(const Loop& loop, char* const* args, const npy_intp* steps, npy_intp n) {
  const auto first = [&](int k) { return args[k] + std::min<npy_intp>(0, steps[k] * (n - 1)); };
  const auto last = [&](int k) { return args[k] + std::max<npy_intp>(0, steps[k] * (n - 1)); };
  for (int out = loop.inputs; out < loop.inputs + loop.outputs; ++out) {
    if (steps[out] == 0) return true;
    for (int in = 0; in < loop.inputs; ++in) {
      const bool same = args[in] == args[out] && steps[in] == steps[out];
      if (!same && first(in) < last(out) + loop.item && first(out) < last(in) + loop.item) return true;
    }
  }
  return false;
}

// Elements of a call that do not depend on each other.
template <class Kernel>
void RunAll(const Kernel& kernel, const Loop& loop, char* const* args, const npy_intp* steps, npy_intp n, double cycles) {
  bool contiguous = true;
  for (int k = 0; k < loop.inputs + loop.outputs; ++k) contiguous &= IsDirect(loop, k < loop.inputs, steps[k], n);
  const bool stream = contiguous && static_cast<size_t>(n * loop.item) >= kStreamBytes;
  const size_t bytes = contiguous ? 0 : (loop.inputs + loop.outputs) * PackedBytes(loop, std::min(kBlock, n));
  const auto run = [&](size_t begin, size_t end, void* scratch) {
    const npy_intp block = contiguous ? static_cast<npy_intp>(end - begin) : std::min(kBlock, n);
    RunRange(kernel, loop, args, steps, begin, end, block, scratch, stream);
  };
  const CallLimit limit(LimitOfLoop());
  if (!ParallelForWithScratch(n, kChunkMultiple, cycles, bytes, run)) RunInSmallBlocks(kernel, loop, args, steps, n, 8);
}

// The loop's table, if it has one, made when it pays.
const uint16_t* TableOf(const Loop& loop, npy_intp n) {
  if (loop.table == nullptr) return nullptr;
  return loop.table->Get(n, [&](uint16_t* numbers) {
    const void* in = numbers;
    void* out = numbers;
    const size_t step = 1;
    loop.kernel(&in, &step, &out, ResultTable::kSize, false);
  });
}

void InnerLoop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const Loop& loop = *static_cast<const Loop*>(data);
  const npy_intp n = dimensions[0];
  if (n > 1 && IsSequential(loop, args, steps, n)) {
    RunInSmallBlocks(loop.kernel, loop, args, steps, n, 1);
  } else if (const uint16_t* table = TableOf(loop, n)) {
    static const LookUpKernel kLookUp = GetLookUpKernel();
    const auto look_up = [=](const void* const* in, const size_t* in_steps, void* const* out, size_t count, bool stream) {
      const auto* from = static_cast<const uint16_t*>(in[0]);
      auto* to = static_cast<uint16_t*>(out[0]);
      if (in_steps[0] == 0) return static_cast<void>(std::fill_n(to, count, table[*from]));
      kLookUp(table, from, to, count, stream);
    };
    RunAll(look_up, loop, args, steps, n, kLookUpCycles);
  } else {
    RunAll(loop.kernel, loop, args, steps, n, loop.cycles);
  }
  std::feclearexcept(FE_ALL_EXCEPT);  // NumPy would turn flags into warnings
}

std::vector<std::string> Split(const char* text) {
  std::istringstream words(text);
  std::vector<std::string> result;
  for (std::string word; words >> word;) result.push_back(word);
  return result;
}

py::list Names(const std::vector<std::string>& inputs) {
  py::list names;
  for (const std::string& input : inputs) names.append(input.substr(0, input.find('=')));
  return names;
}

bool IsGated(const Activation& a) { return std::strstr(a.inputs, "gate") != nullptr; }

const char* Describe(const std::string& name) {
  if (name == "grad") return "The gradient of the loss with respect to the result, dL/d(out).";
  if (name == "y") return "The *result* of the forward function.";
  if (name == "gate") return "The argument of the activation.";
  if (name == "up") return "The factor that the activation gates.";
  if (name == "x") return "The argument.";
  return "A parameter of the formula; broadcasts.";
}

// ", default 0.01" for a parameter
std::string Default(const Activation& a, const std::string& name) {
  for (const std::string& input : Split(a.inputs)) {
    if (input.compare(0, name.size() + 1, name + "=") == 0) return ", default " + input.substr(name.size() + 1);
  }
  return "";
}

// numpydoc; NumPy puts the signature line in front.
std::string Documentation(const Activation& a, bool backward) {
  const std::vector<std::string> inputs = Split(backward ? a.backward_inputs : a.inputs);
  const char* example = backward ? a.backward_example : a.example;
  std::ostringstream doc;
  if (backward) {
    doc << "Gradient of `" << a.name << "`: `grad` times the derivative at the forward pass's argument.\n\n" << a.summary;
  } else {
    doc << a.summary;
  }
  doc << "\n\nParameters\n----------\n";
  for (const std::string& input : inputs) {
    const std::string name = input.substr(0, input.find('='));
    doc << name << " : array_like" << Default(a, name) << "\n    " << Describe(name) << "\n";
  }
  doc << "**kwargs\n    `out`, `where`, `dtype`, `casting` and the others of every NumPy ufunc.\n"
      << "\nReturns\n-------\n";
  if (backward && IsGated(a)) {
    doc << "grad_gate, grad_up : ndarray\n";
  } else {
    doc << "ndarray\n";
  }
  doc << "    Of the shape to which the inputs broadcast. Floats are kept, booleans and integers give\n"
      << "    float64. The error is at most " << (backward ? 2.0 : a.ulp32) << " ULP in float32 and "
      << (backward ? 4.0 : a.ulp64) << " in float64.\n"
      << "\nRaises\n------\nTypeError\n    For complex, object and string input.\n"
      << "\nReferences\n----------\n"
      << a.source << ".\n";
  if (*example != '\0') {
    doc << "\nExamples\n--------\n>>> import nonlin as nl\n>>> nl." << a.name << (backward ? "_backward(1.0, " : "(")
        << "[-2.0, 0.0, 2.0]" << (IsGated(a) ? ", 3.0" : "") << ")\n"
        << example << "\n";
  }
  return doc.str();
}

// What a ufunc points to as long as it lives: for ever.
struct UfuncData {
  std::string name, doc;
  ResultTable tables[kDTypes];  // of 16-bit types
  Loop loops[kDTypes];
  PyUFuncGenericFunction functions[kDTypes];
  void* data[kDTypes];
  std::vector<char> types;
};

void AddUfunc(py::dict& ufuncs, const Activation& a, bool backward, const MapKernels& kernels) {
  static std::deque<UfuncData>& all = *new std::deque<UfuncData>;
  const int inputs = static_cast<int>(Split(backward ? a.backward_inputs : a.inputs).size());
  const int outputs = backward && IsGated(a) ? 2 : 1;

  UfuncData& ufunc = all.emplace_back();
  ufunc.name = std::string(a.name) + (backward ? "_backward" : "");
  ufunc.doc = Documentation(a, backward);
  const bool from_result = backward && std::strstr(a.backward_inputs, " y") != nullptr;
  const double cost = from_result ? kFromResultCost : backward ? kBackwardCost * a.cost : a.cost;
  const double cycles = cost * kCostLanes / FloatLanes();
  const bool has_table = inputs == 1 && a.cost >= kMinTableCost;
  for (int i = 0; i < kDTypes; ++i) {
    const auto item = static_cast<npy_intp>(ItemSize(i));
    ResultTable* const table = IsHalf(i) && has_table ? &ufunc.tables[i] : nullptr;
    ufunc.loops[i] = {kernels[i], inputs, outputs, item, i == kFloat64 ? kDoubleCost * cycles : cycles, table};
    ufunc.functions[i] = InnerLoop;
    ufunc.data[i] = &ufunc.loops[i];
  }
  for (const char type : {NPY_FLOAT, NPY_DOUBLE, NPY_HALF}) ufunc.types.insert(ufunc.types.end(), inputs + outputs, type);
  PyObject* object = PyUFunc_FromFuncAndData(ufunc.functions, ufunc.data, ufunc.types.data(), kDTypes - 1, inputs, outputs,
                                             PyUFunc_None, ufunc.name.c_str(), ufunc.doc.c_str(), 0);
  if (object == nullptr) throw py::error_already_set();
  AddPromotion(object, inputs + outputs);
  AddBFloat16Loop(object, InnerLoop, std::vector<int>(inputs + outputs, BFloat16Number()), ufunc.data[kDTypes - 1]);
  LimitCalls(object);
  ufuncs[ufunc.name.c_str()] = py::reinterpret_steal<py::object>(object);
}

// Those of the instruction set in use.
py::dict MakeUfuncs() {
  py::dict ufuncs;
  const ActivationKernels* kernels = GetActivationKernels();
  for (int i = 0; i < kActivationCount; ++i) {
    AddUfunc(ufuncs, kActivations[i], false, kernels[i].forward);
    AddUfunc(ufuncs, kActivations[i], true, kernels[i].backward);
  }
  return ufuncs;
}

// Every call makes new ones, which live for ever.
py::dict UfuncsOf(const std::string& target) {
  const std::string current = CurrentTarget();
  if (!ForceTarget(target)) {
    throw py::value_error("target is " + target + "; this build and CPU take one of: " + JoinedTargets());
  }
  const py::dict ufuncs = MakeUfuncs();
  ForceTarget(current);
  return ufuncs;
}

py::list Activations() {
  py::list rows;
  for (int i = 0; i < kActivationCount; ++i) {
    const Activation& a = kActivations[i];
    py::dict parameters;
    for (const std::string& input : Split(a.inputs)) {
      const size_t equals = input.find('=');
      if (equals != std::string::npos) parameters[input.substr(0, equals).c_str()] = std::stod(input.substr(equals + 1));
    }
    py::dict row;
    row["name"] = a.name;
    row["forward_inputs"] = Names(Split(a.inputs));
    row["backward_inputs"] = Names(Split(a.backward_inputs));
    row["outputs"] = 1;
    row["backward_outputs"] = IsGated(a) ? 2 : 1;
    row["parameters"] = parameters;
    row["summary"] = a.summary;
    row["ulp"] = a.ulp32;
    row["ulp64"] = a.ulp64;
    row["ulp_backward"] = 2.0;
    row["ulp64_backward"] = 4.0;
    rows.append(row);
  }
  return rows;
}

}  // namespace

void RegisterActivations(py::module_& m) {
  for (const auto& [name, ufunc] : MakeUfuncs()) m.attr(name) = ufunc;
  m.def("ufuncs_of", &UfuncsOf, py::arg("target"), "The elementwise ufuncs with the kernels of an instruction set.");
  m.def("activations", &Activations, "The table of activations, a dict a row.");
}

}  // namespace nonlin
