#include "mask_index.h"

#include <algorithm>

#include "parallel.h"

namespace smsr {
namespace {

constexpr int64_t kRowsPerTask = 16;

int64_t mark_row(const float* margin, float theta, int64_t width, unsigned char* mask) {
  int64_t active = 0;
  for (int64_t x = 0; x < width; ++x) {
    mask[x] = margin[x] - theta > 0.0f;
    active += mask[x];
  }
  return active;
}

unsigned any_of_three_rows(const MaskIndex& index, int64_t y, int64_t x) {
  const unsigned char* row = index.mask + y * index.width + x;
  unsigned any = row[0];
  if (y > 0) any |= row[-index.width];
  if (y + 1 < index.height) any |= row[index.width];
  return any;
}

void list_row(const MaskIndex& index, int64_t y) {
  const int64_t width = index.width;
  Pixel* active = index.pixels + index.row_start[y];
  Pixel* inactive = const_cast<Pixel*>(index.inactive(y, y + 1).first);
  unsigned left = 0, here = any_of_three_rows(index, y, 0);
  for (int64_t x = 0; x < width; ++x) {
    const unsigned right = x + 1 < width ? any_of_three_rows(index, y, x + 1) : 0;
    const Pixel pixel = static_cast<Pixel>(y * width + x);
    if (index.mask[y * width + x])
      *active++ = pixel;
    else
      *inactive++ = (left | here | right) ? pixel | kBesideActive : pixel;
    left = here;
    here = right;
  }
}

}  // namespace

void index_mask(const float* margin, int64_t row_stride, float theta, const Parallel& parallel,
                const MaskIndex& index) {
  const int64_t height = index.height;
  const int64_t tasks = (height + kRowsPerTask - 1) / kRowsPerTask;
  parallel_for(parallel, tasks, [&](int64_t task) {
    for (int64_t y = task * kRowsPerTask; y < std::min(height, (task + 1) * kRowsPerTask); ++y)
      index.row_start[y + 1] =
          mark_row(margin + y * row_stride, theta, index.width, index.mask + y * index.width);
  });
  index.row_start[0] = 0;
  for (int64_t y = 0; y < height; ++y) index.row_start[y + 1] += index.row_start[y];
  parallel_for(parallel, tasks, [&](int64_t task) {
    for (int64_t y = task * kRowsPerTask; y < std::min(height, (task + 1) * kRowsPerTask); ++y)
      list_row(index, y);
  });
}

}  // namespace smsr
