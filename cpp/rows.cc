// The row kernels as generalised ufuncs: NumPy gives axes, broadcasting, casting and overlap, here are the inner loop and
// the registration of rows.def. Losses are such ufuncs too; python/nonlin/_loss_rows.py holds their options and errors.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cfenv>
#include <deque>
#include <string>
#include <vector>

#include "context.h"
#include "halves.h"
#include "kernels.h"
#include "module.h"
#include "numpy_api.h"
#include "promotion.h"
#include "rows.h"
#include "runtime/threads.h"

namespace py = pybind11;

namespace nonlin {
namespace {

using Loop = RowLoop;

void Raise(PyObject* type, const std::string& message) {
  const PyGILState_STATE state = PyGILState_Ensure();
  PyErr_SetString(type, message.c_str());
  PyGILState_Release(state);
}

void InnerLoop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const Loop& loop = *static_cast<const Loop*>(data);
  const OperandList& list = loop.operation->operands;
  bool has_classes = false;
  for (int k = 0; k < list.count; ++k) has_classes |= HasClasses(list.kinds[k]);
  const size_t rows = dimensions[0], classes = has_classes ? dimensions[1] : 1;
  if (classes == 0)
    return Raise(PyExc_ValueError,
                 std::string(loop.operation->name) + ": the class axis is empty; it takes 1 class or more");
  RowOperand operands[kMaxRowOperands];
  const npy_intp* core = steps + list.count;  // strides along the class axis, of the operands that have it
  for (int k = 0; k < list.count; ++k) {
    operands[k] = {args[k], steps[k], HasClasses(list.kinds[k]) ? *core++ : 0};
  }
  RunRows(loop, operands, rows, classes);
}

// Of an operand, where rows have a type.
int NumpyType(Operand kind, int row_type, bool float_scalars) {
  if (kind == Operand::kMaskIn) return NPY_BOOL;
  if (kind == Operand::kIndexIn) return NPY_INT64;
  const bool half = row_type != NPY_FLOAT && row_type != NPY_DOUBLE;
  return half && !IsRow(kind) && (float_scalars || !IsScalar(kind)) ? NPY_FLOAT : row_type;
}

// What a ufunc points to as long as it lives: for ever.
struct UfuncData {
  std::string signature;
  Loop loops[kDTypes];
  PyUFuncGenericFunction functions[kDTypes];
  void* data[kDTypes];
  std::vector<char> types;
};

void AddUfunc(py::module_& m, const RowOperation& operation) {
  static std::deque<UfuncData>& all = *new std::deque<UfuncData>;
  const OperandList& list = operation.operands;

  UfuncData& ufunc = all.emplace_back();
  int inputs = 0;
  bool all_floats = true;
  for (int k = 0; k < list.count; ++k) {
    const bool output = IsOutput(list.kinds[k]);
    inputs += !output;
    all_floats &= list.kinds[k] != Operand::kMaskIn && list.kinds[k] != Operand::kIndexIn;
    ufunc.signature += k == 0 ? "" : output && !IsOutput(list.kinds[k - 1]) ? "->" : ",";
    ufunc.signature += HasClasses(list.kinds[k]) ? "(n)" : "()";
  }
  for (int i = 0; i < kDTypes; ++i) {
    ufunc.loops[i] = {&operation, static_cast<DType>(i),
                      (i == kFloat64 ? kDoubleCost : 1) * operation.cost * kCostLanes / FloatLanes()};
    ufunc.functions[i] = InnerLoop;
    ufunc.data[i] = &ufunc.loops[i];
  }
  for (const int type : {NPY_FLOAT, NPY_DOUBLE, NPY_HALF}) {
    for (int k = 0; k < list.count; ++k) {
      ufunc.types.push_back(static_cast<char>(NumpyType(list.kinds[k], type, operation.float_scalars)));
    }
  }
  PyObject* object = PyUFunc_FromFuncAndDataAndSignature(ufunc.functions, ufunc.data, ufunc.types.data(), kDTypes - 1,
                                                         inputs, list.count - inputs, PyUFunc_None, operation.name,
                                                         operation.doc, 0, ufunc.signature.c_str());
  if (object == nullptr) throw py::error_already_set();
  if (all_floats) AddPromotion(object, list.count);
  std::vector<int> types;
  for (int k = 0; k < list.count; ++k) types.push_back(NumpyType(list.kinds[k], BFloat16Number(), operation.float_scalars));
  AddBFloat16Loop(object, InnerLoop, types, ufunc.data[kDTypes - 1]);
  LimitCalls(object);
  m.add_object(operation.name, py::reinterpret_steal<py::object>(object));
}

void AddTable(py::module_& m, const RowTable& table) {
  for (size_t i = 0; i < table.count; ++i) AddUfunc(m, table.operations[i]);
}

}  // namespace

bool RunRows(const RowLoop& loop, const RowOperand* operands, size_t rows, size_t classes, size_t inner) {
  const size_t computed = IsHalf(loop.dtype) ? sizeof(float) : ItemSize(loop.dtype);
  const size_t bytes = loop.operation->scratch_size[loop.dtype](operands, classes) * computed;
  const size_t stream_from = classes < kMinStreamedClasses ? kStreamBytes / 4 : kStreamBytes;
  const bool stream = rows * classes * ItemSize(loop.dtype) >= stream_from;
  const size_t block_rows = inner > 1 ? inner : rows;
  const OperandList& list = loop.operation->operands;
  constexpr double kRowCycles = 12;  // of a row, however few its classes
  const double cycles = loop.cycles * classes + kRowCycles;
  const bool done = ParallelForWithScratch(rows, 1, cycles, bytes, [&](size_t begin, size_t end, void* scratch) {
    const auto run = loop.operation->run[loop.dtype];
    for (size_t row = begin; row < end;) {
      const size_t block = row / block_rows, first = row % block_rows, last = std::min(block_rows, first + end - row);
      RowOperand moved[kMaxRowOperands];
      for (int k = 0; k < list.count; ++k) {
        const RowOperand& o = operands[k];
        const size_t entries = HasClasses(list.kinds[k]) ? block_rows * classes : block_rows;
        moved[k] = {o.data + static_cast<ptrdiff_t>(block * entries) * o.row, o.row, o.item};
      }
      run(moved, classes, first, last, scratch, stream);
      row += last - first;
    }
  });
  if (!done)
    Raise(PyExc_MemoryError,
          std::string(loop.operation->name) + ": no memory for a buffer of " + std::to_string(bytes) + " bytes");
  std::feclearexcept(FE_ALL_EXCEPT);  // NumPy would turn flags into warnings
  return done;
}

const RowLoop& LoopOf(PyObject* ufunc, DType dtype) {
  return *static_cast<const RowLoop*>(reinterpret_cast<PyUFuncObject*>(ufunc)->data[dtype]);
}

void RegisterRows(py::module_& m) {
  AddTable(m, GetRowTable());
  AddTable(m, GetLossTable());
}

}  // namespace nonlin
