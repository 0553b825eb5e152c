// What one instruction set provides for convolutions that are computed on every pixel.
#pragma once

#include <cstdint>

#include "rows.h"
#include "winograd/winograd.h"

namespace smsr {

// A convolution to an image of the same size.
struct PixelConvolution {
  int64_t outputs;
  int taps;  // 9: 3x3, zeros around the image; 1: 1x1
  bool relu;
  const float* weights;     // [taps][inputs][outputs]
  const float* bias;        // [outputs]
  PaddedImageOf<float> in;  // packed rows
};

// Size of an image after the 2x2 average pool that repeats the last row and column where they are odd.
inline int64_t pooled_size(int64_t size) { return (size + 1) / 2; }

// By Winograd, from weights in the type of the multiplicands. pooled_tiles: `out` is the pooled image
// [pooled height, pooled width, outputs], and there is no addend.
template <class Weight>
struct DenseTileKernels {
  TileKernel<float, float, Weight> tiles, pooled_tiles;
};

struct DenseKernels {
  // Pixels [first, first + count) in raster order, to `out` [count, outputs]. `addend` [count, outputs] is
  // null or added before the ReLU; it may be `out` itself.
  void (*convolve)(const PixelConvolution&, int64_t first, int64_t count, const float* addend, float* out);
  // The same, then the pool: pooled pixels [first, first + count), to `out` [count, outputs].
  void (*convolve_pooled)(const PixelConvolution&, int64_t first, int64_t count, float* out);
  DenseTileKernels<float> winograd;
};

}  // namespace smsr
