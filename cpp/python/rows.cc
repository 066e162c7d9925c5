// The row functions: as generalised ufuncs, where NumPy gives axes, broadcasting, casting and overlap, and the direct way
// for plain arrays, whose calls cost less than a row of 1000.
#include "python/rows.h"

#include <algorithm>
#include <deque>
#include <string>
#include <utility>

#include "python/context.h"
#include "python/dtypes.h"
#include "python/module.h"
#include "runtime/threads.h"
#include "tuning.h"

namespace py = pybind11;

namespace nonlin {
namespace {

bool RunOrRaise(const RowOperation& operation, DType dtype, RowArrays& arrays) {
  size_t bytes = 0;
  if (RunRows(operation, dtype, arrays, &bytes)) return true;
  const PyGILState_STATE state = PyGILState_Ensure();
  PyErr_Format(PyExc_MemoryError, "%s: no memory for a buffer of %zu bytes", operation.name, bytes);
  PyGILState_Release(state);
  return false;
}

// ---------------------------------------------------------------- generalised ufuncs

struct Loop {
  const RowOperation* operation;
  DType dtype;
};

const RowOperation& OperationOf(PyObject* ufunc) {
  return *static_cast<const Loop*>(reinterpret_cast<PyUFuncObject*>(ufunc)->data[0])->operation;
}

void InnerLoop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const Loop& loop = *static_cast<const Loop*>(data);
  const OperandList& list = loop.operation->traits.operands;
  RowArrays arrays;
  arrays.axes = 1;
  arrays.shape[0] = dimensions[0];
  arrays.classes = 1;
  const npy_intp* core = steps + list.count;  // strides along the class axis, of the operands that have it
  for (int k = 0; k < list.count; ++k) {
    RowArrays::Array& operand = arrays.operands[k];
    const bool has_classes = HasClasses(list.kinds[k]);
    if (has_classes) arrays.classes = dimensions[1];
    operand.data = args[k];
    operand.item = has_classes ? *core++ : 0;
    operand.strides[0] = steps[k];
  }
  if (arrays.classes > 0) {
    RunOrRaise(*loop.operation, loop.dtype, arrays);
    return;
  }
  const PyGILState_STATE state = PyGILState_Ensure();
  PyErr_Format(PyExc_ValueError, "%s: the class axis is empty; it takes 1 class or more", loop.operation->name);
  PyGILState_Release(state);
}

int TypeOfOperand(const void* data, int operand, int number) {
  const OperandList& list = static_cast<const Loop*>(data)->operation->traits.operands;
  return list.kinds[operand] == Operand::kMaskIn ? NPY_BOOL : number;
}

void AddUfunc(py::module_& m, const RowOperation& operation) {
  struct Data {
    std::string signature;
    Loop loops[kDTypes];
  };
  static std::deque<Data>& all = *new std::deque<Data>;
  const OperandList& list = operation.traits.operands;
  Data& data = all.emplace_back();
  Ufunc ufunc{operation.name, "", nullptr, 0, 0, InnerLoop, {}, TypeOfOperand, !Has(list, Operand::kMaskIn)};
  for (int k = 0; k < list.count; ++k) {
    const bool output = IsOutput(list.kinds[k]);
    ++(output ? ufunc.outputs : ufunc.inputs);
    data.signature += k == 0 ? "" : output && !IsOutput(list.kinds[k - 1]) ? "->" : ",";
    data.signature += HasClasses(list.kinds[k]) ? "(n)" : "()";
  }
  ufunc.signature = data.signature.c_str();
  for (int i = 0; i < kDTypes; ++i) {
    data.loops[i] = {&operation, static_cast<DType>(i)};
    ufunc.data[i] = &data.loops[i];
  }
  m.attr(operation.name) = NewUfunc(ufunc);
}

// ---------------------------------------------------------------- the direct way

// Whether an object is an ndarray, of no subclass, C-contiguous, aligned, in native byte order, with this type and shape.
bool IsPlain(PyObject* object, int number, int dims, const npy_intp* shape) {
  if (!PyArray_CheckExact(object)) return false;
  auto* const array = ArrayOf(object);
  return PyArray_TYPE(array) == number && PyArray_ISCARRAY_RO(array) && PyArray_NDIM(array) == dims &&
         PyArray_CompareLists(PyArray_DIMS(array), shape, dims);
}

struct Keywords {
  PyObject *axis = nullptr, *out = nullptr;
  bool has_others = false;
};

Keywords KeywordsOf(PyObject* const* values, PyObject* names) {
  static PyObject *const kAxisName = PyUnicode_InternFromString("axis"), *const kOutName = PyUnicode_InternFromString("out");
  Keywords keywords;
  for (Py_ssize_t i = 0; names != nullptr && i < PyTuple_GET_SIZE(names); ++i) {
    PyObject* const name = PyTuple_GET_ITEM(names, i);
    if (name == kAxisName) {
      keywords.axis = values[i];
    } else if (name == kOutName) {
      keywords.out = values[i] == Py_None ? nullptr : values[i];
    } else {
      keywords.has_others |= values[i] != Py_False;  // keepdims
    }
  }
  return keywords;
}

// The result on plain arrays, or a null object for others.
py::object CallDirectly(const RowOperation& operation, PyObject* const* inputs, Py_ssize_t count, int axis, PyObject* out) {
  const OperandList& list = operation.traits.operands;
  PyObject* const first = inputs[list.kinds[0] == Operand::kRowIn ? 0 : 1];
  if (!PyArray_CheckExact(first)) return {};
  const int number = PyArray_TYPE(ArrayOf(first)), dims = PyArray_NDIM(ArrayOf(first)), dtype = TypeOfNumber(number);
  const npy_intp* const shape = PyArray_DIMS(ArrayOf(first));
  if (dtype == -1 || axis >= dims || shape[axis] == 0 || (out != nullptr && !IsPlain(out, number, dims, shape))) return {};
  npy_intp shape_of_rows[kMaxAxes];
  std::copy(shape + axis + 1, shape + dims, std::copy_n(shape, axis, shape_of_rows));

  RowArrays arrays;
  SetShape(arrays, first, axis);
  py::object results[kMaxOutputs];
  int result_count = 0;
  for (int k = 0; k < list.count; ++k) {
    const Operand kind = list.kinds[k];
    const bool has_classes = HasClasses(kind);
    PyObject* array = nullptr;
    if (IsOutput(kind)) {
      if (out != nullptr &&
          !(has_classes && std::all_of(inputs, inputs + count, [=](PyObject* in) { return MayFill(out, in); })))
        return {};
      py::object& result = results[result_count++];
      result =
          out == nullptr ? NewArray(dims, shape, has_classes ? -1 : axis, number) : py::reinterpret_borrow<py::object>(out);
      array = result.ptr();
    } else {
      array = inputs[k];
      const int wanted = kind == Operand::kMaskIn ? NPY_BOOL : number;
      if (!IsPlain(array, wanted, has_classes ? dims : dims - 1, has_classes ? shape : shape_of_rows)) return {};
    }
    SetOperand(arrays.operands[k], array, has_classes ? axis : -1);
  }
  Compute(operation, static_cast<DType>(dtype), arrays);
  for (int i = 0; i < result_count; ++i) results[i] = Returned(std::move(results[i]));
  return result_count == 1 ? results[0] : py::make_tuple(results[0], results[1]);
}

[[noreturn]] void RaiseAxisError(const py::object& axis, int dims) {
  const py::object type = py::module_::import("numpy").attr("exceptions").attr("AxisError");
  PyErr_SetObject(type.ptr(), type(axis, dims).ptr());
  throw py::error_already_set();
}

// A call of a row ufunc, its axis checked first: that of the last input, which has classes.
py::object Rows(PyObject* ufunc, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  constexpr Py_ssize_t kMost = 16;
  const Keywords keywords = KeywordsOf(args + count, names);
  const Py_ssize_t given = count + (names == nullptr ? 0 : PyTuple_GET_SIZE(names));
  if (given > kMost) Raise(PyExc_TypeError, "%zd arguments were given; at most %zd are taken", given, kMost);
  PyObject* values[kMost];
  std::copy_n(args, given, values);
  py::object last = py::reinterpret_borrow<py::object>(values[count - 1]);
  int dims = 0;
  if (PyArray_Check(last.ptr())) {
    dims = PyArray_NDIM(ArrayOf(last.ptr()));
  } else if (py::hasattr(last, "ndim")) {
    dims = last.attr("ndim").cast<int>();
  } else {
    last = AsArray(last.ptr());
    values[count - 1] = last.ptr();
    dims = PyArray_NDIM(ArrayOf(last.ptr()));
  }
  if (dims == 0 && keywords.axis == nullptr) RaiseAxisError(py::int_(-1), 0);
  if (keywords.axis != nullptr && PyLong_CheckExact(keywords.axis)) {
    const int axis = AxisOf(keywords.axis, dims);
    if (!keywords.has_others) {
      py::object result = CallDirectly(OperationOf(ufunc), values, count, axis, keywords.out);
      if (result) return result;
    }
  }
  return Checked(PyObject_Vectorcall(ufunc, values, count, names));
}

PyObject* CallRows(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return Guarded([&] {
    const CallLimit limit(LimitOfContext());
    return Rows(args[0], args + 1, count - 1, keywords);
  });
}

PyMethodDef methods[] = {
    {"rows", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(CallRows)), METH_FASTCALL | METH_KEYWORDS,
     "rows(ufunc: numpy.ufunc, *operands: Any, **keywords: Any) -> Any\n\n"
     "Call a row ufunc, after a check of the axis."},
    {},
};

// The bytes that an array reaches over.
std::pair<const char*, const char*> Extent(PyArrayObject* array) {
  const char *first = PyArray_BYTES(array), *last = first;
  for (int i = 0; i < PyArray_NDIM(array); ++i) {
    const npy_intp reach = (PyArray_DIM(array, i) - 1) * PyArray_STRIDE(array, i);
    (reach < 0 ? first : last) += reach;
  }
  return {first, last + PyArray_ITEMSIZE(array)};
}

}  // namespace

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

int AxisOf(PyObject* axis, int dims) {
  if (!PyIndex_Check(axis)) Raise(PyExc_TypeError, "axis is %R; it takes an integer", axis);
  const py::object index = Checked(PyNumber_Index(axis));
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
  for (int i = 0; i < dims; ++i) {
    if (i != without) *next++ = shape[i];
  }
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
  for (size_t i = 0; i < table.count; ++i) AddUfunc(m, table.operations[i]);
  if (PyModule_AddFunctions(m.ptr(), methods) < 0) throw py::error_already_set();
}

}  // namespace nonlin
