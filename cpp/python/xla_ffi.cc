// The functions as one handler of XLA, the compiler of JAX: python/nonlin/jax.py names a function and hands over operands of
// one rank, which broadcast. XLA calls from threads of its own, so nothing here may touch Python once the module is
// imported.
#include "python/xla_ffi.h"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "python/dtypes.h"
#include "python/module.h"
#include "runtime/elementwise.h"
#include "runtime/float_status.h"
#include "runtime/losses.h"

namespace py = pybind11;

namespace nonlin {
namespace {

// What a handler answers in the place of a result.
struct Failure {
  int code;
  char message[256];
};

[[noreturn]] void Fail(int code, const char* format, ...) {
  Failure failure{code, {}};
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(failure.message, sizeof(failure.message), format, arguments);
  va_end(arguments);
  throw failure;
}

DType TypeOf(const xla::Buffer& buffer) {
  constexpr int kTypes[kDTypes] = {xla::kF32, xla::kF64, xla::kF16, xla::kBF16};
  const int* const found = std::find(kTypes, kTypes + kDTypes, buffer.dtype);
  if (found == kTypes + kDTypes) Fail(xla::kInvalidArgument, "an operand is of no float type");
  return static_cast<DType>(found - kTypes);
}

bool IsInteger(const xla::Buffer& buffer) { return xla::kS32 <= buffer.dtype && buffer.dtype <= xla::kU64; }

ptrdiff_t ItemOf(const xla::Buffer& buffer) {
  if (buffer.dtype == xla::kPred) return 1;
  if (IsInteger(buffer)) return buffer.dtype == xla::kS32 || buffer.dtype == xla::kU32 ? 4 : 8;
  return static_cast<ptrdiff_t>(ItemSize(TypeOf(buffer)));
}

class Call {
 public:
  explicit Call(const xla::CallFrame& frame) : frame_(frame), arguments(frame.arguments.count) {
    const int64_t count = arguments + frame.results.count;
    for (int64_t i = 0; i < count; ++i) {
      const xla::Buffer& buffer = i < arguments ? *frame.arguments.items[i] : *frame.results.items[i - arguments];
      if (i == 0) rank = static_cast<int>(std::min<int64_t>(buffer.rank, kMaxAxes + 1));
      if (rank > kMaxAxes || buffer.rank != rank || i == kMaxRowOperands) {
        Fail(xla::kInvalidArgument, "there are too many operands or axes, or operands differ in rank");
      }
      for (int d = 0; d < rank; ++d) shape[d] = i == 0 || buffer.dims[d] != 1 ? buffer.dims[d] : shape[d];
      buffers[buffer_count++] = &buffer;
    }
  }

 private:
  const xla::CallFrame& frame_;

 public:
  const int64_t arguments;
  const xla::Buffer* buffers[kMaxRowOperands];  // arguments, then results
  int buffer_count = 0, rank = 0;
  size_t shape[kMaxAxes];  // to which they broadcast

  // The value of an attribute, or null.
  template <class T>
  const T* Attribute(std::string_view name) const {
    for (int64_t i = 0; i < frame_.attributes.count; ++i) {
      const xla::Span& given = *frame_.attributes.names[i];
      if (std::string_view(given.data, given.size) == name) return static_cast<const T*>(frame_.attributes.values[i]);
    }
    return nullptr;
  }
  // An attribute that is a number; all are of 64 bits.
  template <class T>
  T Number(std::string_view name, T otherwise) const {
    const auto* const scalar = Attribute<xla::Scalar>(name);
    return scalar == nullptr ? otherwise : *static_cast<const T*>(scalar->value);
  }

  // Strides in bytes along the shape: 0 where a buffer broadcasts.
  void Strides(const xla::Buffer& buffer, ptrdiff_t* strides) const {
    ptrdiff_t bytes = ItemOf(buffer);
    for (int d = rank; d-- > 0; bytes *= buffer.dims[d]) strides[d] = buffer.dims[d] == 1 && shape[d] != 1 ? 0 : bytes;
  }
};

// ---------------------------------------------------------------- elementwise

void RunElementwiseCall(const Call& call, const ElementwiseLoop* loops) {
  constexpr int kMaxOperands = kMaxInputs + kMaxOutputs;
  const ElementwiseLoop& loop = loops[TypeOf(*call.buffers[0])];
  const int operands = loop.inputs + loop.outputs;
  ptrdiff_t strides[kMaxOperands][kMaxAxes], steps[kMaxAxes][kMaxOperands];
  for (int k = 0; k < operands; ++k) {
    call.Strides(*call.buffers[k], strides[k]);
    steps[0][k] = loop.item;
  }
  // As few axes as possible, the innermost first.
  size_t lengths[kMaxAxes] = {1}, outer = 1;
  int axes = 0;
  for (int d = call.rank; d-- > 0;) {
    if (call.shape[d] == 1) continue;
    bool joins = axes > 0;
    for (int k = 0; k < operands && joins; ++k) {
      joins = strides[k][d] == steps[axes - 1][k] * static_cast<ptrdiff_t>(lengths[axes - 1]);
    }
    if (joins) {
      lengths[axes - 1] *= call.shape[d];
      continue;
    }
    lengths[axes] = call.shape[d];
    for (int k = 0; k < operands; ++k) steps[axes][k] = strides[k][d];
    ++axes;
  }
  for (int i = 1; i < axes; ++i) outer *= lengths[i];
  for (size_t i = 0; i < outer; ++i) {
    char* data[kMaxOperands];
    for (int k = 0; k < operands; ++k) data[k] = static_cast<char*>(call.buffers[k]->data);
    size_t rest = i;
    for (int a = 1; a < axes; rest /= lengths[a++]) {
      for (int k = 0; k < operands; ++k) data[k] += static_cast<ptrdiff_t>(rest % lengths[a]) * steps[a][k];
    }
    const auto n = static_cast<ptrdiff_t>(lengths[0]);
    if (!RunSmall(loop, data, steps[0], n)) RunElementwise(loop, data, steps[0], n);
  }
}

// ---------------------------------------------------------------- rows

[[noreturn]] void FailWithoutMemory(size_t bytes) {
  Fail(xla::kResourceExhausted, "no memory for a buffer of %zu bytes", bytes);
}

// Numbers for rows have length 1 along the class axis. Behind the other arguments there may be the mask of `where`.
void RunRowsCall(const Call& call, const RowOperation& operation) {
  const OperandList& list = operation.traits.operands;
  const int axis = call.rank + static_cast<int>(call.Number<int64_t>("axis", -1));
  RowArrays arrays;
  arrays.has_mask = call.buffer_count > list.count;
  arrays.scale = call.Number<double>("scale", 1);
  arrays.axes = 0;
  for (int d = 0; d < call.rank; ++d) (d == axis ? arrays.classes : arrays.shape[arrays.axes++]) = call.shape[d];
  const int mask = arrays.has_mask ? static_cast<int>(call.arguments) - 1 : call.buffer_count;
  for (int i = 0; i < call.buffer_count; ++i) {
    const bool is_mask = i == mask;
    const int k = is_mask ? list.count : i - (i > mask);
    RowArrays::Array& operand = arrays.operands[k];
    ptrdiff_t strides[kMaxAxes];
    call.Strides(*call.buffers[i], strides);
    operand.data = static_cast<char*>(call.buffers[i]->data);
    operand.item = is_mask || HasClasses(list.kinds[k]) ? strides[axis] : 0;
    std::copy(strides + axis + 1, strides + call.rank, std::copy_n(strides, axis, operand.strides));
  }
  size_t bytes = 0;
  if (!RunRows(operation, TypeOf(*call.buffers[0]), arrays, &bytes)) FailWithoutMemory(bytes);
}

// ---------------------------------------------------------------- losses

enum Reduction : int64_t { kMean, kSum, kNone };
enum Present : int64_t { kHasWeight = 1, kHasPosWeight = 2, kHasSampleWeight = 4 };

// A loss of one example, which has the last axes; those in front are of vmap.
class LossExample {
 public:
  LossExample(const Call& call, int number, int first, size_t example)
      : call_(call), loss_(kLosses[number]), first_(first), example_(example) {
    const auto present = call.Number<int64_t>("present", 0);
    reduction_ = call.Number<int64_t>("reduction", kMean);
    function_ = call.Number<int64_t>("backward", 0) != 0 ? kBackward : kLoss;
    BindX(Take(true));
    const Numbers target = Take(true), weight = Take((present & kHasWeight) != 0);
    const Numbers pos_weight = Take((present & kHasPosWeight) != 0), sample_weight = Take((present & kHasSampleWeight) != 0);
    grad_ = Take(function_ == kBackward);
    result_ = Take(true);
    is_double_ = a_.dtype == kFloat64;
    a_.weight = weight.data;
    a_.pos_weight = pos_weight.data;
    sample_weights_ = Doubles(sample_weight);
    a_.sample_weight = sample_weight.data == nullptr ? nullptr : sample_weights_.data();
    BindOptions(weight.count);
    const LossOperations& operations = GetLossOperations(number);
    const bool of_class = IsInteger(*target.buffer);
    operations_ = of_class                               ? &operations.of_class
                  : a_.of_entries && reduction_ != kNone ? &operations.of_piece
                                                         : &operations.of_row;
    divisor_ = static_cast<double>(a_.Losses());
    if (a_.sample_weight != nullptr) divisor_ = SumOf(a_.sample_weight, nullptr, a_.Losses());
    a_.class_targets = nullptr;
    if (of_class) {
      BindClasses(target);
    } else {
      SetArray(a_.target, target);
      a_.is_target_wide = target.buffer->dtype != x_->dtype;
    }
    if (reduction_ != kMean) divisor_ = 1;
  }

  void Run() {
    if (operations_->count_outside.traits.operands.count > 0) CheckProbabilities();
    const RowOperation& operation = operations_->functions[function_];
    const size_t n = a_.Losses();
    if (function_ == kBackward) {
      SetArray(a_.gradient, result_);
      BindUpstream();
      Run(operation, reduction_ == kNone, nullptr);
      if (a_.class_targets == nullptr) ClearUncounted();
    } else if (reduction_ == kNone) {
      Run(operation, true, result_.data);
      if (a_.sample_weight == nullptr) return;
      is_double_ ? Weigh(result_.As<double>(), a_.sample_weight, n) : Weigh(result_.As<float>(), a_.sample_weight, n);
    } else {
      std::vector<double> sums(RoomForSums(a_.of_entries, n));
      const double loss = Run(operation, false, sums.data()) / divisor_;
      if (is_double_) *result_.As<double>() = loss;
      if (!is_double_) *result_.As<float>() = static_cast<float>(loss);
    }
  }

 private:
  // The example's part of a buffer.
  struct Numbers {
    const xla::Buffer* buffer = nullptr;
    char* data = nullptr;
    size_t count = 0;
    template <class T>
    T* As() const {
      return reinterpret_cast<T*>(data);
    }
  };

  Numbers Take(bool is_there) {
    if (!is_there) return {};
    const xla::Buffer& buffer = *call_.buffers[taken_++];
    Numbers numbers{&buffer, static_cast<char*>(buffer.data), 1};
    for (int d = first_; d < call_.rank; ++d) numbers.count *= buffer.dims[d];
    size_t step = numbers.count * ItemOf(buffer), rest = example_;
    for (int d = first_; d-- > 0; rest /= call_.shape[d]) {
      if (buffer.dims[d] != 1) numbers.data += rest % call_.shape[d] * step;
      step *= buffer.dims[d];
    }
    return numbers;
  }

  static std::vector<double> Doubles(const Numbers& numbers) {
    std::vector<double> doubles(numbers.count);
    if (numbers.data == nullptr) return doubles;
    if (numbers.buffer->dtype == xla::kF64) {
      std::copy_n(numbers.As<const double>(), numbers.count, doubles.begin());
    } else {
      std::copy_n(numbers.As<const float>(), numbers.count, doubles.begin());
    }
    return doubles;
  }

  void BindX(const Numbers& x) {
    x_ = x.buffer;
    a_.dtype = TypeOf(*x_);
    a_.of_entries = loss_.targets == Targets::kEntries;
    a_.entries = x.count;
    a_.axes = 0;
    a_.classes = 0;
    axis_ = a_.of_entries ? -1 : call_.rank + static_cast<int>(call_.Number<int64_t>("axis", -1));
    for (int d = first_; d < call_.rank && !a_.of_entries; ++d) {
      (d == axis_ ? a_.classes : a_.shape[a_.axes++]) = x_->dims[d];
    }
    a_.is_target_wide = false;
    SetArray(a_.x, x);
  }

  // An array of the shape of x; without a class axis no strides are read.
  void SetArray(RowArrays::Array& array, const Numbers& numbers) const {
    array.data = numbers.data;
    ptrdiff_t bytes = ItemOf(*numbers.buffer);
    for (int d = call_.rank, i = a_.axes; d-- > first_ && !a_.of_entries; bytes *= x_->dims[d]) {
      (d == axis_ ? array.item : array.strides[--i]) = bytes;
    }
  }

  void BindOptions(size_t weights) {
    a_.upstream_place = 0;
    a_.upstream.data = nullptr;
    if ((loss_.options & kLabelSmoothing) != 0) {
      double sum = static_cast<double>(a_.classes);
      if (a_.weight != nullptr) {
        sum = is_double_ ? SumOf(static_cast<const double*>(a_.weight), nullptr, weights)
                         : SumOf(static_cast<const float*>(a_.weight), nullptr, weights);
      }
      a_.scalars[a_.upstream_place++] = sum;
    }
    const auto* const options = call_.Attribute<xla::Array>("options");
    for (size_t i = 0; options != nullptr && i < options->size && a_.upstream_place < 3; ++i) {
      a_.scalars[a_.upstream_place++] = static_cast<const double*>(options->data)[i];
    }
  }

  void BindClasses(const Numbers& targets) {
    classes_.resize(targets.count);
    const auto copy = [&](const auto* from) {
      std::transform(from, from + targets.count, classes_.begin(), [](auto target) {  // beyond int64 there is no class
        return static_cast<int64_t>(std::min<std::common_type_t<decltype(target), int64_t>>(target, INT64_MAX));
      });
    };
    switch (targets.buffer->dtype) {
      case xla::kS32:
        copy(targets.As<const int32_t>());
        break;
      case xla::kU32:
        copy(targets.As<const uint32_t>());
        break;
      case xla::kS64:
        copy(targets.As<const int64_t>());
        break;
      default:
        copy(targets.As<const uint64_t>());
    }
    ClassRange range{static_cast<int64_t>(a_.classes), std::nullopt};
    if (call_.Attribute<xla::Scalar>("ignore_index") != nullptr) range.ignored = call_.Number<int64_t>("ignore_index", 0);
    const CheckedTargets checked =
        is_double_
            ? CheckTargets(classes_.data(), classes_.size(), range, static_cast<const double*>(a_.weight), a_.sample_weight)
            : CheckTargets(classes_.data(), classes_.size(), range, static_cast<const float*>(a_.weight), a_.sample_weight);
    if (checked.bad >= 0) {
      char place[128] = "";  // from its end
      char* at = place + sizeof(place) - 1;
      *at = 0;
      int64_t rest = checked.bad;
      for (int d = call_.rank; d-- > first_ && at > place + 32;) {
        if (d == axis_) continue;
        char index[32];
        const int length =
            std::snprintf(index, sizeof(index), *at == 0 ? "%lld" : "%lld, ", static_cast<long long>(rest % x_->dims[d]));
        at = std::copy_n(index, length, at - length) - length;
        rest /= x_->dims[d];
      }
      char ignored[48] = "";
      if (range.ignored)
        std::snprintf(ignored, sizeof(ignored), " or ignore_index=%lld", static_cast<long long>(*range.ignored));
      Fail(xla::kOutOfRange, "targets[%s] is %lld; it takes a class in [0, %zu)%s", at,
           static_cast<long long>(classes_[checked.bad]), a_.classes, ignored);
    }
    if (checked.ignores) MarkTargets(classes_.data(), classes_.size(), range, a_.sample_weight, classes_.data());
    a_.class_targets = classes_.data();
    divisor_ = checked.total;
  }

  void CheckProbabilities() {
    std::vector<double> counts(RoomForSums(a_.of_entries, a_.Losses()));
    const double* const weights = a_.sample_weight;
    a_.sample_weight = nullptr;
    const double outside = Run(operations_->count_outside, false, counts.data());
    a_.sample_weight = weights;
    if (outside == 0) return;
    Fail(xla::kInvalidArgument, "probs has %.0f entries outside [0, 1]; it takes probabilities", outside);
  }

  // The loss's upstream gradient over the divisor, as the factor of each row's gradient.
  void BindUpstream() {
    upstream_ = Doubles(grad_);
    for (double& number : upstream_) number /= divisor_;
    if (upstream_.size() == 1) a_.scalars[a_.upstream_place] = upstream_[0];
    if (a_.sample_weight != nullptr) {
      upstream_.resize(a_.Losses(), a_.scalars[a_.upstream_place]);  // one for all, or already as many
      for (size_t i = 0; i < upstream_.size(); ++i) upstream_[i] *= a_.sample_weight[i];
    }
    if (a_.sample_weight == nullptr && reduction_ != kNone) return;
    floats_.assign(upstream_.begin(), upstream_.end());
    a_.upstream.data = is_double_ ? reinterpret_cast<char*>(upstream_.data()) : reinterpret_cast<char*>(floats_.data());
    ptrdiff_t bytes = is_double_ ? sizeof(double) : sizeof(float);
    for (int i = a_.axes; i-- > 0; bytes *= a_.shape[i]) a_.upstream.strides[i] = bytes;
  }

  // The gradient of a row of weight 0, which is NaN where that of its loss is no number.
  void ClearUncounted() const {
    if (a_.sample_weight == nullptr) return;
    const size_t item = ItemSize(a_.dtype);
    size_t inner = 1;
    for (int d = axis_ + 1; d < call_.rank; ++d) inner *= x_->dims[d];
    for (size_t row = 0; row < a_.Losses(); ++row) {
      for (size_t c = 0; a_.sample_weight[row] == 0 && c < a_.classes; ++c) {
        std::fill_n(result_.data + ((row / inner * a_.classes + c) * inner + row % inner) * item, item, 0);
      }
    }
  }

  double Run(const RowOperation& operation, bool each, void* losses) const {
    double total = 0;
    size_t bytes = 0;
    if (!RunLoss(operation, a_, each, losses, &total, &bytes)) FailWithoutMemory(bytes);
    return total;
  }

  const Call& call_;
  const Loss& loss_;
  const int first_;  // axis of an example
  const size_t example_;
  int taken_ = 0;  // buffers
  int64_t reduction_;
  LossFunction function_;
  const xla::Buffer* x_;
  int axis_;
  bool is_double_ = false;
  Numbers grad_, result_;
  LossArrays a_;
  const LossOperationsOfTargets* operations_;
  double divisor_;
  std::vector<double> sample_weights_, upstream_;
  std::vector<float> floats_;
  std::vector<int64_t> classes_;
};

void RunLossCall(const Call& call, int number) {
  const int first = call.rank - static_cast<int>(call.Number<int64_t>("rank", call.rank));
  size_t examples = 1;
  for (int d = 0; d < first; ++d) examples *= call.shape[d];
  for (size_t i = 0; i < examples; ++i) LossExample(call, number, first, i).Run();
}

// ---------------------------------------------------------------- the handler

// Loops of all types, one behind the other, by activation: forward and backward.
std::vector<const ElementwiseLoop*>& Loops() {
  static std::vector<const ElementwiseLoop*>& all = *new std::vector<const ElementwiseLoop*>(2 * kActivationCount);
  return all;
}

void Run(const Call& call, std::string_view name) {
  constexpr std::string_view kBackwardEnding = "_backward";
  for (int i = 0; i < kActivationCount; ++i) {
    const std::string_view activation = kActivations[i].name;
    if (name.substr(0, activation.size()) != activation) continue;
    const std::string_view ending = name.substr(activation.size());
    if (ending.empty() || ending == kBackwardEnding) return RunElementwiseCall(call, Loops()[2 * i + !ending.empty()]);
  }
  const RowTable rows = GetRowTable();
  for (size_t i = 0; i < rows.count; ++i) {
    if (name == rows.operations[i].name) return RunRowsCall(call, rows.operations[i]);
  }
  for (int i = 0; i < kLossCount; ++i) {
    if (name == kLosses[i].name) return RunLossCall(call, i);
  }
  Fail(xla::kInvalidArgument, "there is no such function; was this compiled for another version of nonlin?");
}

xla::Error* Handle(xla::CallFrame* frame) {
  for (xla::Extension* e = frame->header.extensions; e != nullptr; e = e->next) {
    if (e->type != xla::kMetadataExtension) continue;
    xla::Metadata& metadata = *reinterpret_cast<xla::MetadataExtension*>(e)->metadata;
    metadata.version.major_number = xla::kMajorVersion;
    metadata.version.minor_number =
        std::min(xla::kMinorVersion, frame->api != nullptr ? frame->api->version.minor_number : 1);
    metadata.traits = 0;
    return nullptr;
  }
  std::string_view name;
  Failure failure{xla::kResourceExhausted, "no memory"};
  try {
    const Call call(*frame);
    const auto* const given = call.Attribute<xla::Span>("name");
    if (given != nullptr) name = {given->data, given->size};
    const FloatScope scope;
    Run(call, name);
    return nullptr;
  } catch (const Failure& thrown) {
    failure = thrown;
  } catch (const std::bad_alloc&) {
  }
  char message[sizeof(failure.message) + 64];
  std::snprintf(message, sizeof(message), "nonlin.jax.%.*s: %s", static_cast<int>(std::min<size_t>(name.size(), 40)),
                name.data(), failure.message);
  xla::ErrorArguments arguments{{sizeof(xla::ErrorArguments), nullptr}, message, failure.code};
  return frame->api->create_error(&arguments);
}

}  // namespace

void RegisterXla(py::module_& m) {
  for (int i = 0; i < kActivationCount; ++i) {
    for (const bool backward : {false, true}) {
      const std::string name = kActivations[i].name + std::string(backward ? "_backward" : "");
      const py::object ufunc = m.attr(name.c_str());
      Loops()[2 * i + backward] =
          static_cast<const ElementwiseLoop*>(reinterpret_cast<PyUFuncObject*>(ufunc.ptr())->data[0]);
    }
  }
  m.def(
      "xla_handler",
      []() -> py::tuple {
        const py::capsule handler(reinterpret_cast<void*>(&Handle), "xla._CUSTOM_CALL_TARGET");
        return py::make_tuple(handler, xla::kMajorVersion, xla::kMinorVersion);
      },
      "The handler that XLA calls, as JAX registers it, and the version that it was written for.");
}

}  // namespace nonlin
