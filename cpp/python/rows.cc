// The row functions on arrays with any strides: binds a call's arguments, checks them and raises every error, before it runs
// the kernels. Arrays of other packages go to python/nonlin/_others.py, which may dispatch them to the generalised ufuncs
// that are made here too.
#include "python/rows.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "python/context.h"
#include "python/data_handler.h"
#include "python/dtypes.h"
#include "python/module.h"
#include "runtime/float_status.h"
#include "runtime/threads.h"
#include "tuning.h"

namespace py = pybind11;

namespace nonlin {
namespace {

void RaiseNoMemory(const RowOperation& operation, size_t bytes) {
  const PyGILState_STATE state = PyGILState_Ensure();
  PyErr_Format(PyExc_MemoryError, "%s: no memory for a buffer of %zu bytes", operation.name, bytes);
  PyGILState_Release(state);
}

bool RunOrRaise(const RowOperation& operation, DType dtype, RowArrays& arrays) {
  size_t bytes = 0;
  if (RunRows(operation, dtype, arrays, &bytes)) return true;
  RaiseNoMemory(operation, bytes);
  return false;
}

// Whether an operand is a number of pieces of rows: float64, whatever the rows are.
bool IsWide(const RowOperation& operation, int place) {
  return operation.traits.wide_scalars && IsScalar(operation.traits.operands.kinds[place]);
}

// ---------------------------------------------------------------- generalised ufuncs

struct Loop {
  const RowOperation* operation;
  DType dtype;
  bool has_mask;  // behind the other inputs
};

// The place of an operand of a ufunc among those of its operation; -1 for the mask.
int PlaceOf(const Loop& loop, int operand) {
  const OperandList& list = loop.operation->traits.operands;
  const int inputs =
      static_cast<int>(std::count_if(list.kinds, list.kinds + list.count, [](Operand kind) { return !IsOutput(kind); }));
  if (!loop.has_mask || operand < inputs) return operand;
  return operand == inputs ? -1 : operand - 1;
}

// Runs rows of one axis, with copies of wide numbers in the type that rows are computed in.
bool RunOnWide(const RowOperation& operation, DType dtype, RowArrays& arrays) {
  if (!operation.traits.wide_scalars || dtype == kFloat64) return RunOrRaise(operation, dtype, arrays);
  const OperandList& list = operation.traits.operands;
  const size_t rows = arrays.shape[0];
  RowArrays computed = arrays;
  std::vector<float> numbers[kMaxRowOperands];
  const auto number = [&](int k, size_t row) -> double& {
    return *reinterpret_cast<double*>(arrays.operands[k].data + static_cast<ptrdiff_t>(row) * arrays.operands[k].strides[0]);
  };
  const FloatScope scope;
  for (int k = 0; k < list.count; ++k) {
    if (!IsWide(operation, k)) continue;
    numbers[k].resize(rows);
    for (size_t row = 0; row < rows && !IsOutput(list.kinds[k]); ++row) numbers[k][row] = static_cast<float>(number(k, row));
    computed.operands[k].data = reinterpret_cast<char*>(numbers[k].data());
    computed.operands[k].strides[0] = sizeof(float);
  }
  if (!RunOrRaise(operation, dtype, computed)) return false;
  for (int k = 0; k < list.count; ++k) {
    for (size_t row = 0; row < rows && IsWide(operation, k) && IsOutput(list.kinds[k]); ++row)
      number(k, row) = numbers[k][row];
  }
  return true;
}

void InnerLoop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const Loop& loop = *static_cast<const Loop*>(data);
  const OperandList& list = loop.operation->traits.operands;
  const int count = list.count + loop.has_mask;
  RowArrays arrays;
  arrays.axes = 1;
  arrays.shape[0] = dimensions[0];
  arrays.classes = 1;
  arrays.has_mask = loop.has_mask;
  const npy_intp* core = steps + count;  // strides along the class axis, of the operands that have it
  for (int i = 0; i < count; ++i) {
    const int place = PlaceOf(loop, i);
    RowArrays::Array& operand = arrays.operands[place == -1 ? list.count : place];
    const bool has_classes = place == -1 || HasClasses(list.kinds[place]);
    if (has_classes) arrays.classes = dimensions[1];
    operand.data = args[i];
    operand.item = has_classes ? *core++ : 0;
    operand.strides[0] = steps[i];
  }
  if (arrays.classes > 0) {
    try {
      RunOnWide(*loop.operation, loop.dtype, arrays);
    } catch (const std::bad_alloc&) {
      RaiseNoMemory(*loop.operation, dimensions[0] * sizeof(float));
    }
    return;
  }
  const PyGILState_STATE state = PyGILState_Ensure();
  PyErr_Format(PyExc_ValueError, "%s: the class axis is empty; it takes 1 class or more", loop.operation->name);
  PyGILState_Release(state);
}

// NumPy's number of an operand's type, where rows have this one.
int NumberOfOperand(const RowOperation& operation, int place, int number) {
  return IsWide(operation, place) ? ComputedNumber(static_cast<DType>(TypeOfNumber(number))) : number;
}

int TypeOfOperand(const void* data, int operand, int number) {
  const Loop& loop = *static_cast<const Loop*>(data);
  const int place = PlaceOf(loop, operand);
  return place == -1 ? NPY_BOOL : IsWide(*loop.operation, place) ? NPY_DOUBLE : number;
}

std::vector<std::string> ArgumentsOf(const RowOperation& operation) {
  std::vector<std::string> arguments;
  std::istringstream names(operation.arguments);
  for (std::string name; names >> name;) arguments.push_back(name);
  return arguments;
}

py::object NewGufunc(const RowOperation& operation, bool has_mask) {
  struct Data {
    std::string name, signature;
    std::vector<std::string> arguments;
    Loop loops[kDTypes];
  };
  static std::deque<Data>& all = *new std::deque<Data>;
  const OperandList& list = operation.traits.operands;
  Data& data = all.emplace_back();
  data.name = operation.name + std::string(has_mask ? "_where" : "");
  Ufunc ufunc{data.name.c_str(), "", nullptr, 0, 0, InnerLoop, {}, TypeOfOperand, !has_mask};
  for (int i = 0; i < kDTypes; ++i) {
    data.loops[i] = {&operation, static_cast<DType>(i), has_mask};
    ufunc.data[i] = operation.kernels[i].run == nullptr ? nullptr : &data.loops[i];
  }
  for (int i = 0; i < list.count + has_mask; ++i) {
    const int place = PlaceOf(data.loops[0], i);
    const bool output = place != -1 && IsOutput(list.kinds[place]);
    data.signature += i == 0 ? "" : output && ufunc.outputs == 0 ? "->" : ",";
    data.signature += place == -1 || HasClasses(list.kinds[place]) ? "(n)" : "()";
    ++(output ? ufunc.outputs : ufunc.inputs);
  }
  ufunc.signature = data.signature.c_str();
  data.arguments = ArgumentsOf(operation);
  if (has_mask) data.arguments.emplace_back("mask");
  for (const std::string& argument : data.arguments) ufunc.names.items[ufunc.names.count++] = argument.c_str();
  return NewUfunc(ufunc);
}

// ---------------------------------------------------------------- arguments

// They follow the operands, in this order; those at the end may be missing.
enum Option { kAxisOption, kScale, kWhere, kOutOption, kKeepdims, kOptions };
constexpr const char* kOptionNames[kOptions] = {"axis", "scale", "where", "out", "keepdims"};

struct Function {
  const RowOperation* operation;
  int inputs;
  std::vector<std::string> arguments;
  std::string doc;
  PyMethodDef method;

  const char* Name() const { return operation->name; }
  const OperandList& List() const { return operation->traits.operands; }
  bool IsLogSumExp() const { return List().count == 2 && List().kinds[1] == Operand::kScalarOut; }
};

// A shape, and which of its axes are classes.
struct Axes {
  int dims = 0;
  npy_intp shape[kMaxAxes];
  bool is_class[kMaxAxes] = {};

  npy_intp Classes() const {
    npy_intp classes = 1;
    for (int i = 0; i < dims; ++i) classes *= is_class[i] ? shape[i] : 1;
    return classes;
  }
  // The shape of the axes that are no classes; with `keeps`, classes have length 1.
  int Outer(bool keeps, npy_intp* outer) const {
    int count = 0;
    for (int i = 0; i < dims; ++i) {
      if (!is_class[i]) outer[count++] = shape[i];
      if (is_class[i] && keeps) outer[count++] = 1;
    }
    return count;
  }
};

void BindAxis(PyObject* axis, bool takes_several, Axes& axes) {
  const char* const taken = takes_several ? "an integer, a tuple of integers or None" : "an integer";
  if (takes_several && axis == Py_None) {
    std::fill_n(axes.is_class, axes.dims, true);
  } else if (takes_several && PyTuple_Check(axis)) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(axis); ++i) {
      bool& is_class = axes.is_class[AxisOf(PyTuple_GET_ITEM(axis, i), axes.dims, taken)];
      if (is_class) Raise(PyExc_ValueError, "axis is %R, which names an axis twice; it takes different ones", axis);
      is_class = true;
    }
  } else {
    axes.is_class[AxisOf(axis, axes.dims, taken)] = true;
  }
}

// An array's strides along axes that it broadcasts to. Returns false if it does not.
bool BroadcastStrides(PyObject* object, int dims, const npy_intp* shape, ptrdiff_t* strides) {
  auto* const array = ArrayOf(object);
  const int missing = dims - PyArray_NDIM(array);
  if (missing < 0) return false;
  for (int i = 0; i < dims; ++i) {
    const bool is_there = i >= missing;
    const npy_intp length = is_there ? PyArray_DIM(array, i - missing) : 1;
    if (length != 1 && length != shape[i]) return false;
    strides[i] = is_there && length != 1 ? PyArray_STRIDE(array, i - missing) : 0;
  }
  return true;
}

// The stride of the classes as one axis. Returns false if they make none.
bool MergeClasses(const Axes& axes, const ptrdiff_t* strides, ptrdiff_t* item) {
  ptrdiff_t next = 0, length = 0;  // of the class axis behind
  bool is_first = true;
  for (int i = axes.dims; i-- > 0;) {
    if (!axes.is_class[i] || axes.shape[i] == 1) continue;
    if (is_first) *item = strides[i];
    if (!is_first && strides[i] != next * length) return false;
    is_first = false;
    next = strides[i];
    length = axes.shape[i];
  }
  if (is_first) *item = 0;
  return true;
}

// ---------------------------------------------------------------- calls

// What a call returns of a new array. Wide numbers are float64, whatever they were computed in.
py::object ResultOf(const RowOperation& operation, int k, py::object array) {
  auto* const from = ArrayOf(array.ptr());
  if (!IsWide(operation, k) || PyArray_TYPE(from) == NPY_DOUBLE) return Returned(std::move(array));
  const py::object wide = NewArray(PyArray_NDIM(from), PyArray_DIMS(from), -1, NPY_DOUBLE);
  const QuietErrors quiet;
  if (PyArray_CopyInto(ArrayOf(wide.ptr()), from) < 0) throw py::error_already_set();
  return Returned(wide);
}

class Call {
 public:
  Call(const Function& f, PyObject* const* operands, PyObject* const* options) : f_(f), options_(options) {
    const OperandList& list = f.List();
    BindOperands(operands);
    BindShape();
    classes_ = axes_.Classes();
    if (classes_ == 0) {
      const int last = f.inputs - 1;
      Raise(PyExc_ValueError, "%s has shape %S, whose class axis is empty; it takes 1 class or more", Argument(last),
            ShapeOf(inputs_[last].ptr()).ptr());
    }
    outer_dims_ = axes_.Outer(false, outer_);
    arrays_.axes = outer_dims_;
    std::copy_n(outer_, outer_dims_, arrays_.shape);
    arrays_.classes = classes_;
    for (int k = 0; k < f.inputs; ++k) {
      if (IsRow(list.kinds[k])) {
        SetRows(arrays_.operands[k], inputs_[k]);
      } else {
        SetScalars(k);
      }
    }
    BindScale();
    BindWhere();
    // Many classes that are one number in memory need no buffer: log(n e^x) is x + log(n).
    const bool is_constant =
        std::all_of(arrays_.operands, arrays_.operands + f.inputs, [](const auto& o) { return o.item == 0; });
    if (is_constant && f.IsLogSumExp() && classes_ > static_cast<npy_intp>(kMaxKept) && !arrays_.has_mask) {
      repeats_ = static_cast<double>(classes_);
      arrays_.classes = 1;
    }
  }

  py::object Run() {
    const OperandList& list = f_.List();
    const int keeps = options_[kKeepdims] == nullptr ? 0 : PyObject_IsTrue(options_[kKeepdims]);
    if (keeps == -1) throw py::error_already_set();
    py::object results[kMaxOutputs];
    for (int k = f_.inputs; k < list.count; ++k) {
      py::object& result = results[k - f_.inputs];
      const py::object out = k == f_.inputs ? Out(IsRow(list.kinds[k]), keeps == 1) : py::none();
      result = IsRow(list.kinds[k]) ? RowResult(k, out) : ScalarResult(k, keeps == 1, out);
    }
    Compute(*f_.operation, dtype_, arrays_);
    if (repeats_ != 1) AddLogOfRepeats(pending_[0] ? pending_[0] : results[0]);
    const int count = list.count - f_.inputs;
    for (int i = 0; i < count; ++i) {
      if (pending_[i]) CopyPending(i, results[i]);
      if (IsNone(options_[kOutOption]) || i > 0) results[i] = ResultOf(*f_.operation, f_.inputs + i, std::move(results[i]));
    }
    return count == 1 ? results[0] : py::make_tuple(results[0], results[1]);
  }

 private:
  const char* Argument(int k) const { return f_.arguments[k].c_str(); }

  // The operands in their common type, of which Python's numbers have no part where there are others.
  void BindOperands(PyObject* const* operands) {
    int common = -1;
    bool is_weak[kMaxInputs] = {};
    for (int k = 0; k < f_.inputs; ++k) {
      is_weak[k] = PyFloat_CheckExact(operands[k]) || PyLong_CheckExact(operands[k]);
      inputs_[k] = PyArray_CheckExact(operands[k]) && TypeOfNumber(PyArray_TYPE(ArrayOf(operands[k]))) != -1
                       ? py::reinterpret_borrow<py::array>(operands[k])
                       : FloatArray(Argument(k), operands[k]);
      if (is_weak[k] || IsWide(*f_.operation, k)) continue;
      const int number = NumberOf(inputs_[k]);
      common = common == -1 || common == number ? number : Promoted(k, common, number);
    }
    if (common == -1) common = NPY_DOUBLE;
    dtype_ = static_cast<DType>(TypeOfNumber(common));
    for (int k = 0; k < f_.inputs; ++k) inputs_[k] = Cast(inputs_[k], NumberOfOperand(*f_.operation, k, common));
  }

  int Promoted(int k, int common, int number) const {
    const py::object one = Checked(reinterpret_cast<PyObject*>(PyArray_DescrFromType(common)));
    const py::object other = Checked(reinterpret_cast<PyObject*>(PyArray_DescrFromType(number)));
    PyObject* const promoted = reinterpret_cast<PyObject*>(
        PyArray_PromoteTypes(reinterpret_cast<PyArray_Descr*>(one.ptr()), reinterpret_cast<PyArray_Descr*>(other.ptr())));
    if (promoted == nullptr) {
      PyErr_Clear();
      Raise(PyExc_TypeError, "%s and %s have dtypes %S and %S; they take dtypes that NumPy promotes to one", Argument(0),
            Argument(k), one.ptr(), other.ptr());
    }
    return reinterpret_cast<PyArray_Descr*>(py::reinterpret_steal<py::object>(promoted).ptr())->type_num;
  }

  // The shape to which the rows broadcast. Classes do not.
  void BindShape() {
    const OperandList& list = f_.List();
    for (int k = 0; k < f_.inputs; ++k) {
      if (!IsRow(list.kinds[k])) continue;
      auto* const array = ArrayOf(inputs_[k].ptr());
      const int dims = PyArray_NDIM(array), both = std::min(dims, axes_.dims);
      const npy_intp* const shape = PyArray_DIMS(array);
      npy_intp* const common = axes_.shape;
      bool fits = true;
      if (dims > axes_.dims) {
        std::copy_backward(common, common + axes_.dims, common + dims);
        std::copy_n(shape, dims - axes_.dims, common);
      }
      axes_.dims = std::max(dims, axes_.dims);
      for (int i = 1; i <= both; ++i) {
        npy_intp& length = common[axes_.dims - i];
        const npy_intp other = shape[dims - i];
        fits &= length == other || length == 1 || other == 1;
        length = length == 1 ? other : length;
      }
      if (!fits) RaiseMisfit(k);
    }
    BindAxis(options_[kAxisOption], f_.operation->traits.changes.has_where, axes_);
    for (int k = 0; k < f_.inputs; ++k) {
      if (!IsRow(list.kinds[k])) continue;
      auto* const array = ArrayOf(inputs_[k].ptr());
      const int missing = axes_.dims - PyArray_NDIM(array);
      for (int i = 0; i < axes_.dims; ++i) {
        if (axes_.is_class[i] && (i < missing || PyArray_DIM(array, i - missing) != axes_.shape[i]) && !MayBroadcast(k))
          RaiseMisfit(k);
      }
    }
  }

  // Factors broadcast to the rows in any axis.
  bool MayBroadcast(int k) const { return f_.arguments[k] == "b"; }

  [[noreturn]] void RaiseMisfit(int k) const {
    const int last = f_.inputs - 1, other = k == last ? 0 : last;
    Raise(PyExc_ValueError, "%s has shape %S; it takes the shape of %s, %S", Argument(std::min(k, other)),
          ShapeOf(inputs_[std::min(k, other)].ptr()).ptr(), Argument(std::max(k, other)),
          ShapeOf(inputs_[std::max(k, other)].ptr()).ptr());
  }

  // Strides of an array along all axes of the call; of a copy where its classes do not make one axis.
  void SetRows(RowArrays::Array& operand, py::array& array) {
    ptrdiff_t strides[kMaxAxes];
    if (!BroadcastStrides(array.ptr(), axes_.dims, axes_.shape, strides)) throw py::error_already_set();
    if (!MergeClasses(axes_, strides, &operand.item)) {
      const py::object shape = TupleOf(axes_.shape, axes_.dims);
      const py::module_ numpy = py::module_::import("numpy");
      array = numpy.attr("ascontiguousarray")(numpy.attr("broadcast_to")(array, shape).attr("transpose")(Order()));
      UnorderStrides(array, strides);
      MergeClasses(axes_, strides, &operand.item);
    }
    SetOuter(operand, array, strides);
  }

  void SetOuter(RowArrays::Array& operand, const py::array& array, const ptrdiff_t* strides) const {
    operand.data = PyArray_BYTES(ArrayOf(array.ptr()));
    ptrdiff_t* next = operand.strides;
    for (int i = 0; i < axes_.dims; ++i) {
      if (!axes_.is_class[i]) *next++ = strides[i];
    }
  }

  // The axes in the order of an array that holds rows without gaps: classes last.
  py::tuple Order() const {
    py::tuple order(axes_.dims);
    int next = 0;
    for (const bool classes : {false, true}) {
      for (int i = 0; i < axes_.dims; ++i) {
        if (axes_.is_class[i] == classes) order[next++] = i;
      }
    }
    return order;
  }

  // The strides of an array whose axes are in that order.
  void UnorderStrides(const py::array& array, ptrdiff_t* strides) const {
    const npy_intp* next = PyArray_STRIDES(ArrayOf(array.ptr()));
    for (const bool classes : {false, true}) {
      for (int i = 0; i < axes_.dims; ++i) {
        if (axes_.is_class[i] == classes) strides[i] = *next++;
      }
    }
  }

  void SetScalars(int k) {
    RowArrays::Array& operand = arrays_.operands[k];
    operand.data = PyArray_BYTES(ArrayOf(inputs_[k].ptr()));
    operand.item = 0;
    if (BroadcastStrides(inputs_[k].ptr(), outer_dims_, outer_, operand.strides)) return;
    Raise(PyExc_ValueError, "%s has shape %S; it takes that of %s without the class axis, %S", Argument(k),
          ShapeOf(inputs_[k].ptr()).ptr(), Argument(f_.inputs - 1), TupleOf(outer_, outer_dims_).ptr());
  }

  void BindScale() {
    PyObject* const value = options_[kScale];
    if (value == nullptr || (PyFloat_CheckExact(value) && PyFloat_AS_DOUBLE(value) == 1)) return;
    const double scale = PyFloat_AsDouble(value);
    if ((scale == -1 && PyErr_Occurred()) || (PyArray_Check(value) && PyArray_NDIM(ArrayOf(value)) > 0)) {
      PyErr_Clear();
      Raise(PyExc_TypeError, "scale is %R; it takes a number", value);
    }
    if (!std::isfinite(scale)) Raise(PyExc_ValueError, "scale is %S; it takes a finite number", value);
    arrays_.scale = dtype_ == kFloat64 ? scale : dtype_ == kFloat32 ? static_cast<float>(scale) : Rounded(scale);
  }

  // To 16 bits, as NumPy does.
  double Rounded(double number) const {
    return PyFloat_AsDouble(Cast(Cast(AsArray(py::float_(number).ptr()), NumberOfType(dtype_)), NPY_DOUBLE).ptr());
  }

  void BindWhere() {
    if (IsNone(options_[kWhere])) return;
    mask_ = AsArray(options_[kWhere], "where");
    if (NumberOf(mask_) != NPY_BOOL) {
      Raise(PyExc_TypeError, "where has dtype %S; it takes booleans", DTypeOf(mask_.ptr()));
    }
    ptrdiff_t strides[kMaxAxes];
    if (!BroadcastStrides(mask_.ptr(), axes_.dims, axes_.shape, strides)) {
      Raise(PyExc_ValueError, "where has shape %S; it takes one that broadcasts to that of %s, %S",
            ShapeOf(mask_.ptr()).ptr(), Argument(f_.inputs - 1), TupleOf(axes_.shape, axes_.dims).ptr());
    }
    arrays_.has_mask = true;
    SetRows(arrays_.operands[f_.List().count], mask_);
  }

  // The array of `out=`, or None.
  py::object Out(bool is_row, bool keeps) const {
    PyObject* value = options_[kOutOption];
    if (!IsNone(value) && PyTuple_CheckExact(value) && PyTuple_GET_SIZE(value) == 1) value = PyTuple_GET_ITEM(value, 0);
    if (IsNone(value)) return py::none();
    if (!PyArray_Check(value)) Raise(PyExc_TypeError, "out is a %s; it takes an ndarray", Py_TYPE(value)->tp_name);
    npy_intp lengths[kMaxAxes];
    const int dims = is_row ? axes_.dims : axes_.Outer(keeps, lengths);
    const npy_intp* const shape = is_row ? axes_.shape : lengths;
    auto* const out = ArrayOf(value);
    if (PyArray_NDIM(out) != dims || !PyArray_CompareLists(PyArray_DIMS(out), shape, dims)) {
      Raise(PyExc_ValueError, "out has shape %S; it takes that of the result, %S", ShapeOf(value).ptr(),
            TupleOf(shape, dims).ptr());
    }
    const int number = NumberOfType(dtype_);
    if (PyArray_TYPE(out) != number) {
      const py::object from = Checked(reinterpret_cast<PyObject*>(PyArray_DescrFromType(number)));
      if (!PyArray_CanCastTypeTo(reinterpret_cast<PyArray_Descr*>(from.ptr()), PyArray_DESCR(out), NPY_SAME_KIND_CASTING)) {
        Raise(PyExc_TypeError, "out has dtype %S; it takes a float dtype, such as that of the result, %S", DTypeOf(value),
              from.ptr());
      }
    }
    if (!PyArray_ISWRITEABLE(out)) Raise(PyExc_ValueError, "out is read-only; it takes a writable array");
    return py::reinterpret_borrow<py::object>(value);
  }

  // Whether a kernel may write to an array.
  bool IsDirect(PyObject* out) const {
    return PyArray_TYPE(ArrayOf(out)) == NumberOfType(dtype_) && PyArray_ISBEHAVED(ArrayOf(out)) &&
           std::all_of(inputs_, inputs_ + f_.inputs, [=](const py::array& in) { return MayFill(out, in.ptr()); }) &&
           (!arrays_.has_mask || MayFill(out, mask_.ptr()));
  }

  // Binds the array of a result of rows: `out`, a new one, or one whose rows have no gaps, which is copied from later.
  py::object RowResult(int k, const py::object& out) {
    RowArrays::Array& operand = arrays_.operands[k];
    const int number = NumberOfType(dtype_);
    auto* const like = ArrayOf(inputs_[f_.inputs - 1].ptr());
    py::object result = out;
    if (out.is_none()) {
      const bool same = PyArray_NDIM(like) == axes_.dims &&
                        PyArray_CompareLists(PyArray_DIMS(like), axes_.shape, axes_.dims) && !PyArray_ISCARRAY_RO(like);
      if (same) {
        const ResultScope scope(static_cast<double>(PyArray_SIZE(like)));
        result = Checked(PyArray_NewLikeArray(like, NPY_KEEPORDER, PyArray_DescrFromType(number), 0));
      } else {
        result = NewArray(axes_.dims, axes_.shape, -1, number);
      }
    }
    ptrdiff_t strides[kMaxAxes];
    BroadcastStrides(result.ptr(), axes_.dims, axes_.shape, strides);
    if (IsDirect(result.ptr()) && MergeClasses(axes_, strides, &operand.item)) {
      SetOuter(operand, py::reinterpret_borrow<py::array>(result), strides);
      return result;
    }
    npy_intp shape[kMaxAxes];
    const py::tuple order = Order();
    py::tuple inverse(axes_.dims);
    for (int i = 0; i < axes_.dims; ++i) {
      const int axis = order[i].cast<int>();
      shape[i] = axes_.shape[axis];
      inverse[axis] = i;
    }
    const py::array made = NewArray(axes_.dims, shape, -1, number);
    UnorderStrides(made, strides);
    MergeClasses(axes_, strides, &operand.item);
    SetOuter(operand, made, strides);
    pending_[k - f_.inputs] = made.attr("transpose")(inverse);
    return result;
  }

  // The same for a number for each row.
  py::object ScalarResult(int k, bool keeps, const py::object& out) {
    RowArrays::Array& operand = arrays_.operands[k];
    npy_intp shape[kMaxAxes];
    const int dims = axes_.Outer(keeps, shape);
    const int number = NumberOfOperand(*f_.operation, k, NumberOfType(dtype_));
    py::object result = out.is_none() ? NewArray(dims, shape, -1, number) : out;
    py::object target = result;
    if (!out.is_none() && !IsDirect(out.ptr())) {
      target = NewArray(dims, shape, -1, number);
      pending_[k - f_.inputs] = target;
    }
    operand.data = PyArray_BYTES(ArrayOf(target.ptr()));
    operand.item = 0;
    const npy_intp* const strides = PyArray_STRIDES(ArrayOf(target.ptr()));
    ptrdiff_t* next = operand.strides;
    for (int i = 0, at = 0; i < axes_.dims; ++i) {
      if (!axes_.is_class[i]) *next++ = strides[at];
      at += keeps || !axes_.is_class[i];
    }
    return result;
  }

  // To numbers that are as exact as their type.
  void AddLogOfRepeats(const py::object& result) const {
    const QuietErrors quiet;
    const py::object sum = Cast(py::reinterpret_borrow<py::array>(result), NPY_DOUBLE) + py::float_(std::log(repeats_));
    const py::array total = AsArray(sum.ptr());
    if (PyArray_CopyInto(ArrayOf(result.ptr()), ArrayOf(total.ptr())) < 0) throw py::error_already_set();
  }

  void CopyPending(int i, const py::object& result) const {
    const QuietErrors quiet;
    if (PyArray_CopyInto(ArrayOf(result.ptr()), ArrayOf(pending_[i].ptr())) < 0) throw py::error_already_set();
  }

  const Function& f_;
  PyObject* const* options_;
  DType dtype_;
  py::array inputs_[kMaxInputs] = {NoArray(), NoArray(), NoArray(), NoArray()};
  py::array mask_ = NoArray();
  py::object pending_[kMaxOutputs];  // results that are to be copied
  Axes axes_;
  npy_intp classes_, outer_[kMaxAxes];
  int outer_dims_;
  double repeats_ = 1;  // of a row's one number
  RowArrays arrays_;
};

// ---------------------------------------------------------------- the direct way

// Whether an object is an ndarray, of no subclass, C-contiguous, aligned, in native byte order, with this type and shape.
bool IsOrdinary(PyObject* object, int number, int dims, const npy_intp* shape) {
  if (!PyArray_CheckExact(object)) return false;
  auto* const array = ArrayOf(object);
  return PyArray_TYPE(array) == number && PyArray_ISCARRAY_RO(array) && PyArray_NDIM(array) == dims &&
         PyArray_CompareLists(PyArray_DIMS(array), shape, dims);
}

// The result on ordinary arrays of one shape, along one axis, or a null object for all else: saves 100 ns, which is a fifth
// of a short call.
py::object CallDirectly(const Function& f, PyObject* const* inputs, PyObject* const* options) {
  const auto is = [=](Option option, PyObject* value) { return options[option] == nullptr || options[option] == value; };
  PyObject *const first = inputs[f.inputs - 1], *const scale = options[kScale], *const axis_option = options[kAxisOption];
  const bool is_scaled = scale != nullptr && !(PyFloat_CheckExact(scale) && PyFloat_AS_DOUBLE(scale) == 1);
  if (is_scaled || !is(kWhere, Py_None) || !is(kKeepdims, Py_False) || !PyArray_CheckExact(first)) return {};
  const int number = PyArray_TYPE(ArrayOf(first)), dims = PyArray_NDIM(ArrayOf(first)), dtype = TypeOfNumber(number);
  const npy_intp* const shape = PyArray_DIMS(ArrayOf(first));
  if (dtype == -1 || axis_option == nullptr || !PyLong_CheckExact(axis_option)) return {};
  int overflow = 0;
  long place = PyLong_AsLongAndOverflow(axis_option, &overflow);
  place += place < 0 ? dims : 0;
  if (overflow != 0 || place < 0 || place >= dims) return {};
  const int axis = static_cast<int>(place);
  PyObject* const out = is(kOutOption, Py_None) ? nullptr : options[kOutOption];
  if (shape[axis] == 0 || (out != nullptr && !IsOrdinary(out, number, dims, shape))) return {};
  npy_intp shape_of_rows[kMaxAxes];
  std::copy(shape + axis + 1, shape + dims, std::copy_n(shape, axis, shape_of_rows));

  RowArrays arrays;
  SetShape(arrays, first, axis);
  const OperandList& list = f.List();
  py::object results[kMaxOutputs];
  for (int k = 0; k < list.count; ++k) {
    const bool is_row = IsRow(list.kinds[k]);
    const int own_number = NumberOfOperand(*f.operation, k, number);
    PyObject* array = k < f.inputs ? inputs[k] : out;
    if (k < f.inputs) {
      if (!IsOrdinary(array, own_number, is_row ? dims : dims - 1, is_row ? shape : shape_of_rows)) return {};
    } else if (out != nullptr) {
      const bool may_fill = std::all_of(inputs, inputs + f.inputs, [=](PyObject* in) { return MayFill(out, in); });
      if (!is_row || !may_fill) return {};
      results[0] = py::reinterpret_borrow<py::object>(out);
    } else {
      py::object& result = results[k - f.inputs];
      result = NewArray(dims, shape, is_row ? -1 : axis, own_number);
      array = result.ptr();
    }
    SetOperand(arrays.operands[k], array, is_row ? axis : -1);
  }
  Compute(*f.operation, static_cast<DType>(dtype), arrays);
  const auto result = [&](int i) { return ResultOf(*f.operation, f.inputs + i, std::move(results[i])); };
  if (list.count - f.inputs == 1) return out != nullptr ? results[0] : result(0);
  return py::make_tuple(result(0), result(1));
}

// What other packages' arrays give.
py::object CallOthers(const Function& f, PyObject* const* operands, PyObject* const* options) {
  py::tuple names(f.inputs), values(f.inputs);
  for (int k = 0; k < f.inputs; ++k) {
    names[k] = f.arguments[k];
    values[k] = py::handle(operands[k]);
  }
  py::dict keywords;
  for (int i = 0; i < kOptions; ++i) {
    if (options[i] != nullptr) keywords[kOptionNames[i]] = py::handle(options[i]);
  }
  return py::module_::import("nonlin._others").attr("rows")(f.Name(), names, values, keywords);
}

PyObject* CallFunction(PyObject* self, PyObject* const* args, Py_ssize_t given) {
  return Guarded([&]() -> py::object {
    const auto& f = *static_cast<const Function*>(PyCapsule_GetPointer(self, nullptr));
    if (given <= f.inputs || given > f.inputs + kOptions) {
      Raise(PyExc_TypeError, "%s() takes %d operands and up to %d options", f.Name(), f.inputs, int{kOptions});
    }
    PyObject* options[kOptions] = {};
    std::copy(args + f.inputs, args + given, options);
    const CallLimit limit(LimitOfContext());
    py::object result = CallDirectly(f, args, options);
    if (result) return result;
    bool is_plain = std::all_of(args, args + f.inputs, IsPlain) && IsPlain(options[kWhere]);
    PyObject* const scale = options[kScale];
    if (is_plain && scale != nullptr && PyNumber_Check(scale) == 0) {  // a box of autograd's, or an error
      is_plain = py::module_::import("nonlin._others").attr("engine_of")(py::make_tuple(py::handle(scale))).is_none();
    }
    if (!is_plain) return CallOthers(f, args, options);
    return Call(f, args, options).Run();
  });
}

// A builtin, whose data lives for ever.
py::object NewFunction(const RowOperation& operation) {
  static std::deque<Function>& all = *new std::deque<Function>;
  Function& f = all.emplace_back();
  f.operation = &operation;
  f.arguments = ArgumentsOf(operation);
  f.inputs = static_cast<int>(f.arguments.size());
  f.doc = std::string(operation.name) + "(*arguments: Any) -> Any\n\nSee nonlin." + operation.name + ".";
  f.method = {operation.name, reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(CallFunction)), METH_FASTCALL,
              f.doc.c_str()};
  const py::object self = Checked(PyCapsule_New(&f, nullptr, nullptr));
  return Checked(PyCFunction_New(&f.method, self.ptr()));
}

// The bytes that an array reaches over.
std::pair<const char*, const char*> Extent(PyArrayObject* array) {
  const char *first = PyArray_BYTES(array), *last = first;
  for (int i = 0; i < PyArray_NDIM(array); ++i) {
    const npy_intp reach = (PyArray_DIM(array, i) - 1) * PyArray_STRIDE(array, i);
    (reach < 0 ? first : last) += reach;
  }
  return {first, last + PyArray_ITEMSIZE(array)};
}

[[noreturn]] void RaiseAxisError(const py::object& axis, int dims) {
  const py::object type = py::module_::import("numpy").attr("exceptions").attr("AxisError");
  PyErr_SetObject(type.ptr(), type(axis, dims).ptr());
  throw py::error_already_set();
}

}  // namespace

py::tuple TupleOf(const npy_intp* shape, int dims, int without) {
  py::list lengths;
  for (int i = 0; i < dims; ++i) {
    if (i != without) lengths.append(shape[i]);
  }
  return lengths;
}

void SetOperand(RowArrays::Array& operand, PyObject* object, int axis) {
  auto* const array = ArrayOf(object);
  const int dims = PyArray_NDIM(array);
  const npy_intp* const strides = PyArray_STRIDES(array);
  operand.data = PyArray_BYTES(array);
  operand.item = axis == -1 ? 0 : strides[axis];
  ptrdiff_t* next = operand.strides;
  for (int i = 0; i < dims; ++i) {
    if (i != axis) *next++ = strides[i];
  }
}

void SetShape(RowArrays& arrays, PyObject* object, int axis) {
  auto* const array = ArrayOf(object);
  arrays.axes = 0;
  for (int i = 0; i < PyArray_NDIM(array); ++i) {
    (i == axis ? arrays.classes : arrays.shape[arrays.axes++]) = PyArray_DIM(array, i);
  }
}

int AxisOf(PyObject* axis, int dims, const char* taken) {
  const auto index =
      py::reinterpret_steal<py::object>(axis == nullptr || !PyIndex_Check(axis) ? nullptr : PyNumber_Index(axis));
  if (!index) {
    if (PyErr_Occurred() != nullptr && !PyErr_ExceptionMatches(PyExc_TypeError)) throw py::error_already_set();
    PyErr_Clear();
    Raise(PyExc_TypeError, "axis is %R; it takes %s", axis, taken);
  }
  int overflow = 0;
  const long place = PyLong_AsLongAndOverflow(index.ptr(), &overflow);
  if (overflow != 0 || place < -dims || place >= dims) RaiseAxisError(index, dims);
  return static_cast<int>(place < 0 ? place + dims : place);
}

bool MayFill(PyObject* out, PyObject* input) {
  auto *const a = ArrayOf(out), *const b = ArrayOf(input);
  if (!PyArray_ISWRITEABLE(a)) return false;
  const int dims = PyArray_NDIM(a);
  const bool same = PyArray_BYTES(a) == PyArray_BYTES(b) && PyArray_TYPE(a) == PyArray_TYPE(b) && PyArray_NDIM(b) == dims &&
                    PyArray_CompareLists(PyArray_DIMS(a), PyArray_DIMS(b), dims) &&
                    PyArray_CompareLists(PyArray_STRIDES(a), PyArray_STRIDES(b), dims);
  if (same || PyArray_SIZE(a) == 0 || PyArray_SIZE(b) == 0) return true;
  const auto [first, last] = Extent(a);
  const auto [from, to] = Extent(b);
  return last <= from || to <= first;
}

py::array NewArray(int dims, const npy_intp* shape, int without, int number) {
  npy_intp kept[kMaxAxes];
  npy_intp* next = kept;
  double items = 1;  // there may be more than an integer counts, which NumPy refuses
  for (int i = 0; i < dims; ++i) {
    if (i == without) continue;
    *next++ = shape[i];
    items *= static_cast<double>(shape[i]);
  }
  const ResultScope scope(items);
  return Checked<py::array>(PyArray_SimpleNew(static_cast<int>(next - kept), kept, number));
}

void Compute(const RowOperation& operation, DType dtype, RowArrays& arrays) {
  PyThreadState* const state = arrays.Rows() * arrays.classes > kManyEntries ? PyEval_SaveThread() : nullptr;
  const bool done = RunOrRaise(operation, dtype, arrays);
  if (state != nullptr) PyEval_RestoreThread(state);
  if (!done) throw py::error_already_set();
}

void RegisterRows(py::module_& m) {
  const RowTable table = GetRowTable();
  py::dict gufuncs;
  for (size_t i = 0; i < table.count; ++i) {
    const RowOperation& operation = table.operations[i];
    for (const bool has_mask : {false, true}) {
      if (has_mask && !operation.traits.changes.has_where) continue;
      gufuncs[(operation.name + std::string(has_mask ? "_where" : "")).c_str()] = NewGufunc(operation, has_mask);
    }
    // Operations on numbers alone are ufuncs.
    const bool has_rows = Has(operation.traits.operands, Operand::kRowIn);
    m.attr(operation.name) = has_rows ? NewFunction(operation) : gufuncs[operation.name];
  }
  m.def(
      "axis_of", [](const py::object& axis, int dims) { return AxisOf(axis.ptr(), dims); }, py::arg("axis"), py::arg("dims"),
      "An axis of an array with so many, counted from the front.");
  m.def("gufuncs", [gufuncs] { return gufuncs; }, "The row functions as generalised ufuncs.");
}

}  // namespace nonlin
