// Copies rows from memory, whatever their strides, to groups side by side in a buffer, and back. Types are converted on the
// way; nothing else is computed here.

#if defined(NONLIN_SIMD_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NONLIN_SIMD_PACK_INL_H_
#undef NONLIN_SIMD_PACK_INL_H_
#else
#define NONLIN_SIMD_PACK_INL_H_
#endif

#include <type_traits>

#include "hwy/cache_control.h"
#include "kernels.h"
#include "simd/memory-inl.h"
#include "simd/target-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nonlin {
namespace HWY_NAMESPACE {

// Groups of rows side by side in a buffer: class j of row i of a group at [j * lanes + i].
struct GroupLayout {
  size_t classes, lanes;
  size_t Step() const { return GroupStep(classes, lanes); }
};

#if HWY_HAVE_SCALABLE || HWY_TARGET == HWY_SCALAR
template <class T>
constexpr bool CanTranspose(size_t) {
  return false;
}
template <class T, class... Args>
void RowsToLanes(Args...) {}
template <class T, class... Args>
void LanesToRows(Args...) {}
#else

template <class T>
constexpr size_t kBlock = 16 / sizeof(T);  // lanes of the 128-bit blocks within which vectors interleave

template <class T>
bool CanTranspose(size_t classes) {
  return classes >= kBlock<T>;
}

// Loads a vector whose blocks of kLanes numbers are `step` bytes apart in memory.
template <size_t kLanes, class D>
HWY_INLINE hn::Vec<D> LoadBlocks(D d, const char* from, ptrdiff_t step) {
  if constexpr (hn::MaxLanes(d) <= kLanes) {
    return hn::LoadU(d, reinterpret_cast<const hn::TFromD<D>*>(from));
  } else {
    const hn::Half<D> half;
    const char* upper = from + step * static_cast<ptrdiff_t>(hn::MaxLanes(half) / kLanes);
    return hn::Combine(d, LoadBlocks<kLanes>(half, upper, step), LoadBlocks<kLanes>(half, from, step));
  }
}

template <size_t kLanes, class D>
HWY_INLINE void StoreBlocks(hn::Vec<D> v, D d, char* to, ptrdiff_t step) {
  if constexpr (hn::MaxLanes(d) <= kLanes) {
    hn::StoreU(v, d, reinterpret_cast<hn::TFromD<D>*>(to));
  } else {
    const hn::Half<D> half;
    StoreBlocks<kLanes>(hn::LowerHalf(half, v), half, to, step);
    StoreBlocks<kLanes>(hn::UpperHalf(half, v), half, to + step * static_cast<ptrdiff_t>(hn::MaxLanes(half) / kLanes), step);
  }
}

// Transposes each block of kBlock vectors as a matrix.
template <class D, class V>
HWY_INLINE void TransposeBlocks(D d, V* v) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    const V lower = hn::InterleaveLower(d, v[0], v[1]);
    v[1] = hn::InterleaveUpper(d, v[0], v[1]);
    v[0] = lower;
  } else {
    const hn::Repartition<double, D> dw;
    const auto pair = [&](V a) HWY_ATTR { return hn::BitCast(dw, a); };
    const auto low01 = pair(hn::InterleaveLower(d, v[0], v[1])), high01 = pair(hn::InterleaveUpper(d, v[0], v[1]));
    const auto low23 = pair(hn::InterleaveLower(d, v[2], v[3])), high23 = pair(hn::InterleaveUpper(d, v[2], v[3]));
    v[0] = hn::BitCast(d, hn::InterleaveLower(dw, low01, low23));
    v[1] = hn::BitCast(d, hn::InterleaveUpper(dw, low01, low23));
    v[2] = hn::BitCast(d, hn::InterleaveLower(dw, high01, high23));
    v[3] = hn::BitCast(d, hn::InterleaveUpper(dw, high01, high23));
  }
}

// Copies as many rows as there are lanes, `step` bytes apart, to a group's buffer. A block that would reach beyond the last
// class begins earlier.
template <class S, class T>
HWY_INLINE void RowsToLanes(const char* first, ptrdiff_t step, size_t classes, T* buffer) {
  const hn::ScalableTag<T> d;
  constexpr size_t kLanes = kBlock<T>;
  for (size_t j = 0; j < classes; j += kLanes) {
    const size_t at = HWY_MIN(j, classes - kLanes);
    hn::Vec<decltype(d)> v[kLanes];
    for (size_t k = 0; k < kLanes; ++k) {
      const char* from = first + static_cast<ptrdiff_t>(k) * step + at * sizeof(S);
      const ptrdiff_t apart = step * static_cast<ptrdiff_t>(kLanes);
      if constexpr (std::is_same_v<S, T>) {
        v[k] = LoadBlocks<kLanes>(d, from, apart);
      } else {
        v[k] = S::Widen(d, LoadBlocks<kLanes>(hn::Rebind<uint16_t, decltype(d)>(), from, apart));
      }
    }
    TransposeBlocks(d, v);
    for (size_t k = 0; k < kLanes; ++k) hn::StoreU(v[k], d, buffer + (at + k) * hn::Lanes(d));
  }
}

// The reverse of RowsToLanes.
template <class S, class T>
HWY_INLINE void LanesToRows(const T* buffer, size_t classes, char* first, ptrdiff_t step) {
  const hn::ScalableTag<T> d;
  constexpr size_t kLanes = kBlock<T>;
  for (size_t j = 0; j < classes; j += kLanes) {
    const size_t at = HWY_MIN(j, classes - kLanes);
    hn::Vec<decltype(d)> v[kLanes];
    for (size_t k = 0; k < kLanes; ++k) v[k] = hn::LoadU(d, buffer + (at + k) * hn::Lanes(d));
    TransposeBlocks(d, v);
    for (size_t k = 0; k < kLanes; ++k) {
      char* to = first + static_cast<ptrdiff_t>(k) * step + at * sizeof(S);
      const ptrdiff_t apart = step * static_cast<ptrdiff_t>(kLanes);
      if constexpr (std::is_same_v<S, T>) {
        StoreBlocks<kLanes>(v[k], d, to, apart);
      } else {
        StoreBlocks<kLanes>(S::Narrow(d, v[k]), hn::Rebind<uint16_t, decltype(d)>(), to, apart);
      }
    }
  }
}
#endif

// Copies a row of contiguous classes to a buffer of the type that it is computed in.
template <class S, class T>
HWY_INLINE void WidenRow(const S* from, size_t classes, T* buffer) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + lanes <= classes; j += lanes) hn::StoreU(LoadFrom(d, from + j), d, buffer + j);
  for (; j < classes; ++j) buffer[j] = LoadOne(from + j);
}

// The reverse of WidenRow.
template <class S, class T>
HWY_INLINE void NarrowRow(const T* buffer, size_t classes, S* to) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + lanes <= classes; j += lanes) StoreTo(hn::LoadU(d, buffer + j), d, to + j);
  for (; j < classes; ++j) StoreOne(buffer[j], to + j);
}

// Copies `count` rows from memory to groups in a buffer; lanes after the last row hold a copy of some row, or 0.
template <class S, class T>
HWY_INLINE void PackOneByOne(const RowOperand& o, const GroupLayout& g, size_t row, size_t count, T* buffer) {
  const char* first = o.data + static_cast<ptrdiff_t>(row) * o.row;
  if (count == 1 && g.lanes == 1 && o.item == sizeof(S))
    return WidenRow(reinterpret_cast<const S*>(first), g.classes, buffer);
  for (size_t i = 0; i < count; i += g.lanes, buffer += g.Step()) {
    for (size_t k = 0; k < g.lanes; ++k) {
      const char* from = first + static_cast<ptrdiff_t>(HWY_MIN(i + k, count - 1)) * o.row;
      for (size_t j = 0; j < g.classes; ++j, from += o.item) {
        buffer[j * g.lanes + k] = LoadOne(reinterpret_cast<const S*>(from));
      }
    }
  }
}

// The same, in vectors if rows or their classes are contiguous in memory.
template <class S, class T>
HWY_NOINLINE void PackRows(const RowOperand& o, const GroupLayout& layout, size_t row, size_t count, T* buffer) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  const char* first = o.data + static_cast<ptrdiff_t>(row) * o.row;
  if (layout.lanes != lanes) return PackOneByOne<S>(o, layout, row, count, buffer);
  const GroupLayout g{layout.classes, lanes};  // a constant number of lanes saves 3 % of a call
  if (o.row == sizeof(S)) {                    // contiguous rows
    for (size_t j = 0; j < g.classes; ++j, first += o.item) {
      const S* from = reinterpret_cast<const S*>(first);
      T* to = buffer + j * lanes;
      size_t i = 0;
      for (; i + lanes <= count; i += lanes, to += g.Step()) hn::StoreU(LoadFrom(d, from + i), d, to);
      if (i < count) hn::StoreU(LoadTail(d, from + i, count - i, 0), d, to);
    }
    return;
  }
  size_t i = 0;
  if (o.item == sizeof(S) && CanTranspose<T>(g.classes)) {
    for (; i + lanes <= count; i += lanes, buffer += g.Step()) {
      RowsToLanes<S>(first + static_cast<ptrdiff_t>(i) * o.row, o.row, g.classes, buffer);
    }
  }
  PackOneByOne<S>(o, g, row + i, count - i, buffer);
}

// Prefetches what PackRows will read of a group: contiguous rows class by class, others as if there were no gaps between
// them.
HWY_INLINE void PrefetchRows(const RowOperand& o, const GroupLayout& g, size_t item, size_t row) {
  const ptrdiff_t lines = static_cast<ptrdiff_t>(g.classes);
  const ptrdiff_t step = o.row == static_cast<ptrdiff_t>(item) ? o.item : o.row * static_cast<ptrdiff_t>(g.lanes) / lines;
  const char* from = o.data + static_cast<ptrdiff_t>(row) * o.row;
  for (ptrdiff_t j = 0; j < lines; ++j) hwy::Prefetch(from + j * step);
}

// An ignored row has a negative class, -1 here; class 0 is read in its place. A class beyond the last, in an array of
// targets that changed after it was checked, must not lead out of the row.
HWY_INLINE int64_t PlaceOf(int64_t index, size_t classes) {
  return HWY_MAX(int64_t{-1}, HWY_MIN(index, static_cast<int64_t>(classes) - 1));
}

template <class Index>
HWY_INLINE void PackIndices(const RowOperand& o, size_t row, size_t count, size_t lanes, size_t classes, Index* buffer) {
  const char* from = o.data + static_cast<ptrdiff_t>(row) * o.row;
  if (o.row == sizeof(int64_t)) {  // compilers vectorise this
    const int64_t* indices = reinterpret_cast<const int64_t*>(from);
    for (size_t i = 0; i < count; ++i) buffer[i] = static_cast<Index>(PlaceOf(indices[i], classes));
  } else {
    for (size_t i = 0; i < count; ++i, from += o.row) {
      buffer[i] = static_cast<Index>(PlaceOf(*reinterpret_cast<const int64_t*>(from), classes));
    }
  }
  for (size_t i = count; i % lanes != 0; ++i) buffer[i] = buffer[count - 1];
}

// Copies groups from a buffer to `count` rows in memory.
template <class S, class T>
HWY_INLINE void UnpackOneByOne(const RowOperand& o, const GroupLayout& g, size_t row, size_t count, const T* buffer) {
  char* first = o.data + static_cast<ptrdiff_t>(row) * o.row;
  if (count == 1 && g.lanes == 1 && o.item == sizeof(S)) {
    return NarrowRow(buffer, g.classes, reinterpret_cast<S*>(first));
  }
  for (size_t i = 0; i < count; i += g.lanes, buffer += g.Step()) {
    for (size_t k = i; k < HWY_MIN(i + g.lanes, count); ++k) {
      char* to = first + static_cast<ptrdiff_t>(k) * o.row;
      for (size_t j = 0; j < g.classes; ++j, to += o.item) {
        StoreOne(buffer[j * g.lanes + (k - i)], reinterpret_cast<S*>(to));
      }
    }
  }
}

// The same, in vectors. Rows without gaps go through `stage`, of the size of `buffer`, and from there in whole vectors. With
// `stream`, stores past the caches if the alignment of the result allows it.
template <class S, class T>
HWY_NOINLINE void UnpackRows(const RowOperand& o, const GroupLayout& layout, size_t row, size_t count, const T* buffer,
                             T* stage, bool stream) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  char* first = o.data + static_cast<ptrdiff_t>(row) * o.row;
  if (layout.lanes != lanes) return UnpackOneByOne<S>(o, layout, row, count, buffer);
  const GroupLayout g{layout.classes, lanes};
  if (o.row == sizeof(S)) {
    stream &= Misalignment(lanes, reinterpret_cast<S*>(first)) == 0 && o.item % (lanes * sizeof(S)) == 0;
    for (size_t j = 0; j < g.classes; ++j, first += o.item) {
      S* to = reinterpret_cast<S*>(first);
      const T* from = buffer + j * lanes;
      size_t i = 0;
      for (; i + lanes <= count; i += lanes, from += g.Step()) StoreOrStream(hn::LoadU(d, from), d, to + i, stream);
      if (i < count) StoreTail(hn::LoadU(d, from), d, to + i, count - i);
    }
    return;
  }
  size_t i = 0;
  if (o.item == sizeof(S) && CanTranspose<T>(g.classes)) {
    const ptrdiff_t dense = static_cast<ptrdiff_t>(g.classes * sizeof(S));
    if (stage != nullptr && o.row == dense && count % lanes == 0) {
      S* const staged = reinterpret_cast<S*>(stage);
      for (; i < count; i += lanes, buffer += g.Step()) {
        LanesToRows<S>(buffer, g.classes, reinterpret_cast<char*>(staged + i * g.classes), dense);
      }
      return CopyAligned(staged, reinterpret_cast<S*>(first), count * g.classes, stream);
    }
    for (; i + lanes <= count; i += lanes, buffer += g.Step()) {
      LanesToRows<S>(buffer, g.classes, first + static_cast<ptrdiff_t>(i) * o.row, o.row);
    }
  }
  UnpackOneByOne<S>(o, g, row + i, count - i, buffer);
}

// ---------------------------------------------------------------- `where` and `scale`

// See ChangeKernels in kernels.h.
template <class S>
struct Change {
  using T = Computed<S>;

  // One line of a matrix of rows: entries that are `step` bytes apart. The mask has a step of 0 if it is the same for all.
  template <class To>
  static void Line(const char* from, ptrdiff_t step, const uint8_t* mask, ptrdiff_t mask_step, size_t n, T scale, T masked,
                   To* to) {
    const hn::ScalableTag<T> d;
    const size_t lanes = hn::Lanes(d);
    const auto one = [=](size_t i) HWY_ATTR {
      const T value = LoadOne(reinterpret_cast<const S*>(from + static_cast<ptrdiff_t>(i) * step));
      StoreOne(mask == nullptr || mask[static_cast<ptrdiff_t>(i) * mask_step] != 0 ? value * scale : masked, to + i);
    };
    if (step != sizeof(S) || mask_step > 1 || mask_step < 0) {
      for (size_t i = 0; i < n; ++i) one(i);
      return;
    }
    const auto* const entries = reinterpret_cast<const S*>(from);
    const auto factor = hn::Set(d, scale), other = hn::Set(d, masked);
    const hn::Rebind<uint8_t, decltype(d)> d8;
    const bool is_masked = mask != nullptr && mask_step == 0 && *mask == 0, has_mask = mask_step == 1;
    size_t i = 0;
    for (; i + lanes <= n; i += lanes) {
      auto v = hn::Mul(LoadFrom(d, entries + i), factor);
      if (has_mask) v = hn::IfThenElse(IsFalse(d, hn::LoadU(d8, mask + i)), other, v);
      StoreTo(is_masked ? other : v, d, to + i);
    }
    if (i == n) return;
    auto v = hn::Mul(LoadTail(d, entries + i, n - i, 0), factor);
    if (has_mask) v = hn::IfThenElse(IsFalse(d, LoadTail(d8, mask + i, n - i, 0)), other, v);
    StoreTail(is_masked ? other : v, d, to + i, n - i);
  }

  template <class D, class V8>
  HWY_INLINE static auto IsFalse(D d, V8 mask) {
    const hn::RebindToUnsigned<D> du;
    const auto wide = hn::PromoteTo(hn::Rebind<uint32_t, D>(), mask);
    if constexpr (sizeof(T) == sizeof(uint32_t)) {
      return hn::RebindMask(d, hn::Eq(wide, hn::Zero(du)));
    } else {
      return hn::RebindMask(d, hn::Eq(hn::PromoteTo(du, wide), hn::Zero(du)));
    }
  }

  template <class To>
  static void RunTo(const RowOperand& from, const RowOperand* mask, size_t rows, size_t classes, double scale, double masked,
                    const RowOperand& to) {
    const bool by_class = to.item != sizeof(To);  // lines are classes, with an entry of each row
    const auto is_dense = [=](const RowOperand& o, size_t item) {
      return o.item == static_cast<ptrdiff_t>(item) && o.row == static_cast<ptrdiff_t>(classes * item);
    };
    if (rows > 1 && is_dense(from, sizeof(S)) && is_dense(to, sizeof(To)) && (mask == nullptr || is_dense(*mask, 1))) {
      return RunTo<To>(from, mask, 1, rows * classes, scale, masked, to);  // one long line
    }
    const size_t lines = by_class ? classes : rows, n = by_class ? rows : classes;
    for (size_t i = 0; i < lines; ++i) {
      const auto line = [=](const RowOperand& o) {
        return o.data + static_cast<ptrdiff_t>(i) * (by_class ? o.item : o.row);
      };
      const auto* const mask_line = mask == nullptr ? nullptr : reinterpret_cast<const uint8_t*>(line(*mask));
      Line(line(from), by_class ? from.row : from.item, mask_line,
           mask == nullptr ? 0
           : by_class      ? mask->row
                           : mask->item,
           n, static_cast<T>(scale), static_cast<T>(masked), reinterpret_cast<To*>(line(to)));
    }
  }

  static void Run(const RowOperand& from, const RowOperand* mask, size_t rows, size_t classes, double scale, double masked,
                  const RowOperand& to) {
    to.wide ? RunTo<T>(from, mask, rows, classes, scale, masked, to)
            : RunTo<S>(from, mask, rows, classes, scale, masked, to);
  }

  static void Restore(const RowOperand& o, const RowOperand& mask, size_t rows, size_t classes, double masked, bool all) {
    const T value = static_cast<T>(masked);
    for (size_t i = 0; i < rows; ++i) {
      char* entry = o.data + static_cast<ptrdiff_t>(i) * o.row;
      const T first = LoadOne(reinterpret_cast<const S*>(entry));
      if (!all && (first - first == 0 || first == value)) continue;
      const char* kept = mask.data + static_cast<ptrdiff_t>(i) * mask.row;
      for (size_t j = 0; j < classes; ++j, entry += o.item, kept += mask.item) {
        if (*kept == 0) StoreOne(value, reinterpret_cast<S*>(entry));
      }
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace nonlin
HWY_AFTER_NAMESPACE();

#endif  // NONLIN_SIMD_PACK_INL_H_
