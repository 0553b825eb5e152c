#include "workspace.h"

#include <algorithm>

namespace smsr {
namespace {

constexpr size_t kAlignment = 64;
// Of the rings of all layers together. Larger bands mean fewer barriers, smaller ones stay in cache.
constexpr int64_t kRingBytes = int64_t{24} << 20;
constexpr int64_t kLeastBandRows = 8;

struct Cursor {
  uintptr_t at;
  template <class T>
  T* take(int64_t count) {
    T* part = reinterpret_cast<T*>(at);
    at += (static_cast<size_t>(count) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return part;
  }
};

}  // namespace

int64_t band_rows(const Shape& shape) {
  const int64_t row_bytes = shape.layers * shape.width * shape.channels * int64_t{sizeof(float)};
  return std::min(shape.height, std::max(kLeastBandRows, kRingBytes / row_bytes));
}

// Layer i works on rows [start - i, start + band); layer i + 1 looks one row further up, the collect L - 1
// rows.
int64_t ring_rows(const Shape& shape) { return std::min(shape.height, band_rows(shape) + shape.layers + 1); }

size_t lay_out(const Shape& shape, void* base, Workspace* workspace) {
  const int64_t pixels = shape.height * shape.width;
  const uintptr_t start = reinterpret_cast<uintptr_t>(base);
  Cursor cursor{(start + kAlignment - 1) / kAlignment * kAlignment};
  workspace->index.height = shape.height;
  workspace->index.width = shape.width;
  workspace->index.mask = cursor.take<unsigned char>(pixels);
  workspace->index.pixels = cursor.take<Pixel>(pixels);
  workspace->index.row_start = cursor.take<int64_t>(shape.height + 1);
  workspace->zeros = cursor.take<float>(shape.channels);
  workspace->scale = cursor.take<float>(shape.channels);
  workspace->squeezed = cursor.take<float>(shape.channels / 16);
  workspace->row_sums = cursor.take<float>(shape.height * shape.channels);
  workspace->ring_views = cursor.take<Rows>(shape.layers);
  workspace->full = cursor.take<int64_t>(shape.layers);
  workspace->rings = cursor.take<float>(shape.layers * ring_rows(shape) * shape.width * shape.channels);
  return cursor.at - start;
}

}  // namespace smsr
