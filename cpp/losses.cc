// What the losses need besides their row kernels: their table, and the check of class targets before anything is written.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cfenv>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "context.h"
#include "module.h"
#include "numpy_api.h"
#include "plain.h"
#include "runtime/threads.h"

namespace py = pybind11;

namespace nonlin {
namespace {

using Targets = py::array_t<int64_t, py::array::c_style>;
using Weights = py::array_t<double, py::array::c_style>;

constexpr size_t kManyTargets = 4096;  // a reason to let go of the GIL
constexpr double kTargetCycles = 3;

struct CheckedTargets {
  double total;     // sum of the weights of those that count
  bool ignores;     // whether there are others
  py::ssize_t bad;  // flat position of the first one that is no class, or -1
};

CheckedTargets CheckTargets(const int64_t* targets, size_t n, int64_t classes, int64_t ignore_index, const double* weights) {
  std::optional<py::gil_scoped_release> release;
  if (n >= kManyTargets) release.emplace();
  const auto is_class = [=](int64_t target) { return static_cast<uint64_t>(target) < static_cast<uint64_t>(classes); };
  const auto count = [=](auto is_counted) {
    std::atomic<size_t> sum{0};
    ParallelFor(n, 1, kTargetCycles, [&](size_t begin, size_t end) {
      size_t counted = 0;
      for (size_t i = begin; i < end; ++i) counted += is_counted(targets[i]);
      sum += counted;
    });
    return sum.load();
  };
  const size_t outside = count([=](int64_t target) { return !is_class(target); });
  const bool may_ignore = outside > 0 || is_class(ignore_index);  // mostly not: one pass
  const size_t ignored = may_ignore ? count([=](int64_t target) { return target == ignore_index; }) : 0;
  if (outside > (is_class(ignore_index) ? 0 : ignored)) {
    const auto is_bad = [=](int64_t target) { return target != ignore_index && !is_class(target); };
    const int64_t* bad = std::find_if(targets, targets + n, is_bad);
    if (bad != targets + n) return {0, ignored > 0, bad - targets};  // else another thread has written to the array
  }
  double total = static_cast<double>(n - ignored);
  if (weights != nullptr) {
    total = 0;  // in one order, whatever the threads
    for (size_t i = 0; i < n; ++i) {
      const int64_t target = targets[i];
      total += target == ignore_index || !is_class(target) ? 0 : weights[target];
    }
  }
  return {total, ignored > 0, -1};
}

// Copies targets, ignored ones as -1.
void MarkIgnored(const int64_t* from, size_t n, int64_t ignore_index, int64_t* to) {
  std::optional<py::gil_scoped_release> release;
  if (n >= kManyTargets) release.emplace();
  ParallelFor(n, 1, kTargetCycles, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) to[i] = from[i] == ignore_index ? -1 : from[i];
  });
}

// The targets, in a copy with -1 for ignored ones if there are any, and what the check gives.
py::tuple PrepareTargets(const Targets& targets, int64_t classes, int64_t ignore_index,
                         const std::optional<Weights>& weight) {
  const CallLimit limit(LimitOfContext());
  const size_t n = targets.size();
  const CheckedTargets checked = CheckTargets(targets.data(), n, classes, ignore_index, weight ? weight->data() : nullptr);
  if (!checked.ignores || checked.bad >= 0) return py::make_tuple(targets, checked.total, checked.bad);
  py::array_t<int64_t> marked(std::vector<py::ssize_t>(targets.shape(), targets.shape() + targets.ndim()));
  MarkIgnored(targets.data(), n, ignore_index, marked.mutable_data());
  return py::make_tuple(marked, checked.total, checked.bad);
}

// Sums in halves, so that the error grows with the logarithm of n.
template <class T>
double Sum(const T* values, size_t n) {
  constexpr size_t kBlock = 512, kLanes = 8;
  if (n > kBlock) {
    const size_t half = n / 2 / kLanes * kLanes;
    return Sum(values, half) + Sum(values + half, n - half);
  }
  double sums[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += values[i + lane];
  }
  for (size_t lane = 0; i < n; ++i, ++lane) sums[lane] += values[i];
  for (size_t step = kLanes / 2; step > 0; step /= 2) {
    for (size_t lane = 0; lane < step; ++lane) sums[lane] += sums[lane + step];
  }
  return sums[0];
}

double Sum(DType dtype, const void* values, size_t n) {
  return dtype == kFloat32 ? Sum(static_cast<const float*>(values), n) : Sum(static_cast<const double*>(values), n);
}

// The quotient as a NumPy scalar.
py::object Quotient(DType dtype, double total, double divisor) {
  const double quotient = total / divisor;
  const float rounded = static_cast<float>(quotient);
  std::feclearexcept(FE_ALL_EXCEPT);
  PyObject* scalar = dtype == kFloat32 ? PyArrayScalar_New(Float) : PyArrayScalar_New(Double);
  if (scalar == nullptr) throw py::error_already_set();
  if (dtype == kFloat32) {
    PyArrayScalar_ASSIGN(scalar, Float, rounded);
  } else {
    PyArrayScalar_ASSIGN(scalar, Double, quotient);
  }
  return py::reinterpret_steal<py::object>(scalar);
}

// The sum of arrays of losses over a divisor.
py::object Reduce(const py::object& parts, double divisor, const py::dtype& dtype) {
  const DType type = dtype.itemsize() == 4 ? kFloat32 : kFloat64;
  double total = 0;
  for (const py::handle part : parts) {
    const auto losses = py::array::ensure(part, py::array::c_style);
    if (!losses) throw py::error_already_set();
    total += Sum(type, losses.data(), losses.size());
  }
  return Quotient(type, total, divisor);
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

// ---------------------------------------------------------------- plain arguments
//
// Here is the usual call of a loss from end to end: plain arrays, no weights, numbers of the obvious types. What is not
// usual, or wrong, goes the way of python/nonlin/_loss_rows.py, which gives the same bits and raises the errors.

enum Ending { kForward, kBackward, kWithGrad, kEndings };
const char* const kEndingNames[kEndings] = {"", "_backward", "_with_grad"};

// Row ufuncs, for a target that is a class, and for one with an entry each.
struct Ufuncs {
  PyObject *of_class, *of_row;
};

constexpr size_t kLossCount = sizeof(kLosses) / sizeof(kLosses[0]);
Ufuncs ufuncs[kLossCount][kEndings], count_outside;

enum Argument {
  kLoss,    // its number in the table
  kEnding,  // the number of it
  kFirst,
  kSecond,
  kGrad,
  kOut,
  kAxis,
  kWeight,
  kPosWeight,
  kIgnoreIndex,
  kLabelSmoothing,
  kZLoss,
  kReduction,
};

// Rows of one length, and the entry they start at.
struct Piece {
  npy_intp start, rows, classes;
};

constexpr npy_intp kPiece = 4096;  // entries that make a row where a loss has no axis

// The type of losses and scalars beside rows.
DType ScalarType(DType rows) { return rows == kFloat64 ? kFloat64 : kFloat32; }

// Values for the operands of a kernel, in their order.
struct Values {
  RowOperand x, target, gradient;  // of the first piece
  char* losses;
  double scalars[4];
};

// Runs a kernel on a piece.
void RunPiece(PyObject* ufunc, const PlainRows& x, const Piece& piece, const Values& values) {
  static const float kOne32 = 1;
  static const double kOne64 = 1;
  const DType scalar_type = ScalarType(x.dtype);
  const void* one = scalar_type == kFloat32 ? static_cast<const void*>(&kOne32) : &kOne64;
  float floats[4];
  std::copy_n(values.scalars, 4, floats);
  const ptrdiff_t item = x.Item();
  const RowLoop& loop = LoopOf(ufunc, x.dtype);
  const OperandList& list = loop.operation->operands;
  RowOperand operands[kMaxRowOperands];
  int scalar = 0;
  const auto row = [&](const RowOperand& o) {
    return RowOperand{o.data + piece.start * item, x.inner > 1 ? o.row : piece.classes * item, o.item};
  };
  for (int k = 0; k < list.count; ++k) {
    switch (list.kinds[k]) {
      case Operand::kRowIn:
        operands[k] = row(k == 0 ? values.x : values.target);
        break;
      case Operand::kIndexIn:
        operands[k] = values.target;
        break;
      case Operand::kScalarIn:
        operands[k] = {scalar_type == kFloat32 ? reinterpret_cast<char*>(&floats[scalar])
                                               : reinterpret_cast<char*>(const_cast<double*>(&values.scalars[scalar])),
                       0, 0};
        ++scalar;
        break;
      case Operand::kOptionalIn:
        operands[k] = {static_cast<char*>(const_cast<void*>(one)), 0, 0};
        break;
      case Operand::kScalarOut:
        operands[k] = {values.losses, static_cast<ptrdiff_t>(ItemSize(scalar_type)), 0};
        break;
      case Operand::kRowOut:
        operands[k] = row(values.gradient);
        break;
      case Operand::kMaskIn:
        break;
    }
  }
  RunPlain(loop, operands, piece.rows, piece.classes, x.inner);
}

std::array<Piece, 2> PiecesOf(const PlainRows& x, bool of_elements, bool each) {
  const npy_intp entries = x.rows * x.classes, rest = entries % kPiece;
  if (!of_elements) return {Piece{0, x.rows, x.classes}, {}};
  if (each) return {Piece{0, entries, 1}, {}};
  return {Piece{0, entries / kPiece, kPiece}, Piece{entries - rest, rest > 0, rest}};
}

// Runs a kernel on all pieces. Returns the sum of the losses, if it is wanted.
double Run(PyObject* ufunc, const PlainRows& x, const std::array<Piece, 2>& pieces, const Values& values, bool with_sum) {
  double total = 0;
  for (const Piece& piece : pieces) {
    if (piece.rows == 0) continue;
    RunPiece(ufunc, x, piece, values);
    if (with_sum) total += Sum(ScalarType(x.dtype), values.losses, piece.rows);
  }
  return total;
}

// What the function returns, or a null object for arguments that are not plain.
py::object PlainLoss(PyObject* const* args) {
  const size_t number = PyLong_AsSize_t(args[kLoss]);
  const auto ending = static_cast<Ending>(PyLong_AsLong(args[kEnding]));
  const Loss& loss = kLosses[number];
  const bool of_elements = std::strcmp(loss.kind, "elements") == 0, of_rows = std::strcmp(loss.kind, "rows") == 0;
  if (args[kWeight] != Py_None || args[kPosWeight] != Py_None || !PyUnicode_Check(args[kReduction])) return {};
  const auto reduces_to = [&](const char* name) { return PyUnicode_CompareWithASCIIString(args[kReduction], name) == 0; };
  const bool mean = reduces_to("mean"), none = reduces_to("none");
  if (!mean && !none && !reduces_to("sum")) return {};

  PyObject *array = args[of_rows ? kSecond : kFirst], *target = args[of_rows ? kFirst : kSecond];
  PlainRows x;
  if (!x.From(array, of_elements ? nullptr : args[kAxis])) return {};
  const npy_intp entries = x.rows * x.classes;
  double divisor = static_cast<double>(of_elements ? entries : x.rows);
  Values values{x.RowsOf(array), {}, {}, nullptr, {}};
  py::object wide;
  std::vector<int64_t> marked;
  const bool of_targets = std::strcmp(loss.kind, "targets") == 0;
  int overflow = of_targets && !PyLong_CheckExact(args[kIgnoreIndex]);
  const long long ignored = of_targets && overflow == 0 ? PyLong_AsLongLongAndOverflow(args[kIgnoreIndex], &overflow) : 0;
  if (overflow != 0) return {};
  const bool of_class =
      of_targets && PyArray_CheckExact(target) && PyArray_ISINTEGER(reinterpret_cast<PyArrayObject*>(target));
  if (of_class) {
    if (!PyArray_CanCastSafely(PyArray_TYPE(reinterpret_cast<PyArrayObject*>(target)), NPY_INT64)) return {};
    wide = py::reinterpret_steal<py::object>(
        PyArray_FromAny(target, PyArray_DescrFromType(NPY_INT64), 0, 0, NPY_ARRAY_CARRAY_RO, nullptr));
    if (!wide) throw py::error_already_set();
    if (!IsPlain(wide.ptr(), NPY_INT64, x.dims - 1, x.shape_of_rows)) return {};
    auto* from = static_cast<int64_t*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(wide.ptr())));
    const CheckedTargets checked = CheckTargets(from, x.rows, x.classes, ignored, nullptr);
    if (checked.bad >= 0) return {};
    if (checked.ignores) {
      marked.resize(x.rows);
      MarkIgnored(from, x.rows, ignored, marked.data());
      from = marked.data();
    }
    divisor = checked.total;
    values.target = {reinterpret_cast<char*>(from), sizeof(int64_t), 0};
  } else {
    if (!x.IsLike(target)) return {};
    values.target = x.RowsOf(target);
  }
  if (!mean) divisor = 1;

  double* scalar = values.scalars;
  if (std::strstr(loss.options, "label_smoothing") != nullptr) {
    if (!PyFloat_CheckExact(args[kLabelSmoothing]) || !PyFloat_CheckExact(args[kZLoss])) return {};
    const double smoothing = PyFloat_AS_DOUBLE(args[kLabelSmoothing]);
    if (!(0 <= smoothing && smoothing <= 1)) return {};
    *scalar++ = static_cast<double>(x.classes);
    *scalar++ = smoothing;
    *scalar++ = PyFloat_AS_DOUBLE(args[kZLoss]);
  }
  py::object gradient;
  if (ending != kForward) {
    double upstream = 1;
    if (ending == kBackward) {
      if (none || !PyFloat_Check(args[kGrad])) return {};
      upstream = PyFloat_AS_DOUBLE(args[kGrad]);
    }
    *scalar = upstream / divisor;
    PyObject* out = args[kOut];
    if (out != Py_None && !(x.IsLike(out) && MayFill(out, array) && (of_class || MayFill(out, target)))) return {};
    gradient = out == Py_None ? x.NewRows() : py::reinterpret_borrow<py::object>(out);
    values.gradient = x.RowsOf(gradient.ptr());
  }

  const std::array<Piece, 2> whole = PiecesOf(x, of_elements, false);
  std::vector<double> memory(whole[0].rows + 1);  // for numbers of either type
  values.losses = reinterpret_cast<char*>(memory.data());
  const bool of_probabilities = std::strncmp(loss.arguments, "probs ", 6) == 0;
  if (of_probabilities && Run(of_class ? count_outside.of_class : count_outside.of_row, x, whole, values, true) != 0)
    return {};
  py::object losses;
  if (none && ending != kBackward) {
    const int type = x.dtype == kFloat64 ? NPY_DOUBLE : NPY_FLOAT;
    losses = of_elements ? x.New(x.dims, x.shape, type) : x.New(x.dims - 1, x.shape_of_rows, type);
    values.losses = x.ScalarsOf(losses.ptr()).data;
  }
  const Ufuncs& ufunc = ufuncs[number][ending];
  const double total = Run(of_class ? ufunc.of_class : ufunc.of_row, x, none ? PiecesOf(x, of_elements, true) : whole,
                           values, !none && ending != kBackward);
  if (ending == kBackward) return gradient;
  losses =
      none ? py::reinterpret_steal<py::object>(Returned(std::move(losses))) : Quotient(ScalarType(x.dtype), total, divisor);
  return ending == kForward ? losses : py::make_tuple(losses, gradient);
}

PyObject* CallPlainLoss(PyObject*, PyObject* const* args, Py_ssize_t) {
  try {
    const CallLimit limit(LimitOfContext());
    py::object result = PlainLoss(args);
    return (result ? result : py::none()).release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  return nullptr;
}

PyMethodDef methods[] = {
    {"plain_loss", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(CallPlainLoss)), METH_FASTCALL,
     "plain_loss(*arguments: Any) -> Any\n\nThe results of a loss, or None for arguments that are not plain."},
    {},
};

}  // namespace

void RegisterLosses(py::module_& m) {
  m.def("losses", &Losses, "The table of losses, a dict a row.");
  m.def("reduce", &Reduce, py::arg("losses"), py::arg("divisor"), py::arg("dtype"),
        "The sum of arrays of losses over a divisor.");
  m.def("prepare_targets", &PrepareTargets, py::arg("targets"), py::arg("classes"), py::arg("ignore_index"),
        py::arg("weight").none(true));

  // After all row ufuncs are there.
  const auto find = [&](const std::string& name) {
    return py::hasattr(m, name.c_str()) ? m.attr(name.c_str()).ptr() : nullptr;
  };
  for (size_t i = 0; i < kLossCount; ++i) {
    const std::string name = kLosses[i].name;
    const bool has_classes = std::strcmp(kLosses[i].kind, "targets") == 0;
    for (const int ending : {kForward, kBackward, kWithGrad}) {
      ufuncs[i][ending] = {find(name + "_class" + kEndingNames[ending]),
                           find(name + (has_classes ? "_probabilities" : "") + kEndingNames[ending])};
    }
  }
  count_outside = {find("count_outside_class"), find("count_outside")};
  if (PyModule_AddFunctions(m.ptr(), methods) < 0) throw py::error_already_set();
}

}  // namespace nonlin
