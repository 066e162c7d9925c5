#include "plain.h"

#include <algorithm>
#include <utility>

#include "context.h"
#include "halves.h"
#include "module.h"
#include "runtime/threads.h"

namespace py = pybind11;

namespace nonlin {

bool IsPlain(PyObject* object, int type, int dims, const npy_intp* shape) {
  if (!PyArray_CheckExact(object)) return false;
  auto* array = reinterpret_cast<PyArrayObject*>(object);
  return PyArray_TYPE(array) == type && PyArray_ISCARRAY_RO(array) && PyArray_NDIM(array) == dims &&
         PyArray_CompareLists(PyArray_DIMS(array), shape, dims);
}

bool MayFill(PyObject* out, PyObject* input) {
  auto *a = reinterpret_cast<PyArrayObject*>(out), *b = reinterpret_cast<PyArrayObject*>(input);
  if (!PyArray_ISWRITEABLE(a)) return false;
  const char *to = PyArray_BYTES(a), *from = PyArray_BYTES(b);
  const bool same = to == from && PyArray_NBYTES(a) == PyArray_NBYTES(b) && PyArray_TYPE(a) == PyArray_TYPE(b);
  return same || to + PyArray_NBYTES(a) <= from || from + PyArray_NBYTES(b) <= to;
}

bool PlainRows::From(PyObject* object, PyObject* axis) {
  if (!PyArray_CheckExact(object)) return false;
  auto* array = reinterpret_cast<PyArrayObject*>(object);
  type = PyArray_TYPE(array);
  dims = PyArray_NDIM(array);
  shape = shape_of_rows = PyArray_DIMS(array);
  const int found = TypeOfNumber(type);
  if (found == -1 || !PyArray_ISCARRAY_RO(array) || dims == 0) return false;
  dtype = static_cast<DType>(found);
  long place = dims - 1;
  if (axis != nullptr) {
    int overflow = 0;
    const long number = PyLong_CheckExact(axis) ? PyLong_AsLongAndOverflow(axis, &overflow) : ++overflow;
    if (overflow != 0 || number < -dims || number >= dims) return false;
    place = number < 0 ? number + dims : number;
  }
  classes = shape[place];
  if (classes == 0) return false;
  rows = PyArray_SIZE(array) / classes;
  inner = 1;
  if (place != dims - 1) {
    std::copy(shape + place + 1, shape + dims, std::copy_n(shape, place, without_axis));
    shape_of_rows = without_axis;
    for (int i = static_cast<int>(place) + 1; i < dims; ++i) inner *= shape[i];
  }
  return true;
}

RowOperand PlainRows::RowsOf(PyObject* array, ptrdiff_t item) const {
  return {PyArray_BYTES(reinterpret_cast<PyArrayObject*>(array)), inner > 1 ? item : classes * item, inner * item};
}

RowOperand PlainRows::ScalarsOf(PyObject* array) const {
  return {PyArray_BYTES(reinterpret_cast<PyArrayObject*>(array)), Item(), 0};
}

py::object PlainRows::New(int dims, const npy_intp* shape, int type) {
  PyObject* array = PyArray_SimpleNew(dims, const_cast<npy_intp*>(shape), type);
  if (array == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(array);
}

void RunPlain(const RowLoop& loop, const RowOperand* operands, size_t rows, size_t classes, size_t inner) {
  constexpr size_t kManyEntries = 500;  // NumPy's limit
  PyThreadState* state = rows * classes > kManyEntries ? PyEval_SaveThread() : nullptr;
  const bool done = RunRows(loop, operands, rows, classes, inner);
  if (state != nullptr) PyEval_RestoreThread(state);
  if (!done) throw py::error_already_set();
}

namespace {

PyObject* AxisName() {
  static PyObject* const kName = PyUnicode_InternFromString("axis");
  return kName;
}

// The result of a row ufunc on plain arrays, or a null object for others.
py::object CallPlain(PyObject* ufunc, PyObject* const* inputs, Py_ssize_t count, PyObject* keywords) {
  static PyObject* const kOut = PyUnicode_InternFromString("out");
  PyObject *axis = nullptr, *out = nullptr;
  for (Py_ssize_t i = 0; keywords != nullptr && i < PyTuple_GET_SIZE(keywords); ++i) {
    PyObject *name = PyTuple_GET_ITEM(keywords, i), *value = inputs[count + i];
    if (name == AxisName()) {
      axis = value;
    } else if (name == kOut) {
      out = value == Py_None ? nullptr : value;
    } else if (value != Py_False) {  // keepdims
      return {};
    }
  }
  const OperandList& list = LoopOf(ufunc, kFloat32).operation->operands;
  PlainRows x;
  if (!x.From(inputs[list.kinds[0] == Operand::kRowIn ? 0 : 1], axis)) return {};
  if (out != nullptr && !x.IsLike(out)) return {};
  RowOperand operands[kMaxRowOperands];
  py::object results[kMaxOutputs];
  int result_count = 0;
  for (int k = 0; k < list.count; ++k) {
    PyObject* input = k < count ? inputs[k] : nullptr;
    switch (list.kinds[k]) {
      case Operand::kRowIn:
        if (!x.IsLike(input)) return {};
        operands[k] = x.RowsOf(input);
        break;
      case Operand::kScalarIn:
        if (!IsPlain(input, x.type, x.dims - 1, x.shape_of_rows)) return {};
        operands[k] = x.ScalarsOf(input);
        break;
      case Operand::kMaskIn:
        if (!IsPlain(input, NPY_BOOL, x.dims, x.shape)) return {};
        operands[k] = x.RowsOf(input, 1);
        break;
      case Operand::kRowOut:
        for (Py_ssize_t i = 0; out != nullptr && i < count; ++i) {
          if (!MayFill(out, inputs[i])) return {};
        }
        results[result_count] = out == nullptr ? x.NewRows() : py::reinterpret_borrow<py::object>(out);
        operands[k] = x.RowsOf(results[result_count++].ptr());
        break;
      case Operand::kScalarOut:
        if (out != nullptr) return {};
        results[result_count] = x.NewScalars();
        operands[k] = x.ScalarsOf(results[result_count++].ptr());
        break;
      case Operand::kOptionalIn:
      case Operand::kIndexIn:
        return {};
    }
  }
  RunPlain(LoopOf(ufunc, x.dtype), operands, x.rows, x.classes, x.inner);
  for (int i = 0; i < result_count; ++i) results[i] = py::reinterpret_steal<py::object>(Returned(std::move(results[i])));
  return result_count == 1 ? results[0] : py::make_tuple(results[0], results[1]);
}

// A call of a row ufunc. Operands without axes get the error that names the axis.
py::object Rows(PyObject* ufunc, PyObject* const* inputs, Py_ssize_t count, PyObject* keywords) {
  py::object result = CallPlain(ufunc, inputs, count, keywords);
  if (result) return result;
  result = py::reinterpret_steal<py::object>(PyObject_Vectorcall(ufunc, inputs, count, keywords));
  if (result) return result;
  const bool is_of_value = PyErr_ExceptionMatches(PyExc_ValueError);
  const py::error_already_set error;
  const py::module_ numpy = py::module_::import("numpy");
  if (!is_of_value || !numpy.attr("ndim")(py::handle(inputs[count - 1])).equal(py::int_(0))) throw error;
  py::object axis = py::int_(-1);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords); ++i) {
    if (PyTuple_GET_ITEM(keywords, i) == AxisName()) axis = py::reinterpret_borrow<py::object>(inputs[count + i]);
  }
  const py::object type = numpy.attr("exceptions").attr("AxisError");
  PyErr_SetObject(type.ptr(), type(axis, 0).ptr());
  throw py::error_already_set();
}

PyObject* CallRows(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  try {
    const CallLimit limit(LimitOfContext());
    return Rows(args[0], args + 1, count - 1, keywords).release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
    return nullptr;
  }
}

PyMethodDef methods[] = {
    {"rows", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(CallRows)), METH_FASTCALL | METH_KEYWORDS,
     "rows(ufunc: numpy.ufunc, *operands: Any, **keywords: Any) -> Any\n\n"
     "Call a row ufunc; operands without axes get the error that names the axis."},
    {},
};

}  // namespace

void RegisterPlain(py::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), methods) < 0) throw py::error_already_set();
}

}  // namespace nonlin
