// What one instruction set provides for convolutions that are computed on every pixel.
#pragma once

#include <cstdint>

#include "kernels.h"

namespace smsr {

// A convolution of an image in packed rows to one of the same size.
struct PixelConvolution {
  int64_t height, width, inputs, outputs;
  int taps;  // 9: 3x3, zeros around the image; 1: 1x1
  bool relu;
  const float* weights;  // [taps, inputs, outputs]
  const float* bias;     // [outputs]
  const float* zeros;    // [inputs], read in place of pixels outside the image
  const float* in;       // [height, width, inputs]
};

// Size of an image after the 2x2 average pool that repeats the last row and column where they are odd.
inline int64_t pooled_size(int64_t size) { return (size + 1) / 2; }

struct DenseKernels {
  // Pixels [first, first + count) in raster order, to `out` [count, outputs]. `addend` [count, outputs] is
  // null or added before the ReLU; it may be `out` itself.
  void (*convolve)(const PixelConvolution&, int64_t first, int64_t count, const float* addend, float* out);
  // The same, then the pool: pooled pixels [first, first + count), to `out` [count, outputs].
  void (*convolve_pooled)(const PixelConvolution&, int64_t first, int64_t count, float* out);
  // The same by Winograd: tiles [first, first + count) in raster order, into the image `pooled`
  // [pooled height, pooled width, outputs]. `scratch`: winograd_scratch_size() floats.
  void (*convolve_pooled_tiles)(const TileConvolution&, int64_t first, int64_t count, float* pooled,
                                float* scratch);
};

}  // namespace smsr
