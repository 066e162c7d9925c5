// The row kernels as generalised ufuncs: NumPy gives axes, broadcasting, casting and overlap, here are the inner loop and
// the registration of rows.def. Losses are such ufuncs too; python/nonlin/losses.py holds their options and errors.
#include <pybind11/pybind11.h>

#include <atomic>
#include <cfenv>
#include <deque>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "kernels.h"
#include "module.h"
#include "numpy_api.h"
#include "parallel.h"
#include "promotion.h"

namespace py = pybind11;

namespace nonlin {
namespace {

struct Loop {
  const RowOperation* operation;
  DType dtype;
  double cycles;
};

bool IsOutput(Operand kind) { return kind == Operand::kRowOut || kind == Operand::kScalarOut; }

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
  const size_t bytes = loop.operation->scratch_size[loop.dtype](classes) * ItemSize(loop.dtype);
  std::atomic<bool> failed{false};
  ParallelFor(rows, 1, loop.cycles * classes, [&](size_t begin, size_t end) {
    constexpr std::align_val_t kAlignment{64};
    void* scratch = ::operator new(bytes, kAlignment, std::nothrow);
    if (scratch == nullptr) {
      failed = true;
      return;
    }
    loop.operation->run[loop.dtype](operands, classes, begin, end, scratch);
    ::operator delete(scratch, kAlignment);
  });
  if (failed)
    Raise(PyExc_MemoryError,
          std::string(loop.operation->name) + ": no memory for a buffer of " + std::to_string(bytes) + " bytes");
  std::feclearexcept(FE_ALL_EXCEPT);  // NumPy would turn flags into warnings
}

char NumpyType(Operand kind, DType dtype) {
  if (kind == Operand::kMaskIn) return NPY_BOOL;
  if (kind == Operand::kIndexIn) return NPY_INT64;
  return dtype == kFloat32 ? NPY_FLOAT : NPY_DOUBLE;
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
  static constexpr DType kOrder[] = {kFloat32, kFloat64};
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
    ufunc.loops[i] = {&operation, kOrder[i], operation.cost * (kOrder[i] == kFloat64 ? 3 : 1)};
    ufunc.functions[i] = InnerLoop;
    ufunc.data[i] = &ufunc.loops[i];
    for (int k = 0; k < list.count; ++k) ufunc.types.push_back(NumpyType(list.kinds[k], kOrder[i]));
  }
  PyObject* object = PyUFunc_FromFuncAndDataAndSignature(ufunc.functions, ufunc.data, ufunc.types.data(), kDTypes, inputs,
                                                         list.count - inputs, PyUFunc_None, operation.name, operation.doc, 0,
                                                         ufunc.signature.c_str());
  if (object == nullptr) throw py::error_already_set();
  if (all_floats) AddPromotion(object, list.count);
  m.add_object(operation.name, py::reinterpret_steal<py::object>(object));
}

}  // namespace

void RegisterRows(py::module_& m) {
  for (const RowTable table : {GetRowTable(), GetLossTable()}) {
    for (size_t i = 0; i < table.count; ++i) AddUfunc(m, table.operations[i]);
  }
}

}  // namespace nonlin
