// The front of the losses: binds a call's arguments, checks them and raises every error, before it runs the row kernels on
// whatever strides there are. python/nonlin/_losses.py holds the signatures and the documentation.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <iterator>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "python/context.h"
#include "python/dtypes.h"
#include "python/module.h"
#include "python/rows.h"
#include "runtime/float_status.h"
#include "runtime/threads.h"
#include "tuning.h"

namespace py = pybind11;

namespace nonlin {
namespace {

// ---------------------------------------------------------------- class targets

struct CheckedTargets {
  double total;   // sum of the weights of those that count
  bool ignores;   // whether there are others
  ptrdiff_t bad;  // position of the first one that is no class, or -1
};

// A class that counts, one that is ignored, or neither.
struct Classes {
  int64_t count;
  std::optional<int64_t> ignored;
  bool Has(int64_t target) const { return static_cast<uint64_t>(target) < static_cast<uint64_t>(count); }
  bool Ignores(int64_t target) const { return ignored && target == *ignored; }
};

template <class F>
size_t CountIf(const int64_t* targets, size_t n, const F& is_counted) {
  std::atomic<size_t> sum{0};
  ParallelFor(n, 1, kTargetCycles, [&](size_t begin, size_t end) {
    size_t counted = 0;
    for (size_t i = begin; i < end; ++i) counted += is_counted(targets[i]);
    sum += counted;
  });
  return sum;
}

// The weights are of type T; none stand for 1.
template <class T>
CheckedTargets CheckTargets(const int64_t* targets, size_t n, const Classes& classes, const T* weights) {
  const size_t outside = CountIf(targets, n, [=](int64_t target) { return !classes.Has(target); });
  const bool ignores_class = classes.ignored && classes.Has(*classes.ignored);
  const bool may_ignore = outside > 0 || ignores_class;  // mostly not: one pass
  const size_t ignored = may_ignore ? CountIf(targets, n, [=](int64_t target) { return classes.Ignores(target); }) : 0;
  if (outside > (ignores_class ? 0 : ignored)) {
    const auto is_bad = [=](int64_t target) { return !classes.Ignores(target) && !classes.Has(target); };
    const int64_t* bad = std::find_if(targets, targets + n, is_bad);
    if (bad != targets + n) return {0, ignored > 0, bad - targets};  // else another thread has written to the array
  }
  double total = static_cast<double>(n - ignored);
  if (weights != nullptr) {
    total = 0;  // in one order, whatever the threads
    for (size_t i = 0; i < n; ++i) {
      const int64_t target = targets[i];
      total += classes.Ignores(target) || !classes.Has(target) ? 0 : static_cast<double>(weights[target]);
    }
  }
  return {total, ignored > 0, -1};
}

// ---------------------------------------------------------------- sums

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

double Sum(int number, const void* values, size_t n) {
  return number == NPY_FLOAT ? Sum(static_cast<const float*>(values), n) : Sum(static_cast<const double*>(values), n);
}

// The quotient as a NumPy scalar.
py::object Quotient(int number, double total, double divisor) {
  const double quotient = total / divisor;
  const float rounded = static_cast<float>(quotient);
  ClearFloatStatus();
  if (number == NPY_FLOAT) {
    py::object scalar = Checked(PyArrayScalar_New(Float));
    PyArrayScalar_ASSIGN(scalar.ptr(), Float, rounded);
    return scalar;
  }
  py::object scalar = Checked(PyArrayScalar_New(Double));
  PyArrayScalar_ASSIGN(scalar.ptr(), Double, quotient);
  return scalar;
}

// The sum of an array of losses over a divisor.
py::object Reduce(const py::object& losses, double divisor) {
  const int number = PyArray_TYPE(ArrayOf(AsArray(losses.ptr()).ptr())) == NPY_FLOAT ? NPY_FLOAT : NPY_DOUBLE;
  const py::object array = Cast(AsArray(losses.ptr()).ptr(), number, NPY_ARRAY_C_CONTIGUOUS);
  return Quotient(number, Sum(number, PyArray_DATA(ArrayOf(array.ptr())), PyArray_SIZE(ArrayOf(array.ptr()))), divisor);
}

// ---------------------------------------------------------------- the operations of the table

// For one kind of targets.
struct Operations {
  RowOperation functions[kLossFunctions], count_outside;
  bool ChecksProbabilities() const { return count_outside.traits.operands.count > 0; }
};

struct LossOperations {
  Operations of_class, of_row;
};

// ---------------------------------------------------------------- a call

enum Argument {
  kGradArgument,
  kFirst,
  kSecond,
  kOut,
  kAxisArgument,
  kWeightArgument,
  kPosWeightArgument,
  kIgnoreIndexArgument,
  kLabelSmoothingArgument,
  kZLossArgument,
  kReduction,
  kDivisor,  // in the place of the reduction's, for the gradient
  kArguments,
};
constexpr const char* kArgumentNames[kArguments] = {
    "grad",   "",          "",       "out", "axis", "weight", "pos_weight", "ignore_index", "label_smoothing",
    "z_loss", "reduction", "divisor"};

// What a builtin of this module is: a function of a loss, or the check of its arguments.
struct Function {
  const Loss* loss;
  const LossOperations* operations;
  LossFunction function;
  bool only_checks;
  std::string name, doc;
  PyMethodDef method;
};

using Values = std::array<PyObject*, kArguments>;  // null where absent

// The arguments of a call, by name.
Values Bind(const Function& f, PyObject* const* args, Py_ssize_t given, PyObject* names) {
  static const auto kNames = [] {
    std::array<PyObject*, kArguments> interned;
    for (int i = 0; i < kArguments; ++i) interned[i] = PyUnicode_InternFromString(kArgumentNames[i]);
    return interned;
  }();
  const bool has_grad = f.function == kBackward;
  if (given != 2 + has_grad) Raise(PyExc_TypeError, "%s() takes %d operands by position", f.name.c_str(), 2 + has_grad);
  Values values{};
  std::copy_n(args, given, values.begin() + (has_grad ? kGradArgument : kFirst));
  auto found = kNames.begin();  // goes on from the last one: names usually come in this order
  for (Py_ssize_t i = 0; names != nullptr && i < PyTuple_GET_SIZE(names); ++i) {
    PyObject* const name = PyTuple_GET_ITEM(names, i);
    found = std::find(found, kNames.end(), name);
    if (found == kNames.end()) found = std::find(kNames.begin(), kNames.end(), name);
    if (found == kNames.end()) Raise(PyExc_TypeError, "%s() takes no argument %R", f.name.c_str(), name);
    values[found - kNames.begin()] = args[given + i];
  }
  return values;
}

bool IsNone(PyObject* value) { return value == nullptr || value == Py_None; }

py::tuple ShapeOf(PyObject* array) {
  py::tuple shape(PyArray_NDIM(ArrayOf(array)));
  for (size_t i = 0; i < shape.size(); ++i) shape[i] = PyArray_DIM(ArrayOf(array), static_cast<int>(i));
  return shape;
}

bool HasShape(PyObject* array, int dims, const npy_intp* shape) {
  return PyArray_NDIM(ArrayOf(array)) == dims && PyArray_CompareLists(PyArray_DIMS(ArrayOf(array)), shape, dims);
}

// What probabilities and factors may be; long doubles too.
bool IsReal(int number) { return PyTypeNum_ISFLOAT(number) || TypeOfNumber(number) != -1; }

// "1, 2", of a flat position in an array
std::string Listed(py::ssize_t position, const npy_intp* shape, int dims) {
  std::string text;
  for (int i = dims; i-- > 0; position /= shape[i]) {
    text = std::to_string(position % shape[i]) + (text.empty() ? "" : ", ") + text;
  }
  return text;
}

constexpr npy_intp kPiece = 4096;  // entries that make a row where a loss has no axis

class Call {
 public:
  Call(const Function& f, const Values& values) : f_(f), loss_(*f.loss), values_(values) {
    BindReduction();
    const bool swapped = loss_.targets == Targets::kRows;
    SetX(FloatArray(loss_.Operand(), values[swapped ? kSecond : kFirst]));
    target_ = AsArray(values[swapped ? kFirst : kSecond]);
    if (loss_.targets == Targets::kClassesOrRows) {
      BindClassesOrRows();
    } else if (loss_.targets == Targets::kRows) {
      BindRows();
    } else {
      BindEntries();
    }
    if (!mean_) divisor_ = 1;
    if (!IsNone(values[kDivisor])) divisor_ = PyFloat_AsDouble(values[kDivisor]);
    if (PyErr_Occurred()) throw py::error_already_set();
  }

  double divisor() const { return divisor_; }

  py::object Run();

 private:
  // Rows of one length, and the entry they start at: the pieces of a loss without an axis.
  struct Piece {
    npy_intp start, rows, classes;
  };

  PyArrayObject* X() const { return ArrayOf(x_.ptr()); }
  int Dims() const { return PyArray_NDIM(X()); }
  const npy_intp* Shape() const { return PyArray_DIMS(X()); }
  bool OfEntries() const { return loss_.targets == Targets::kEntries; }
  int ScalarNumber() const { return ComputedNumber(dtype_); }  // of losses, options and factors
  npy_intp LossCount() const { return OfEntries() ? PyArray_SIZE(X()) : PyArray_SIZE(X()) / Shape()[axis_]; }
  const Operations& Kernels() const { return of_class_ ? f_.operations->of_class : f_.operations->of_row; }

  void SetX(py::object x) {
    x_ = std::move(x);
    dtype_ = static_cast<DType>(TypeOfNumber(PyArray_TYPE(X())));
  }

  void BindReduction();
  void BindAxis();
  void BindClassesOrRows();
  void BindRows();
  void BindEntries();
  void BindClassTargets(const Classes& classes);
  void BindOptions();
  double Number(Argument argument) const;
  void CheckTargetShape() const;
  py::object ClassWeight() const;
  py::object EntryWeight(Argument argument) const;

  void CheckProbabilities();
  py::object CheckedOut() const;
  void BindUpstream();
  bool MayWrite(const py::object& out) const;

  // For the losses of rows, or of pieces of entries, of either type.
  std::vector<double> RoomForSums() const {
    return std::vector<double>((OfEntries() ? LossCount() / kPiece : LossCount()) + 1);
  }

  // The targets of rows, -1 for those ignored.
  const int64_t* ClassData() const {
    return marked_.empty() ? static_cast<const int64_t*>(PyArray_DATA(ArrayOf(target_.ptr()))) : marked_.data();
  }

  void SetEntries(RowArrays& arrays, int k, const py::object& array, const Piece& piece) const;
  void SetWeight(RowArrays& arrays, int k, const py::object& weight, const Piece& piece) const;
  void RunPiece(const RowOperation& operation, const Piece& piece, void* losses, const py::object& gradient) const;
  double RunPieces(const RowOperation& operation, bool each, void* losses, const py::object& gradient) const;

  const Function& f_;
  const Loss& loss_;
  const Values& values_;
  bool mean_ = false, none_ = false;
  DType dtype_ = kFloat64;
  int axis_ = -1;
  bool of_class_ = false;
  py::object x_, target_, weight_, pos_weight_;
  py::object upstream_;                   // where each row has its own
  std::vector<int64_t> marked_;           // targets, with -1 for those ignored
  double divisor_ = 1, scalars_[4] = {};  // options of the kernel, then the upstream gradient
  int upstream_place_ = 0;
};

// ---------------------------------------------------------------- arguments

void Call::BindReduction() {
  PyObject* const value = values_[kReduction];
  const auto is = [=](const char* name) {
    return value != nullptr && PyUnicode_Check(value) && PyUnicode_CompareWithASCIIString(value, name) == 0;
  };
  mean_ = is("mean");
  none_ = is("none");
  if (!mean_ && !none_ && !is("sum")) Raise(PyExc_ValueError, "reduction is %R; it takes 'mean', 'sum' or 'none'", value);
}

void Call::BindAxis() {
  axis_ = AxisOf(values_[kAxisArgument], Dims());
  if (Shape()[axis_] == 0) {
    Raise(PyExc_ValueError, "%s has shape %S, so the class axis %d is empty; it takes 1 class or more", loss_.Operand(),
          ShapeOf(x_.ptr()).ptr(), axis_);
  }
  divisor_ = static_cast<double>(LossCount());
}

void Call::CheckTargetShape() const {
  if (HasShape(target_.ptr(), Dims(), Shape())) return;
  Raise(PyExc_ValueError, "%s has shape %S; it takes the shape of %s, %S", loss_.Target(), ShapeOf(target_.ptr()).ptr(),
        loss_.Operand(), ShapeOf(x_.ptr()).ptr());
}

double Call::Number(Argument argument) const {
  const double number = PyFloat_AsDouble(values_[argument]);
  if (number == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    Raise(PyExc_TypeError, "%s is %R; it takes a number", kArgumentNames[argument], values_[argument]);
  }
  return number;
}

py::object Call::ClassWeight() const {
  const py::object weight = FloatArray("weight", values_[kWeightArgument]);
  const npy_intp classes = Shape()[axis_];
  if (!HasShape(weight.ptr(), 1, &classes)) {
    Raise(PyExc_ValueError, "weight has shape %S; it takes one number per class, shape (%zd,)", ShapeOf(weight.ptr()).ptr(),
          static_cast<Py_ssize_t>(classes));
  }
  return Cast(weight.ptr(), ScalarNumber(), NPY_ARRAY_C_CONTIGUOUS);
}

py::object Call::EntryWeight(Argument argument) const {
  if (IsNone(values_[argument])) return {};
  py::object weight = FloatArray(kArgumentNames[argument], values_[argument]);
  if (!HasShape(weight.ptr(), Dims(), Shape())) {
    const py::tuple shape = ShapeOf(x_.ptr());
    try {
      weight = py::module_::import("numpy").attr("broadcast_to")(weight, shape);
    } catch (const py::error_already_set& error) {
      if (!error.matches(PyExc_ValueError)) throw;
      Raise(PyExc_ValueError, "%s has shape %S; it takes one that broadcasts to that of %s, %S", kArgumentNames[argument],
            ShapeOf(weight.ptr()).ptr(), loss_.Operand(), shape.ptr());
    }
  }
  return Cast(weight.ptr(), ScalarNumber(), NPY_ARRAY_C_CONTIGUOUS);
}

void Call::BindOptions() {
  if ((loss_.options & kLabelSmoothing) == 0) return;
  const double smoothing = Number(kLabelSmoothingArgument);
  if (!(0 <= smoothing && smoothing <= 1)) {
    Raise(PyExc_ValueError, "label_smoothing is %S; it takes a number in [0, 1]", values_[kLabelSmoothingArgument]);
  }
  scalars_[0] = static_cast<double>(Shape()[axis_]);
  scalars_[1] = smoothing;
  scalars_[2] = Number(kZLossArgument);
  if (weight_) {
    const QuietErrors quiet;
    const py::object sum = Checked(PyArray_Sum(ArrayOf(weight_.ptr()), 0, NPY_DOUBLE, nullptr));
    scalars_[0] = PyFloat_AsDouble(sum.ptr());
  }
}

void Call::BindClassesOrRows() {
  BindAxis();
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(values_[kIgnoreIndexArgument]));
  if (!index) {
    PyErr_Clear();
    Raise(PyExc_TypeError, "ignore_index is %R; it takes an integer", values_[kIgnoreIndexArgument]);
  }
  int overflow = 0;
  const long long ignored = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (!IsNone(values_[kWeightArgument])) weight_ = ClassWeight();
  BindOptions();

  npy_intp shape_of_rows[kMaxAxes];
  std::copy(Shape() + axis_ + 1, Shape() + Dims(), std::copy_n(Shape(), axis_, shape_of_rows));
  auto* const target = ArrayOf(target_.ptr());
  const bool fits_rows = HasShape(target_.ptr(), Dims() - 1, shape_of_rows);
  of_class_ = PyTypeNum_ISINTEGER(PyArray_TYPE(target)) || (PyArray_SIZE(target) == 0 && fits_rows);
  if (of_class_) {
    if (!fits_rows) {
      py::tuple shape(Dims() - 1);
      for (int i = 0; i + 1 < Dims(); ++i) shape[i] = shape_of_rows[i];
      Raise(PyExc_ValueError, "targets has shape %S; classes take the shape of the rows, %S", ShapeOf(target_.ptr()).ptr(),
            shape.ptr());
    }
    BindClassTargets({Shape()[axis_], overflow == 0 ? std::optional<int64_t>(ignored) : std::nullopt});
  } else if (IsReal(PyArray_TYPE(target))) {
    CheckTargetShape();
    target_ = Cast(target_.ptr(), PyArray_TYPE(X()));
  } else {
    Raise(PyExc_TypeError, "targets has dtype %S; it takes integers (classes) or floats (probabilities)",
          reinterpret_cast<PyObject*>(PyArray_DESCR(target)));
  }
}

// As int64, C-contiguous, with -1 for those ignored. Raises IndexError for what is no class.
void Call::BindClassTargets(const Classes& classes) {
  const py::object given = target_;
  auto* const array = ArrayOf(given.ptr());
  const size_t n = PyArray_SIZE(array);
  if (PyTypeNum_ISUNSIGNED(PyArray_TYPE(array)) && PyArray_ITEMSIZE(array) == sizeof(uint64_t)) {
    // Beyond int64 there is no class: the largest int64 stands for all of them.
    const py::object wide = Cast(given.ptr(), NPY_UINT64, NPY_ARRAY_C_CONTIGUOUS);
    const auto* const from = static_cast<const uint64_t*>(PyArray_DATA(ArrayOf(wide.ptr())));
    target_ = NewArray(PyArray_NDIM(array), PyArray_DIMS(array), -1, NPY_INT64);
    auto* const to = static_cast<int64_t*>(PyArray_DATA(ArrayOf(target_.ptr())));
    static constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
    std::transform(from, from + n, to, [](uint64_t value) { return static_cast<int64_t>(std::min(value, kMost)); });
  } else {
    target_ = Cast(given.ptr(), NPY_INT64, NPY_ARRAY_C_CONTIGUOUS);
  }
  const auto* const targets = static_cast<const int64_t*>(PyArray_DATA(ArrayOf(target_.ptr())));
  const void* const weights = weight_ ? PyArray_DATA(ArrayOf(weight_.ptr())) : nullptr;
  CheckedTargets checked;
  {
    std::optional<py::gil_scoped_release> release;
    if (n >= kManyTargets) release.emplace();
    checked = ScalarNumber() == NPY_FLOAT ? CheckTargets(targets, n, classes, static_cast<const float*>(weights))
                                          : CheckTargets(targets, n, classes, static_cast<const double*>(weights));
    if (checked.ignores && checked.bad < 0) {
      marked_.resize(n);
      ParallelFor(n, 1, kTargetCycles, [&](size_t begin, size_t end) {
        for (size_t i = begin; i < end; ++i) marked_[i] = classes.Ignores(targets[i]) ? -1 : targets[i];
      });
    }
  }
  if (checked.bad >= 0) {
    const py::object value = given.attr("flat")[py::int_(checked.bad)];
    Raise(PyExc_IndexError, "targets[%s] is %S; it takes a class in [0, %zd) or ignore_index=%S",
          Listed(checked.bad, PyArray_DIMS(array), PyArray_NDIM(array)).c_str(), value.ptr(),
          static_cast<Py_ssize_t>(classes.count), values_[kIgnoreIndexArgument]);
  }
  divisor_ = checked.total;
}

void Call::BindRows() {
  const int number = PyArray_TYPE(ArrayOf(target_.ptr()));
  if (PyTypeNum_ISBOOL(number) || PyTypeNum_ISINTEGER(number)) target_ = Cast(target_.ptr(), PyArray_TYPE(X()));
  target_ = FloatArray(loss_.Target(), target_.ptr());
  CheckTargetShape();
  BindAxis();
  if (PyArray_TYPE(ArrayOf(target_.ptr())) == PyArray_TYPE(X())) return;
  const py::object common =
      Checked(reinterpret_cast<PyObject*>(PyArray_PromoteTypes(PyArray_DESCR(X()), PyArray_DESCR(ArrayOf(target_.ptr())))));
  const int type = reinterpret_cast<PyArray_Descr*>(common.ptr())->type_num;
  SetX(Cast(x_.ptr(), type));
  target_ = Cast(target_.ptr(), type);
}

void Call::BindEntries() {
  auto* const target = ArrayOf(target_.ptr());
  const int number = PyArray_TYPE(target);
  if (!PyTypeNum_ISBOOL(number) && !PyTypeNum_ISINTEGER(number) && !IsReal(number)) {
    Raise(PyExc_TypeError, "targets has dtype %S; it takes floats, booleans or integers",
          reinterpret_cast<PyObject*>(PyArray_DESCR(target)));
  }
  CheckTargetShape();
  x_ = Cast(x_.ptr(), PyArray_TYPE(X()), NPY_ARRAY_C_CONTIGUOUS);
  target_ = Cast(target_.ptr(), PyArray_TYPE(X()), NPY_ARRAY_C_CONTIGUOUS);
  weight_ = EntryWeight(kWeightArgument);
  pos_weight_ = EntryWeight(kPosWeightArgument);
  divisor_ = static_cast<double>(PyArray_SIZE(X()));
}

// Looks at what the loss looks at: of rows with a class its entry, else all entries.
void Call::CheckProbabilities() {
  std::vector<double> counts = RoomForSums();
  if (RunPieces(Kernels().count_outside, false, counts.data(), {}) == 0) return;
  const py::object wide = Cast(x_.ptr(), NPY_DOUBLE, NPY_ARRAY_C_CONTIGUOUS);
  const auto* const entries = static_cast<const double*>(PyArray_DATA(ArrayOf(wide.ptr())));
  npy_intp inner = 1;
  for (int i = axis_ + 1; of_class_ && i < Dims(); ++i) inner *= Shape()[i];
  const int64_t* const classes = of_class_ ? ClassData() : nullptr;
  for (npy_intp i = 0, n = of_class_ ? LossCount() : PyArray_SIZE(X()); i < n; ++i) {
    if (of_class_ && classes[i] < 0) continue;
    const npy_intp at = of_class_ ? (i / inner * Shape()[axis_] + classes[i]) * inner + i % inner : i;
    if (!(entries[at] < 0 || entries[at] > 1)) continue;
    const py::str value = py::str("{}").format(x_.attr("flat")[py::int_(at)]);
    Raise(PyExc_ValueError, "probs[%s] is %U; it takes probabilities, in [0, 1]", Listed(at, Shape(), Dims()).c_str(),
          value.ptr());
  }
}

py::object Call::CheckedOut() const {
  if (IsNone(values_[kOut])) return {};
  const auto out = py::reinterpret_borrow<py::object>(values_[kOut]);
  if (!PyArray_Check(out.ptr())) Raise(PyExc_TypeError, "out is a %s; it takes an ndarray", Py_TYPE(out.ptr())->tp_name);
  auto* const array = ArrayOf(out.ptr());
  if (!HasShape(out.ptr(), Dims(), Shape())) {
    Raise(PyExc_ValueError, "out has shape %S; it takes the shape of %s, %S", ShapeOf(out.ptr()).ptr(), loss_.Operand(),
          ShapeOf(x_.ptr()).ptr());
  }
  if (PyArray_TYPE(array) != PyArray_TYPE(X()) || !PyArray_ISNOTSWAPPED(array)) {
    Raise(PyExc_TypeError, "out has dtype %S; it takes that of the gradient, %S",
          reinterpret_cast<PyObject*>(PyArray_DESCR(array)), reinterpret_cast<PyObject*>(PyArray_DESCR(X())));
  }
  if (!PyArray_ISWRITEABLE(array)) Raise(PyExc_ValueError, "out is read-only; it takes a writable array");
  return out;
}

// The loss's upstream gradient over the divisor, as the factor of each row's gradient.
void Call::BindUpstream() {
  upstream_place_ = (loss_.options & kLabelSmoothing) != 0 ? 3 : 0;
  double& factor = scalars_[upstream_place_];
  PyObject* const value = f_.function == kBackward ? values_[kGradArgument] : nullptr;
  if (value == nullptr || (PyFloat_Check(value) && !none_)) {
    factor = (value == nullptr ? 1 : PyFloat_AS_DOUBLE(value)) / divisor_;
    return;
  }
  const py::object grad = FloatArray("grad", value);
  py::list wanted;
  for (int i = 0; none_ && i < Dims(); ++i) {
    if (i != axis_) wanted.append(Shape()[i]);
  }
  if (!ShapeOf(grad.ptr()).equal(py::tuple(wanted))) {
    const std::string taken =
        wanted.empty() ? "a scalar" : "the shape of the losses, " + std::string(py::str(py::tuple(wanted)));
    Raise(PyExc_ValueError, "grad has shape %S; for reduction=%R it takes %s", ShapeOf(grad.ptr()).ptr(),
          values_[kReduction], taken.c_str());
  }
  const QuietErrors quiet;  // the quotient has grad's type, as in NumPy
  const py::object quotient = AsArray((grad / py::float_(divisor_)).ptr());
  if (none_) {
    upstream_ = Cast(quotient.ptr(), ScalarNumber(), OfEntries() ? NPY_ARRAY_C_CONTIGUOUS : 0);
  } else {
    factor = PyFloat_AsDouble(quotient.ptr());
  }
}

// Whether a gradient may be written where it is wanted, while the operands are read.
bool Call::MayWrite(const py::object& out) const {
  auto* const array = ArrayOf(out.ptr());
  if (!PyArray_ISALIGNED(array) || (OfEntries() && !PyArray_IS_C_CONTIGUOUS(array))) return false;
  const py::object* const operands[] = {&x_, &target_, &weight_, &pos_weight_, &upstream_};
  return std::all_of(std::begin(operands), std::end(operands),
                     [&](const py::object* operand) { return !*operand || MayFill(out.ptr(), operand->ptr()); });
}

// ---------------------------------------------------------------- the run

// One number for all rows, and all classes where it has them.
void SetConstant(RowArrays& arrays, int k, const void* number) {
  arrays.operands[k].data = static_cast<char*>(const_cast<void*>(number));
  arrays.operands[k].item = 0;
  std::fill_n(arrays.operands[k].strides, arrays.axes, 0);
}

// A number for each row, without gaps.
void SetDense(RowArrays& arrays, int k, const void* numbers, ptrdiff_t bytes) {
  SetConstant(arrays, k, numbers);
  for (int i = arrays.axes; i-- > 0; bytes *= arrays.shape[i]) arrays.operands[k].strides[i] = bytes;
}

// Entries of a C-contiguous array as rows, or an array with its axes.
void Call::SetEntries(RowArrays& arrays, int k, const py::object& array, const Piece& piece) const {
  SetOperand(arrays.operands[k], array.ptr(), axis_);
  if (!OfEntries()) return;
  const npy_intp item = PyArray_ITEMSIZE(ArrayOf(array.ptr()));
  arrays.operands[k].data += piece.start * item;
  arrays.operands[k].item = item;
  arrays.operands[k].strides[0] = piece.classes * item;
}

void Call::SetWeight(RowArrays& arrays, int k, const py::object& weight, const Piece& piece) const {
  static const float kOne32 = 1;
  static const double kOne64 = 1;
  const bool is_float = ScalarNumber() == NPY_FLOAT;
  if (!weight) {
    SetConstant(arrays, k, is_float ? static_cast<const void*>(&kOne32) : &kOne64);
  } else if (OfEntries()) {
    SetEntries(arrays, k, weight, piece);
  } else {
    SetConstant(arrays, k, PyArray_DATA(ArrayOf(weight.ptr())));
    arrays.operands[k].item = is_float ? sizeof(float) : sizeof(double);
  }
}

void Call::RunPiece(const RowOperation& operation, const Piece& piece, void* losses, const py::object& gradient) const {
  const bool is_float = ScalarNumber() == NPY_FLOAT;
  const OperandList& list = operation.traits.operands;
  float floats[4];
  std::copy_n(scalars_, 4, floats);
  RowArrays arrays;
  if (OfEntries()) {
    arrays.axes = 1;
    arrays.shape[0] = piece.rows;
    arrays.classes = piece.classes;
  } else {
    SetShape(arrays, x_.ptr(), axis_);
  }
  int weights = 0, scalars = 0;
  for (int k = 0; k < list.count; ++k) {
    switch (list.kinds[k]) {
      case Operand::kRowIn:
        SetEntries(arrays, k, k == 0 ? x_ : target_, piece);
        break;
      case Operand::kIndexIn:
        SetDense(arrays, k, ClassData(), sizeof(int64_t));
        break;
      case Operand::kOptionalIn:
        SetWeight(arrays, k, weights++ == 0 ? weight_ : pos_weight_, piece);
        break;
      case Operand::kScalarIn:
        if (scalars == upstream_place_ && upstream_) {
          SetOperand(arrays.operands[k], upstream_.ptr(), -1);
          if (OfEntries()) arrays.operands[k].strides[0] = PyArray_ITEMSIZE(ArrayOf(upstream_.ptr()));
        } else {
          SetConstant(arrays, k, is_float ? static_cast<const void*>(&floats[scalars]) : &scalars_[scalars]);
        }
        ++scalars;
        break;
      case Operand::kScalarOut:
        SetDense(arrays, k, losses, is_float ? sizeof(float) : sizeof(double));
        break;
      case Operand::kRowOut:
        SetEntries(arrays, k, gradient, piece);
        break;
      case Operand::kMaskIn:
        break;
    }
  }
  Compute(operation, dtype_, arrays);
}

// Runs a kernel; a loss without an axis goes in rows of so many entries, or with each entry as a row. Returns the sum of the
// losses where they are not wanted each.
double Call::RunPieces(const RowOperation& operation, bool each, void* losses, const py::object& gradient) const {
  const npy_intp entries = PyArray_SIZE(X()), rest = entries % kPiece;
  std::array<Piece, 2> pieces{Piece{0, LossCount(), 0}, Piece{}};
  if (OfEntries()) {
    pieces = {Piece{0, entries / kPiece, kPiece}, Piece{entries - rest, rest > 0, rest}};
    if (each) pieces = {Piece{0, entries, 1}, Piece{}};
  }
  const bool has_losses = Has(operation.traits.operands, Operand::kScalarOut);
  double total = 0;
  for (const Piece& piece : pieces) {
    if (piece.rows == 0) continue;
    RunPiece(operation, piece, losses, gradient);
    if (has_losses && !each) total += Sum(ScalarNumber(), losses, piece.rows);
  }
  return total;
}

py::object Call::Run() {
  const Operations& operations = Kernels();
  if (operations.ChecksProbabilities()) CheckProbabilities();
  const py::object out = f_.function == kLoss ? py::object() : CheckedOut();
  py::object gradient = out;
  if (f_.function != kLoss) {
    BindUpstream();
    if (!out || !MayWrite(out)) gradient = NewArray(Dims(), Shape(), -1, PyArray_TYPE(X()));
  }
  py::object losses;
  std::vector<double> memory;
  void* data = nullptr;
  if (f_.function != kBackward && none_) {
    losses = NewArray(Dims(), Shape(), axis_, ScalarNumber());
    data = PyArray_DATA(ArrayOf(losses.ptr()));
  } else if (f_.function != kBackward) {
    memory = RoomForSums();
    data = memory.data();
  }
  const double total = RunPieces(operations.functions[f_.function], none_, data, gradient);
  if (out && gradient.ptr() != out.ptr()) {
    if (PyArray_CopyInto(ArrayOf(out.ptr()), ArrayOf(gradient.ptr())) < 0) throw py::error_already_set();
    gradient = out;
  }
  if (f_.function == kBackward) return gradient;
  losses = none_ ? Returned(std::move(losses)) : Quotient(ScalarNumber(), total, divisor_);
  return f_.function == kLoss ? losses : py::object(py::make_tuple(losses, gradient));
}

// ---------------------------------------------------------------- builtins

PyObject* CallFunction(PyObject* self, PyObject* const* args, Py_ssize_t given, PyObject* names) {
  try {
    const auto& f = *static_cast<const Function*>(PyCapsule_GetPointer(self, nullptr));
    const CallLimit limit(LimitOfContext());
    const Values values = Bind(f, args, given, names);
    Call call(f, values);
    return (f.only_checks ? py::float_(call.divisor()) : call.Run()).release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  return nullptr;
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
  static std::deque<LossOperations>& all = *new std::deque<LossOperations>;
  const Loss& loss = kLosses[number];
  const LossKernels* const kernels[] = {&GetLossKernels32()[number], &GetLossKernels64()[number],
                                        &GetLossKernelsFloat16()[number], &GetLossKernelsBFloat16()[number]};
  const auto operation_of = [&](const auto& kernel_of, double cost) {
    RowOperation operation{loss.name, cost * kCostLanes / FloatLanes(), kernel_of(*kernels[0]).traits, true, {}};
    for (int i = 0; i < kDTypes; ++i) operation.kernels[i] = kernel_of(*kernels[i]).kernels;
    return operation;
  };
  const auto operations_of = [&](LossKernelsOfTargets LossKernels::* targets, double cost, double check_cost) {
    const double costs[kLossFunctions] = {cost, cost + 0.5, 1.5 * cost};
    Operations operations;
    for (int i = 0; i < kLossFunctions; ++i) {
      operations.functions[i] = operation_of([=](const LossKernels& k) { return (k.*targets).functions[i]; }, costs[i]);
    }
    operations.count_outside = operation_of([=](const LossKernels& k) { return (k.*targets).count_outside; }, check_cost);
    return operations;
  };
  const LossOperations& operations =
      all.emplace_back(LossOperations{operations_of(&LossKernels::of_class, loss.cost.of_class, 0.001),
                                      operations_of(&LossKernels::of_row, loss.cost.of_row, 0.3)});
  AddFunction(m, loss, operations, kLoss, true);
  for (const LossFunction function : {kLoss, kBackward, kWithGrad}) {
    if (function != kWithGrad || loss.with_grad) AddFunction(m, loss, operations, function, false);
  }
}

py::list Losses() {
  constexpr const char* kTargetNames[] = {"targets", "rows", "elements"};
  constexpr const char* kOptionNames[] = {"axis", "weight", "pos_weight", "ignore_index", "label_smoothing", "z_loss"};
  py::list rows;
  for (int i = 0; i < kLossCount; ++i) {
    const Loss& loss = kLosses[i];
    py::list arguments, options;
    arguments.append(loss.first);
    arguments.append(loss.second);
    for (size_t k = 0; k < std::size(kOptionNames); ++k) {
      if ((loss.options >> k & 1) != 0) options.append(kOptionNames[k]);
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
  for (int i = 0; i < kLossCount; ++i) AddLoss(m, i);
  m.def("losses", &Losses, "The table of losses, a dict a row.");
  m.def("reduce", &Reduce, py::arg("losses"), py::arg("divisor"), "The sum of an array of losses over a divisor.");
}

}  // namespace nonlin
