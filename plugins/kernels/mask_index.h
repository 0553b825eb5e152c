// The spatial mask as sorted lists of pixels: made once a module, walked by every layer.
#pragma once

#include "kernels.h"
#include "sparse_mask_module.h"

namespace smsr {

// Active and inactive pixels of one image in raster order, and where each row's begin.
struct MaskIndex {
  int64_t height, width;
  unsigned char* mask;  // [H, W] 1: active
  Pixel* pixels;        // [H * W] all active ones, then all others
  int64_t* row_start;   // [H + 1] active pixels above row y

  Pixels active(int64_t y0, int64_t y1) const {
    return {pixels + row_start[y0], row_start[y1] - row_start[y0]};
  }
  Pixels inactive(int64_t y0, int64_t y1) const {
    const int64_t above = y0 * width - row_start[y0];
    return {pixels + row_start[height] + above, (y1 - y0) * width - (row_start[y1] - row_start[y0])};
  }
};

// Fills `index` (its pointers given) from margin [H, W], rows `row_stride` elements apart.
void index_mask(const float* margin, int64_t row_stride, float theta, const Parallel& parallel,
                const MaskIndex& index);

}  // namespace smsr
