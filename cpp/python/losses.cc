// The front of the losses: binds a call's arguments, checks them and raises every error, before it runs the row kernels on
// whatever strides there are. python/nonlin/_losses.py holds the signatures and the documentation.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <deque>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "python/context.h"
#include "python/dtypes.h"
#include "python/module.h"
#include "python/rows.h"
#include "runtime/float_status.h"
#include "runtime/losses.h"
#include "runtime/threads.h"
#include "tuning.h"

namespace py = pybind11;

namespace nonlin {
namespace {

// The quotient as a NumPy scalar.
py::object Quotient(int number, double total, double divisor) {
  const double quotient = total / divisor;
  const float rounded = static_cast<float>(quotient);
  if (number == NPY_FLOAT) {
    py::object scalar = Checked(PyArrayScalar_New(Float));
    PyArrayScalar_ASSIGN(scalar.ptr(), Float, rounded);
    return scalar;
  }
  py::object scalar = Checked(PyArrayScalar_New(Double));
  PyArrayScalar_ASSIGN(scalar.ptr(), Double, quotient);
  return scalar;
}

// ---------------------------------------------------------------- arguments

enum Argument {
  kGrad,
  kFirst,
  kSecond,
  kOut,
  kGammaArgument,
  kAlphaArgument,
  kAxisArgument,
  kWeightArgument,
  kSampleWeightArgument,
  kPosWeightArgument,
  kIgnoreIndexArgument,
  kLabelSmoothingArgument,
  kZLossArgument,
  kReduction,
  kDivisor,  // of the gradient, where it is not that of the reduction; the weights of rows are then left out of the losses
  kArguments,
};
constexpr const char* kArgumentNames[kArguments] = {"grad",
                                                    "",
                                                    "",
                                                    "out",
                                                    "gamma",
                                                    "alpha",
                                                    "axis",
                                                    "weight",
                                                    "sample_weight",
                                                    "pos_weight",
                                                    "ignore_index",
                                                    "label_smoothing",
                                                    "z_loss",
                                                    "reduction",
                                                    "divisor"};

using Values = std::array<PyObject*, kArguments>;  // null where absent

Values interned_names;  // set at import

// What a builtin of this module is: a function of a loss, or the check of its arguments.
struct Function {
  const Loss* loss;
  const LossOperations* operations;
  LossFunction function;
  bool only_checks;
  std::string name, doc;
  PyMethodDef method;

  // The arguments of a call, by name.
  Values Bind(PyObject* const* args, Py_ssize_t given, PyObject* names) const {
    const bool has_grad = function == kBackward;
    if (given != 2 + has_grad) Raise(PyExc_TypeError, "%s() takes %d operands by position", name.c_str(), 2 + has_grad);
    Values values{};
    std::copy_n(args, given, values.begin() + (has_grad ? kGrad : kFirst));
    auto found = interned_names.begin();  // each search goes on from the last one: names usually come in this order
    for (Py_ssize_t i = 0; names != nullptr && i < PyTuple_GET_SIZE(names); ++i) {
      PyObject* const given_name = PyTuple_GET_ITEM(names, i);
      found = std::find(found, interned_names.end(), given_name);
      if (found == interned_names.end()) found = std::find(interned_names.begin(), interned_names.end(), given_name);
      if (found == interned_names.end()) {  // not interned
        found = std::find_if(interned_names.begin(), interned_names.end(),
                             [=](PyObject* n) { return PyUnicode_Compare(n, given_name) == 0; });
      }
      if (found == interned_names.end()) Raise(PyExc_TypeError, "%s() takes no argument %R", name.c_str(), given_name);
      values[found - interned_names.begin()] = args[given + i];
    }
    return values;
  }
};

// Whether an array has a shape, without one of its axes where that is not -1.
bool HasShape(const py::array& array, const npy_intp* shape, int dims, int without = -1) {
  int next = 0;
  for (int i = 0; i < dims; ++i) {
    if (i != without && (next >= array.ndim() || array.shape(next++) != shape[i])) return false;
  }
  return next == array.ndim();
}

// A view of a shape, or a null object where the array does not broadcast to it.
py::object BroadcastTo(const py::array& array, const py::tuple& shape) {
  try {
    return py::module_::import("numpy").attr("broadcast_to")(array, shape);
  } catch (const py::error_already_set& error) {
    if (!error.matches(PyExc_ValueError)) throw;
    return {};
  }
}

// "1, 2", of a flat position in an array
std::string Listed(py::ssize_t position, const npy_intp* shape, int dims) {
  std::string text;
  for (int i = dims; i-- > 0; position /= shape[i]) {
    text = std::to_string(position % shape[i]) + (text.empty() ? "" : ", ") + text;
  }
  return text;
}

// The checked arguments of a call, but for `grad` and `out`.
class Arguments {
 public:
  Arguments(const Loss& loss, const Values& values) : loss_(loss), values_(values) {
    BindReduction();
    const bool swapped = loss.targets == Targets::kRows;
    SetX(FloatArray(loss.Operand(), values[swapped ? kSecond : kFirst]));
    target = AsArray(values[swapped ? kFirst : kSecond], loss.Target());
    if (loss.targets == Targets::kClassesOrRows) {
      BindClassesOrRows();
    } else if (loss.targets == Targets::kRows) {
      BindRows();
    } else {
      BindEntries();
    }
    if (!is_mean) divisor = 1;
    if (!IsNone(values[kDivisor])) divisor = Number(kDivisor);
  }

  bool is_mean, is_none;    // reductions
  py::array x = NoArray();  // what the gradient is taken by
  DType dtype;              // of x
  py::array target = NoArray();
  int axis = -1;  // of the classes, or none
  bool of_class = false;
  std::vector<int64_t> marked;  // classes with -1 for those ignored, where there are such
  std::optional<py::array> weight, pos_weight;
  std::optional<py::array> sample_weight;  // of each row, in float64
  double options[3] = {};                  // of the kernel
  int option_count = 0;
  double divisor = 1;

  int Dims() const { return static_cast<int>(x.ndim()); }
  int ScalarNumber() const { return ComputedNumber(dtype); }  // NumPy's, of losses, options and factors
  bool OfEntries() const { return axis == -1; }
  py::tuple ShapeOfLosses() const { return TupleOf(x.shape(), Dims(), axis); }
  npy_intp Losses() const { return OfEntries() ? x.size() : x.size() / x.shape(axis); }
  const double* SampleWeights() const {  // or null
    return sample_weight ? static_cast<const double*>(sample_weight->data()) : nullptr;
  }
  const int64_t* Classes() const { return marked.empty() ? static_cast<const int64_t*>(target.data()) : marked.data(); }

 private:
  void SetX(py::array array) {
    x = std::move(array);
    dtype = static_cast<DType>(TypeOfNumber(NumberOf(x)));
  }

  void BindReduction() {
    PyObject* const value = values_[kReduction];
    const auto is = [=](const char* name) {
      return value != nullptr && PyUnicode_Check(value) && PyUnicode_CompareWithASCIIString(value, name) == 0;
    };
    is_mean = is("mean");
    is_none = is("none");
    if (!is_mean && !is_none && !is("sum"))
      Raise(PyExc_ValueError, "reduction is %R; it takes 'mean', 'sum' or 'none'", value);
  }

  void BindAxis() {
    axis = AxisOf(values_[kAxisArgument], Dims());
    if (x.shape(axis) == 0) {
      Raise(PyExc_ValueError, "%s has shape %S, so the class axis %d is empty; it takes 1 class or more", loss_.Operand(),
            ShapeOf(x).ptr(), axis);
    }
    divisor = static_cast<double>(Losses());
  }

  void CheckTargetShape() const {
    if (HasShape(target, x.shape(), Dims())) return;
    Raise(PyExc_ValueError, "%s has shape %S; it takes the shape of %s, %S", loss_.Target(), ShapeOf(target).ptr(),
          loss_.Operand(), ShapeOf(x).ptr());
  }

  // A number, also an array of no axes, but no text and no array of one entry.
  double Number(Argument argument, const char* taken = "a number") const {
    PyObject* const value = values_[argument] == nullptr ? Py_None : values_[argument];
    if (PyFloat_Check(value)) return PyFloat_AS_DOUBLE(value);
    bool is_number = PyLong_Check(value);
    if (!is_number && !PyUnicode_Check(value) && !PyBytes_Check(value)) {
      const auto array = py::reinterpret_steal<py::array>(PyArray_FromAny(value, nullptr, 0, 0, 0, nullptr));
      is_number = array && array.ndim() == 0 &&
                  (IsInteger(NumberOf(array)) || IsReal(NumberOf(array)) || NumberOf(array) == NPY_OBJECT);
      PyErr_Clear();
    }
    const double number = is_number ? PyFloat_AsDouble(value) : 0;
    const bool overflows = PyErr_Occurred() != nullptr && PyErr_ExceptionMatches(PyExc_OverflowError) != 0;
    if (!is_number || (PyErr_Occurred() != nullptr && !overflows)) {
      PyErr_Clear();
      Raise(PyExc_TypeError, "%s is %R; it takes %s", kArgumentNames[argument], value, taken);
    }
    PyErr_Clear();
    return overflows ? std::numeric_limits<double>::infinity() : number;
  }

  // A number in [least, most], never NaN.
  double NumberIn(Argument argument, double least, double most, const char* taken) const {
    const double number = Number(argument, taken);
    if (!(least <= number && number <= most))
      Raise(PyExc_ValueError, "%s is %S; it takes %s", kArgumentNames[argument], values_[argument], taken);
    return number;
  }

  void BindClassWeight() {
    if (IsNone(values_[kWeightArgument])) return;
    const py::array given = FloatArray("weight", values_[kWeightArgument]);
    if (given.ndim() != 1 || given.shape(0) != x.shape(axis)) {
      Raise(PyExc_ValueError, "weight has shape %S; it takes one number per class, shape (%zd,)", ShapeOf(given).ptr(),
            x.shape(axis));
    }
    weight = Cast(given, ScalarNumber(), NPY_ARRAY_C_CONTIGUOUS);
  }

  std::optional<py::array> EntryWeight(Argument argument) const {
    if (IsNone(values_[argument])) return {};
    const py::array given = FloatArray(kArgumentNames[argument], values_[argument]);
    if (HasShape(given, x.shape(), Dims())) return Cast(given, ScalarNumber(), NPY_ARRAY_C_CONTIGUOUS);
    const py::object broadcast = BroadcastTo(given, ShapeOf(x));
    if (!broadcast) {
      Raise(PyExc_ValueError, "%s has shape %S; it takes one that broadcasts to that of %s, %S", kArgumentNames[argument],
            ShapeOf(given).ptr(), loss_.Operand(), ShapeOf(x).ptr());
    }
    return Cast(broadcast, ScalarNumber(), NPY_ARRAY_C_CONTIGUOUS);
  }

  void BindSampleWeight() {
    if (IsNone(values_[kSampleWeightArgument])) return;
    const py::array given = FloatArray("sample_weight", values_[kSampleWeightArgument]);
    if (given.ndim() != 0 && !HasShape(given, x.shape(), Dims(), axis)) {
      Raise(PyExc_ValueError, "sample_weight has shape %S; it takes one number per row, shape %S, or a scalar",
            ShapeOf(given).ptr(), ShapeOfLosses().ptr());
    }
    sample_weight = Cast(given.ndim() == 0 ? BroadcastTo(given, ShapeOfLosses()) : py::object(given), NPY_DOUBLE,
                         NPY_ARRAY_C_CONTIGUOUS);
    divisor = SumOf(SampleWeights(), nullptr, Losses());
  }

  void BindOptions() {
    static constexpr double kMost = std::numeric_limits<double>::max();
    const auto has = [&](LossOption option) { return (loss_.options & option) != 0; };
    const auto add = [&](double option) { options[option_count++] = option; };
    if (has(kGamma)) add(NumberIn(kGammaArgument, 0, kMost, "a finite number of 0 or more"));
    if (has(kAlpha)) {  // the factors of positive and negative targets
      const bool balances = !IsNone(values_[kAlphaArgument]);
      const double alpha = balances ? NumberIn(kAlphaArgument, 0, 1, "a number in [0, 1] or None") : 1;
      add(alpha);
      add(balances ? 1 - alpha : 1);
    }
    if (has(kLabelSmoothing)) {
      double sum = static_cast<double>(x.shape(axis));
      if (weight) {
        const size_t n = weight->size();
        sum = ScalarNumber() == NPY_FLOAT ? SumOf(static_cast<const float*>(weight->data()), nullptr, n)
                                          : SumOf(static_cast<const double*>(weight->data()), nullptr, n);
      }
      add(sum);
      add(NumberIn(kLabelSmoothingArgument, 0, 1, "a number in [0, 1]"));
      add(NumberIn(kZLossArgument, -kMost, kMost, "a finite number"));
    }
  }

  void BindClassesOrRows() {
    BindAxis();
    if (!IsInteger(NumberOf(target)) && !IsReal(NumberOf(target))) {
      Raise(PyExc_TypeError,
            "targets has dtype %S; it takes integers (classes), floats (probabilities) or booleans (one-hot)",
            DTypeOf(target));
    }
    of_class = HasShape(target, x.shape(), Dims(), axis) && (PyTypeNum_ISINTEGER(NumberOf(target)) || target.size() == 0);
    if (!of_class && !HasShape(target, x.shape(), Dims())) RaiseTargetShape();
    PyObject* const ignore_index = values_[kIgnoreIndexArgument];
    const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(ignore_index));
    if (!index) {
      PyErr_Clear();
      Raise(PyExc_TypeError, "ignore_index is %R; it takes an integer", ignore_index);
    }
    int overflow = 0;
    const long long ignored = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
    BindClassWeight();
    BindSampleWeight();
    BindOptions();
    if (of_class) {
      BindClasses({x.shape(axis), overflow == 0 ? std::optional<int64_t>(ignored) : std::nullopt}, index);
    } else {
      target = Cast(target, NumberOfTarget());
    }
  }

  // Says what targets may be, and what may have been meant.
  [[noreturn]] void RaiseTargetShape() const {
    const py::tuple rows = ShapeOfLosses(), all = ShapeOf(x);
    const bool fits_rows = HasShape(target, x.shape(), Dims(), axis);
    if (fits_rows) {  // by their number they are classes, by their dtype they are not
      Raise(PyExc_ValueError,
            "targets has dtype %S and the shape of the rows, %S; probabilities and one-hot targets take that of %s, %S, "
            "classes are integers: pass targets.astype(int)",
            DTypeOf(target), rows.ptr(), loss_.Operand(), all.ptr());
    }
    const bool are_classes = PyTypeNum_ISINTEGER(NumberOf(target));
    std::string hint;
    for (int i = 0; i < Dims(); ++i) {
      if (are_classes && HasShape(target, x.shape(), Dims(), i)) hint = "; with axis=" + std::to_string(i) + " they fit";
    }
    bool has_axis_of_1 = are_classes && target.ndim() == x.ndim();
    for (int i = 0; has_axis_of_1 && i < Dims(); ++i) has_axis_of_1 = target.shape(i) == (i == axis ? 1 : x.shape(i));
    if (has_axis_of_1) hint = "; take np.squeeze(targets, axis=" + std::to_string(axis) + ")";
    if (!are_classes && target.ndim() > x.ndim() && IsInteger(NumberOf(AsArray(values_[kFirst]))))
      hint = std::string("; are ") + loss_.Operand() + " and targets swapped?";
    Raise(PyExc_ValueError,
          "targets has dtype %S and shape %S; classes take the shape of the rows, %S, probabilities and "
          "one-hot targets that of %s, %S%s",
          DTypeOf(target), ShapeOf(target).ptr(), rows.ptr(), loss_.Operand(), all.ptr(), hint.c_str());
  }

  // Targets as C-contiguous int64. Raises IndexError for one that is no class.
  void BindClasses(ClassRange classes, const py::object& ignore_index) {
    const py::array given = target;
    const size_t n = given.size();
    if (PyTypeNum_ISUNSIGNED(NumberOf(given)) && given.itemsize() == sizeof(uint64_t)) {
      // Beyond int64 there is no class: the largest int64 stands for all of them, and -1 for what is ignored.
      const unsigned long long ignored = PyLong_AsUnsignedLongLong(ignore_index.ptr());
      const bool ignores = PyErr_Occurred() == nullptr;
      PyErr_Clear();
      classes.ignored = ignores ? std::optional<int64_t>(-1) : std::nullopt;
      const py::array wide = Cast(given, NPY_UINT64, NPY_ARRAY_C_CONTIGUOUS);
      const auto* const from = static_cast<const uint64_t*>(wide.data());
      target = NewArray(static_cast<int>(given.ndim()), given.shape(), -1, NPY_INT64);
      static constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
      std::transform(from, from + n, static_cast<int64_t*>(target.mutable_data()), [=](uint64_t value) {
        return ignores && value == ignored ? -1 : static_cast<int64_t>(std::min(value, kMost));
      });
    } else {
      target = Cast(given, NPY_INT64, NPY_ARRAY_C_CONTIGUOUS);
    }
    const auto* const targets = static_cast<const int64_t*>(target.data());
    const void* const weights = weight ? weight->data() : nullptr;
    const double* const of_rows = SampleWeights();
    CheckedTargets checked;
    {
      std::optional<py::gil_scoped_release> release;
      if (n >= kManyTargets) release.emplace();
      checked = ScalarNumber() == NPY_FLOAT
                    ? CheckTargets(targets, n, classes, static_cast<const float*>(weights), of_rows)
                    : CheckTargets(targets, n, classes, static_cast<const double*>(weights), of_rows);
      if (checked.ignores && checked.bad < 0) {
        marked.resize(n);
        MarkTargets(targets, n, classes, of_rows, marked.data());
      }
    }
    if (checked.bad >= 0) {
      const py::object value = given.attr("flat")[py::int_(checked.bad)];
      const bool from_1 = targets[checked.bad] == classes.count && std::find(targets, targets + n, 0) == targets + n;
      Raise(PyExc_IndexError, "targets[%s] is %S; it takes a class in [0, %zd) or ignore_index=%S%s",
            Listed(checked.bad, given.shape(), static_cast<int>(given.ndim())).c_str(), value.ptr(), x.shape(axis),
            values_[kIgnoreIndexArgument], from_1 ? ": classes count from 0" : "");
    }
    divisor = checked.total;
  }

  void BindRows() {
    const bool are_integers = IsInteger(NumberOf(target));
    target = are_integers ? Cast(target, NumberOfTarget()) : FloatArray(loss_.Target(), target.ptr());
    CheckTargetShape();
    BindAxis();
    BindSampleWeight();
    if (are_integers || NumberOf(target) == NumberOf(x)) return;
    const auto common = Checked(reinterpret_cast<PyObject*>(
        PyArray_PromoteTypes(PyArray_DESCR(ArrayOf(x.ptr())), PyArray_DESCR(ArrayOf(target.ptr())))));
    const int number = reinterpret_cast<PyArray_Descr*>(common.ptr())->type_num;
    SetX(Cast(x, number));
    target = Cast(target, number);
  }

  void BindEntries() {
    if (!IsInteger(NumberOf(target)) && !IsReal(NumberOf(target)))
      Raise(PyExc_TypeError, "targets has dtype %S; it takes floats, booleans or integers", DTypeOf(target));
    CheckTargetShape();
    SetX(Cast(x, NumberOf(x), NPY_ARRAY_C_CONTIGUOUS));
    target = Cast(target, NumberOfTarget(), NPY_ARRAY_C_CONTIGUOUS);
    BindOptions();
    weight = EntryWeight(kWeightArgument);
    pos_weight = EntryWeight(kPosWeightArgument);
    divisor = static_cast<double>(x.size());
  }

  // The type that targets go in: the one that is computed in, or that of 16-bit rows where it holds all that they may be.
  int NumberOfTarget() const {
    const int number = NumberOf(target);
    const bool fits = number == NumberOf(x) || (IsInteger(number) && target.itemsize() == 1);
    return fits ? NumberOf(x) : ScalarNumber();
  }

  // What probabilities and factors may be: long doubles too.
  static bool IsReal(int number) { return PyTypeNum_ISFLOAT(number) || TypeOfNumber(number) != -1; }

  const Loss& loss_;
  const Values& values_;
};

// ---------------------------------------------------------------- the run

class Call {
 public:
  Call(const Function& f, const Values& values, const Arguments& arguments)
      : f_(f),
        values_(values),
        a_(arguments),
        operations_(arguments.of_class                            ? f.operations->of_class
                    : arguments.OfEntries() && !arguments.is_none ? f.operations->of_piece
                                                                  : f.operations->of_row),
        item_(arguments.ScalarNumber() == NPY_FLOAT ? sizeof(float) : sizeof(double)) {
    std::copy_n(a_.options, 3, scalars_);
    upstream_place_ = a_.option_count;
  }

  py::object Run() {
    if (operations_.count_outside.traits.operands.count > 0) CheckProbabilities();
    const bool has_gradient = f_.function != kLoss, has_losses = f_.function != kBackward;
    std::optional<py::array> out;
    py::array gradient = NoArray(), losses = NoArray();
    if (has_gradient) {
      out = CheckedOut();
      BindUpstream();
      gradient = out && MayWrite(*out) ? *out : NewArray(a_.Dims(), a_.x.shape(), -1, NumberOf(a_.x));
    }
    std::vector<double> sums;
    void* data = nullptr;
    if (has_losses && a_.is_none) {
      losses = NewArray(a_.Dims(), a_.x.shape(), a_.axis, a_.ScalarNumber());
      data = losses.mutable_data();
    } else if (has_losses) {
      sums.resize(RoomForSums(a_.OfEntries(), a_.Losses()));
      data = sums.data();
    }
    const double total = Run(operations_.functions[f_.function], a_.is_none, data, has_gradient ? &gradient : nullptr, true);
    if (a_.sample_weight && has_losses && a_.is_none && IsNone(values_[kDivisor])) WeighLosses(data);
    if (a_.sample_weight && has_gradient && !a_.of_class) ClearUncounted(gradient);
    if (out && !gradient.is(*out)) {
      if (PyArray_CopyInto(ArrayOf(out->ptr()), ArrayOf(gradient.ptr())) < 0) throw py::error_already_set();
      gradient = *out;
    }
    if (!has_losses) return gradient;
    py::object loss = a_.is_none ? Returned(std::move(losses)) : Quotient(a_.ScalarNumber(), total, a_.divisor);
    return has_gradient ? py::object(py::make_tuple(loss, gradient)) : loss;
  }

 private:
  void WeighLosses(void* losses) const {
    const size_t n = a_.Losses();
    item_ == sizeof(float) ? Weigh(static_cast<float*>(losses), a_.SampleWeights(), n)
                           : Weigh(static_cast<double*>(losses), a_.SampleWeights(), n);
  }

  // The gradient of a row of weight 0, which is NaN where that of its loss is no number.
  void ClearUncounted(const py::array& gradient) const {
    const double* const weights = a_.SampleWeights();
    if (std::find(weights, weights + a_.Losses(), 0) == weights + a_.Losses()) return;
    const py::module_ numpy = py::module_::import("numpy");
    const py::object rows = numpy.attr("expand_dims")(numpy.attr("equal")(*a_.sample_weight, 0), a_.axis);
    numpy.attr("copyto")(gradient, 0, py::arg("where") = rows);
  }

  // Looks at what the loss looks at: of rows with a class its entry, else all entries.
  void CheckProbabilities() const {
    std::vector<double> counts(RoomForSums(a_.OfEntries(), a_.Losses()));
    if (Run(operations_.count_outside, false, counts.data(), nullptr, false) == 0) return;
    const py::array wide = Cast(a_.x, NPY_DOUBLE, NPY_ARRAY_C_CONTIGUOUS);
    const auto* const entries = static_cast<const double*>(wide.data());
    npy_intp inner = 1;
    for (int i = a_.axis + 1; a_.of_class && i < a_.Dims(); ++i) inner *= a_.x.shape(i);
    const int64_t* const classes = a_.of_class ? a_.Classes() : nullptr;
    for (npy_intp i = 0, n = a_.of_class ? a_.Losses() : a_.x.size(); i < n; ++i) {
      if (a_.of_class && classes[i] < 0) continue;
      const npy_intp at = a_.of_class ? (i / inner * a_.x.shape(a_.axis) + classes[i]) * inner + i % inner : i;
      if (!(entries[at] < 0 || entries[at] > 1)) continue;
      const py::str value = py::str("{}").format(a_.x.attr("flat")[py::int_(at)]);
      Raise(PyExc_ValueError, "probs[%s] is %U; it takes probabilities, in [0, 1]",
            Listed(at, a_.x.shape(), a_.Dims()).c_str(), value.ptr());
    }
  }

  std::optional<py::array> CheckedOut() const {
    PyObject* const value = values_[kOut];
    if (IsNone(value)) return {};
    if (!PyArray_Check(value)) Raise(PyExc_TypeError, "out is a %s; it takes an ndarray", Py_TYPE(value)->tp_name);
    const auto out = py::reinterpret_borrow<py::array>(value);
    if (!HasShape(out, a_.x.shape(), a_.Dims())) {
      Raise(PyExc_ValueError, "out has shape %S; it takes the shape of %s, %S", ShapeOf(out).ptr(), f_.loss->Operand(),
            ShapeOf(a_.x).ptr());
    }
    if (NumberOf(out) != NumberOf(a_.x) || !PyArray_ISNOTSWAPPED(ArrayOf(value)))
      Raise(PyExc_TypeError, "out has dtype %S; it takes that of the gradient, %S", DTypeOf(out), DTypeOf(a_.x));
    if (!PyArray_ISWRITEABLE(ArrayOf(value))) Raise(PyExc_ValueError, "out is read-only; it takes a writable array");
    return out;
  }

  // The loss's upstream gradient over the divisor, as the factor of each row's gradient.
  void BindUpstream() {
    double& factor = scalars_[upstream_place_];
    PyObject* const value = f_.function == kBackward ? values_[kGrad] : nullptr;
    std::optional<py::array> of_losses;
    if (value == nullptr || PyFloat_Check(value)) {
      factor = (value == nullptr ? 1 : PyFloat_AS_DOUBLE(value)) / a_.divisor;
    } else {
      const py::array grad = FloatArray("grad", value);
      if (grad.ndim() == 0) {
        factor = PyFloat_AsDouble(grad.ptr()) / a_.divisor;
      } else {
        of_losses = GradOfLosses(grad);
      }
    }
    if (!of_losses && !a_.sample_weight) return;
    const QuietErrors quiet;
    if (a_.sample_weight) {
      const py::object by =
          of_losses ? py::object(Cast(*of_losses, NPY_DOUBLE) / py::float_(a_.divisor)) : py::float_(factor);
      of_losses = AsArray((*a_.sample_weight * by).ptr());
    } else if (a_.divisor != 1) {
      of_losses = AsArray((Cast(*of_losses, NPY_DOUBLE) / py::float_(a_.divisor)).ptr());
    }
    upstream_ = Cast(*of_losses, a_.ScalarNumber(), a_.OfEntries() ? NPY_ARRAY_C_CONTIGUOUS : 0);
  }

  // The upstream gradient in the shape of the losses.
  py::array GradOfLosses(const py::array& grad) const {
    if (a_.is_none) {
      if (HasShape(grad, a_.x.shape(), a_.Dims(), a_.axis)) return grad;
      py::object broadcast = BroadcastTo(grad, a_.ShapeOfLosses());
      if (broadcast) return broadcast;
    }
    const std::string taken =
        a_.is_none ? "one that broadcasts to that of the losses, " + std::string(py::str(a_.ShapeOfLosses())) : "a scalar";
    Raise(PyExc_ValueError, "grad has shape %S; for reduction=%R it takes %s", ShapeOf(grad).ptr(), values_[kReduction],
          taken.c_str());
  }

  // Whether a gradient may be written where it is wanted, while the operands are read.
  bool MayWrite(const py::array& out) const {
    auto* const array = ArrayOf(out.ptr());
    const auto is_apart = [&](const std::optional<py::array>& operand) {
      return !operand || MayFill(out.ptr(), operand->ptr());
    };
    return PyArray_ISALIGNED(array) && (!a_.OfEntries() || PyArray_IS_C_CONTIGUOUS(array)) && is_apart(a_.x) &&
           is_apart(a_.target) && is_apart(a_.weight) && is_apart(a_.sample_weight) && is_apart(a_.pos_weight) &&
           is_apart(upstream_);
  }

  void Bind(RowArrays::Array& operand, const py::array& array) const { SetOperand(operand, array.ptr(), a_.axis); }

  // Runs an operation, without the GIL if it is worth that. Returns the sum of the losses, each times its row's weight,
  // where they are not wanted each.
  double Run(const RowOperation& operation, bool each, void* losses, const py::array* gradient, bool weighs) const {
    LossArrays arrays;
    arrays.dtype = a_.dtype;
    arrays.of_entries = a_.OfEntries();
    arrays.entries = a_.x.size();
    arrays.axes = 0;
    arrays.classes = 0;
    for (int i = 0; i < a_.Dims() && !a_.OfEntries(); ++i) {
      (i == a_.axis ? arrays.classes : arrays.shape[arrays.axes++]) = a_.x.shape(i);
    }
    Bind(arrays.x, a_.x);
    if (!a_.of_class) Bind(arrays.target, a_.target);
    if (gradient != nullptr) Bind(arrays.gradient, *gradient);
    arrays.is_target_wide = NumberOf(a_.target) != NumberOf(a_.x);
    arrays.class_targets = a_.of_class ? a_.Classes() : nullptr;
    arrays.weight = a_.weight ? a_.weight->data() : nullptr;
    arrays.pos_weight = a_.pos_weight ? a_.pos_weight->data() : nullptr;
    arrays.sample_weight = weighs ? a_.SampleWeights() : nullptr;
    std::copy_n(scalars_, 4, arrays.scalars);
    arrays.upstream_place = upstream_place_;
    arrays.upstream.data = nullptr;
    if (upstream_) SetOperand(arrays.upstream, upstream_->ptr(), -1);

    double total = 0;
    size_t bytes = 0;
    bool done = false;
    {
      std::optional<py::gil_scoped_release> release;
      if (static_cast<size_t>(a_.x.size()) > kManyEntries) release.emplace();
      done = RunLoss(operation, arrays, each, losses, &total, &bytes);
    }
    if (!done) Raise(PyExc_MemoryError, "%s: no memory for a buffer of %zu bytes", operation.name, bytes);
    return total;
  }

  const Function& f_;
  const Values& values_;
  const Arguments& a_;
  const LossOperationsOfTargets& operations_;
  const ptrdiff_t item_;    // of scalars
  double scalars_[4] = {};  // options, and the upstream gradient behind them
  int upstream_place_ = 0;
  std::optional<py::array> upstream_;  // where each row has its own
};

// ---------------------------------------------------------------- builtins

// What other packages' arrays give.
py::object CallOthers(const Function& f, const Values& values) {
  py::dict operands, options;
  for (int i = 0; i < kArguments; ++i) {
    if (values[i] == nullptr) continue;
    const char* const name = i == kFirst ? f.loss->first : i == kSecond ? f.loss->second : kArgumentNames[i];
    (i <= kSecond ? operands : options)[name] = py::handle(values[i]);
  }
  return py::module_::import("nonlin._others")
      .attr("losses")(f.name, f.loss->Operand(), f.loss->Target(), operands, options);
}

PyObject* CallFunction(PyObject* self, PyObject* const* args, Py_ssize_t given, PyObject* names) {
  return Guarded([&]() -> py::object {
    const auto& f = *static_cast<const Function*>(PyCapsule_GetPointer(self, nullptr));
    const CallLimit limit(LimitOfContext());
    const Values values = f.Bind(args, given, names);
    constexpr int kArrays[] = {kGrad, kFirst, kSecond, kWeightArgument, kSampleWeightArgument, kPosWeightArgument};
    if (!std::all_of(std::begin(kArrays), std::end(kArrays), [&](int i) { return IsPlain(values[i]); })) {
      return CallOthers(f, values);
    }
    const FloatScope scope;
    const Arguments arguments(*f.loss, values);
    return f.only_checks ? py::float_(arguments.divisor) : Call(f, values, arguments).Run();
  });
}

// A builtin, whose data lives for ever.
void AddFunction(py::module_& m, const Loss& loss, const LossOperations& operations, LossFunction function,
                 bool only_checks) {
  static std::deque<Function>& all = *new std::deque<Function>;
  constexpr const char* kEndings[] = {"", "_backward", "_with_grad"};
  Function& f = all.emplace_back(Function{&loss, &operations, function, only_checks, {}, {}, {}});
  f.name = loss.name + std::string(only_checks ? "_divisor" : kEndings[function]);
  f.doc = f.name + "(*operands: Any, **options: Any) -> Any\n\n" +
          (only_checks ? "What the loss is divided by, after a check of its arguments." : "See nonlin." + f.name + ".");
  f.method = {f.name.c_str(), reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(CallFunction)),
              METH_FASTCALL | METH_KEYWORDS, f.doc.c_str()};
  const py::object self = Checked(PyCapsule_New(&f, nullptr, nullptr));
  m.attr(f.name.c_str()) = Checked(PyCFunction_New(&f.method, self.ptr()));
}

void AddLoss(py::module_& m, int number) {
  const Loss& loss = kLosses[number];
  const LossOperations& operations = GetLossOperations(number);
  AddFunction(m, loss, operations, kLoss, true);
  for (const LossFunction function : {kLoss, kBackward, kWithGrad}) {
    if (function != kWithGrad || loss.with_grad) AddFunction(m, loss, operations, function, false);
  }
}

py::list Losses() {
  constexpr const char* kTargetNames[] = {"targets", "rows", "elements"};
  py::list rows;
  for (int i = 0; i < kLossCount; ++i) {
    const Loss& loss = kLosses[i];
    py::list arguments, options;
    arguments.append(loss.first);
    arguments.append(loss.second);
    for (int k = kGammaArgument; k < kReduction; ++k) {
      if ((loss.options >> (k - kGammaArgument) & 1) != 0) options.append(kArgumentNames[k]);
    }
    options.append("reduction");
    py::dict row;
    row["name"] = loss.name;
    row["kind"] = kTargetNames[static_cast<int>(loss.targets)];
    row["arguments"] = arguments;
    row["options"] = options;
    row["with_grad"] = loss.with_grad;
    rows.append(row);
  }
  return rows;
}

}  // namespace

void RegisterLosses(py::module_& m) {
  for (int i = 0; i < kArguments; ++i) interned_names[i] = PyUnicode_InternFromString(kArgumentNames[i]);
  for (int i = 0; i < kLossCount; ++i) AddLoss(m, i);
  m.def(
      "float_array",
      [](const char* name, const py::object& value) {
        if (IsPlain(value.ptr())) return FloatArray(name, value.ptr());
        return FloatArray(name, py::object(py::module_::import("nonlin._others").attr("plain")(name, value)).ptr());
      },
      py::arg("name"), py::arg("value"), "What an argument of this name becomes: an array of a float type.");
  m.def("losses", &Losses, "The table of losses, a dict a row.");
}

}  // namespace nonlin
