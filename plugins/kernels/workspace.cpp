#include "workspace.h"

#include <algorithm>

namespace smsr {
namespace {

constexpr size_t kAlignment = 64;
// Enough work between two barriers, times the layers; more would leave the second-level cache (README).
constexpr int64_t kStepPixels = 1024;

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

int64_t step_rows(const Shape& shape) {
  return std::min(shape.height, (kStepPixels + shape.width - 1) / shape.width);
}

int64_t ring_rows(const Shape& shape, int64_t layer) {
  const int64_t rows = stage_row(shape, 0, layer) + step_rows(shape) - stage_row(shape, 0, shape.layers);
  return std::min(shape.height, rows);
}

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
  workspace->stages = cursor.take<Stage>(shape.layers);
  workspace->full = cursor.take<int64_t>(shape.layers);
  int64_t rows = 0;
  for (int64_t layer = 0; layer < shape.layers; ++layer) rows += ring_rows(shape, layer);
  workspace->rings = cursor.take<float>(rows * shape.width * shape.channels);
  return cursor.at - start;
}

}  // namespace smsr
