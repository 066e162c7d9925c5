// The row kernels as generalised ufuncs: NumPy gives axes, broadcasting, casting and overlap, here are the inner loop and
// the registration of rows.def. Losses are such ufuncs too; python/nonlin/_loss_rows.py holds their options and errors.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <deque>
#include <new>
#include <string>
#include <vector>

#include "halves.h"
#include "kernels.h"
#include "module.h"
#include "numpy_api.h"
#include "parallel.h"
#include "promotion.h"
#include "rows.h"

namespace py = pybind11;

namespace nonlin {
namespace {

using Loop = RowLoop;

bool IsRow(Operand kind) { return kind == Operand::kRowIn || kind == Operand::kRowOut; }

// Whether an operand is stored in 16 bits beside rows that are.
bool IsHalf(Operand kind, bool float_scalars) {
  return IsRow(kind) || (!float_scalars && (kind == Operand::kScalarIn || kind == Operand::kScalarOut));
}

void Raise(PyObject* type, const std::string& message) {
  const PyGILState_STATE state = PyGILState_Ensure();
  PyErr_SetString(type, message.c_str());
  PyGILState_Release(state);
}

// Rows in 16 bits go through buffers of float, some rows at a time: as many as fit into a core's nearest cache, but by 16
// where they are narrow, which kernels take together; and more where they are strided, as neighbours in memory are of
// different rows.
constexpr size_t kHalfEntries = size_t{1} << 12, kStridedEntries = size_t{1} << 15;

// Whether the rows are contiguous. The buffers are so too, or not: the layout that kernels take, and so the bits, must not
// depend on the number of rows. A single one that is not gets entries that are two apart.
bool IsAlong(Operand kind, const RowOperand& o) { return IsRow(kind) && o.item == sizeof(uint16_t); }
constexpr size_t kLeastApart = 2;

size_t HalfRows(const Loop& loop, const RowOperand* operands, size_t classes, size_t rows) {
  const OperandList& list = loop.operation->operands;
  bool strided = false;
  for (int k = 0; k < list.count; ++k) strided |= IsRow(list.kinds[k]) && !IsAlong(list.kinds[k], operands[k]);
  const size_t fitting = (strided ? kStridedEntries : kHalfEntries) / classes;
  return std::min(rows, strided || fitting >= 16 ? (fitting | 15) + 1 : std::max<size_t>(fitting, 1));
}

// In floats, of an operand; a multiple of 16.
size_t HalfBufferSize(Operand kind, size_t classes, size_t rows) {
  return (IsRow(kind) ? std::max(rows, kLeastApart) * classes + 15 : rows + 15) / 16 * 16;
}

size_t HalfBufferSize(const Loop& loop, size_t classes, size_t rows) {
  const OperandList& list = loop.operation->operands;
  size_t size = 0;
  for (int k = 0; k < list.count; ++k) {
    if (IsHalf(list.kinds[k], loop.float_scalars)) size += HalfBufferSize(list.kinds[k], classes, rows);
  }
  return size;
}

void RunHalves(const Loop& loop, const RowOperand* operands, size_t classes, size_t begin, size_t end, size_t rows,
               float* buffer, void* scratch) {
  const OperandList& list = loop.operation->operands;
  for (size_t row = begin; row < end; row += rows) {
    const size_t count = std::min(rows, end - row);
    RowOperand floats[kMaxRowOperands];
    // Calls f(conversion's arguments) for each run of neighbours of an operand.
    const auto for_each_run = [&](int k, auto f) {
      const RowOperand& o = operands[k];
      char* first = o.data + static_cast<ptrdiff_t>(row) * o.row;
      float* to = reinterpret_cast<float*>(floats[k].data);
      const size_t items = IsRow(list.kinds[k]) ? classes : 1;
      const bool along = floats[k].item == sizeof(float);
      const bool dense = along && o.row == o.item * static_cast<ptrdiff_t>(items);  // rows one behind the other
      const size_t runs = dense ? 1 : along ? count : items, length = count * items / runs;
      const size_t apart = along ? length : std::max(length, kLeastApart);
      for (size_t i = 0; i < runs; ++i) {
        f(first + static_cast<ptrdiff_t>(i) * (along ? o.row : o.item), along ? o.item : o.row, to + i * apart, length);
      }
    };
    float* next = buffer;
    for (int k = 0; k < list.count; ++k) {
      const RowOperand& o = operands[k];
      const Operand kind = list.kinds[k];
      if (!IsHalf(kind, loop.float_scalars)) {
        floats[k] = {o.data + static_cast<ptrdiff_t>(row) * o.row, o.row, o.item};
        continue;
      }
      const size_t items = IsRow(kind) ? classes : 1;
      const bool along = IsAlong(kind, o);
      constexpr ptrdiff_t kItem = sizeof(float);
      const ptrdiff_t step = kItem * static_cast<ptrdiff_t>(along ? items : std::max(count, kLeastApart));
      floats[k] = {reinterpret_cast<char*>(next), along ? step : kItem, along ? kItem : step};
      next += HalfBufferSize(kind, classes, rows);
      if (IsOutput(kind)) continue;
      for_each_run(k, [&](const char* from, ptrdiff_t from_step, float* to, size_t n) {
        WidenStrided(*loop.half, from, from_step, to, n);
      });
    }
    loop.operation->run[kFloat32](floats, classes, 0, count, scratch, false);
    for (int k = 0; k < list.count; ++k) {
      if (!IsOutput(list.kinds[k]) || !IsHalf(list.kinds[k], loop.float_scalars)) continue;
      for_each_run(k, [&](char* to, ptrdiff_t to_step, const float* from, size_t n) {
        NarrowStrided(*loop.half, from, to, to_step, n);
      });
    }
  }
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
  return half && !IsHalf(kind, float_scalars) ? NPY_FLOAT : row_type;
}

// What a ufunc points to as long as it lives: for ever.
struct UfuncData {
  std::string signature;
  Loop loops[kLoops];
  PyUFuncGenericFunction functions[kLoops];
  void* data[kLoops];
  std::vector<char> types;
};

void AddUfunc(py::module_& m, const RowOperation& operation, bool float_scalars) {
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
  const HalfConversions* halves = GetHalfConversions();
  const double cost = operation.cost;
  ufunc.loops[0] = {&operation, kFloat32, nullptr, false, cost};
  ufunc.loops[1] = {&operation, kFloat64, nullptr, false, 3 * cost};
  ufunc.loops[2] = {&operation, kFloat32, &halves[kFloat16], float_scalars, cost + 1};
  ufunc.loops[3] = {&operation, kFloat32, &halves[kBFloat16], float_scalars, cost + 1};
  for (int i = 0; i < kLoops; ++i) {
    ufunc.functions[i] = InnerLoop;
    ufunc.data[i] = &ufunc.loops[i];
  }
  for (const int type : {NPY_FLOAT, NPY_DOUBLE, NPY_HALF}) {
    for (int k = 0; k < list.count; ++k) {
      ufunc.types.push_back(static_cast<char>(NumpyType(list.kinds[k], type, float_scalars)));
    }
  }
  PyObject* object = PyUFunc_FromFuncAndDataAndSignature(ufunc.functions, ufunc.data, ufunc.types.data(), kLoops - 1, inputs,
                                                         list.count - inputs, PyUFunc_None, operation.name, operation.doc, 0,
                                                         ufunc.signature.c_str());
  if (object == nullptr) throw py::error_already_set();
  if (all_floats) AddPromotion(object, list.count);
  std::vector<int> types;
  for (int k = 0; k < list.count; ++k) types.push_back(NumpyType(list.kinds[k], BFloat16Number(), float_scalars));
  AddBFloat16Loop(object, InnerLoop, types, ufunc.data[kLoops - 1]);
  m.add_object(operation.name, py::reinterpret_steal<py::object>(object));
}

void AddTable(py::module_& m, const RowTable& table, bool float_scalars) {
  for (size_t i = 0; i < table.count; ++i) AddUfunc(m, table.operations[i], float_scalars);
}

}  // namespace

constexpr size_t kSmallScratch = 16384;  // bytes, on the stack

bool RunRows(const RowLoop& loop, const RowOperand* operands, size_t rows, size_t classes) {
  const size_t half_rows = loop.half == nullptr ? 0 : HalfRows(loop, operands, classes, rows);
  const size_t buffer = HalfBufferSize(loop, classes, half_rows);
  const size_t scratch_size = loop.operation->scratch_size[loop.dtype](loop.half == nullptr ? operands : nullptr, classes);
  const size_t bytes = scratch_size * ItemSize(loop.dtype) + buffer * sizeof(float);
  const size_t stream_from = classes < kMinStreamedClasses ? kStreamBytes / 4 : kStreamBytes;
  const bool stream = rows * classes * ItemSize(loop.dtype) > stream_from;
  std::atomic<bool> failed{false};
  ParallelFor(rows, 1, loop.cycles * classes, [&](size_t begin, size_t end) {
    constexpr std::align_val_t kAlignment{64};
    alignas(64) char small[kSmallScratch];
    const bool is_large = bytes > kSmallScratch;
    void* scratch = is_large ? ::operator new(bytes, kAlignment, std::nothrow) : small;
    if (scratch == nullptr) {
      failed = true;
      return;
    }
    if (loop.half != nullptr) {
      float* floats = static_cast<float*>(scratch);
      RunHalves(loop, operands, classes, begin, end, half_rows, floats, floats + buffer);
    } else {
      loop.operation->run[loop.dtype](operands, classes, begin, end, scratch, stream);
    }
    if (is_large) ::operator delete(scratch, kAlignment);
  });
  if (failed)
    Raise(PyExc_MemoryError,
          std::string(loop.operation->name) + ": no memory for a buffer of " + std::to_string(bytes) + " bytes");
  std::feclearexcept(FE_ALL_EXCEPT);  // NumPy would turn flags into warnings
  return !failed;
}

const RowLoop& LoopOf(PyObject* ufunc, DType dtype) {
  return *static_cast<const RowLoop*>(reinterpret_cast<PyUFuncObject*>(ufunc)->data[dtype]);
}

void RegisterRows(py::module_& m) {
  AddTable(m, GetRowTable(), false);
  AddTable(m, GetLossTable(), true);  // 16-bit logits have a loss in float
}

}  // namespace nonlin
