// The sparse mask module on the CPU: L masked 3x3 convolutions, 1x1 collect, channel attention, residual.
// Knows no framework, allocates nothing, throws nothing. Semantics: smsr/contract.py.
#pragma once

#include <cstddef>
#include <cstdint>

#include "parallel.h"
#include "status.h"

namespace smsr {

struct Shape {
  int64_t batch, height, width, channels, layers;
};

// Strides are in elements; the C channels of a pixel and the W pixels of a row are contiguous.
struct Params {
  Shape shape;
  const int64_t* dense_channels;  // [L] leading outputs of each layer computed on every pixel
  int64_t features_image_stride, features_row_stride;
  int64_t margin_image_stride, margin_row_stride;
  int64_t output_image_stride, output_row_stride;
  float theta;                // a pixel is active where margin - theta > 0 (NaN: inactive)
  const float* features;      // [N, H, W, C]
  const float* margin;        // [N, H, W]
  const float* conv_weights;  // [L][tap 9][C in][C out], tap = 3 * ky + kx
  // The same, transformed by prepare_weights(); null: all convolutions are computed directly.
  const float* prepared_weights;
  // Convolutions' and collect's weights, packed by prepare_reduced_weights() of kernels.reduced; null:
  // everything is computed in float32.
  const uint16_t* reduced_weights;
  bool reduced_tiles;           // with them: Winograd, too
  const float* collect_weight;  // [L * C in][C out]
  const float* collect_bias;    // [C]
  const float* squeeze_weight;  // [C][R], R = C / kChannelAttentionReduction
  const float* squeeze_bias;    // [R]
  const float* excite_weight;   // [R][C]
  const float* excite_bias;     // [C]
  float* output;                // [N, H, W, C], must not overlap features
  // Not null: neither attention nor residual, whose weights may be null; output gets the collect's sums, and
  // this the sums of each of their rows, [N, H, C].
  float* row_sums;
};

// The number of prepared_weights, and filling them from conv_weights [L][9][C][C]: once per model. With them,
// most active pixels are computed by Winograd's F(4x4, 3x3) in tiles of 4x4 pixels. Results then differ by
// rounding, and a NaN or an infinity in the features reaches the whole of a tile instead of its neighbours.
int64_t prepared_weights_size(int64_t layers, int64_t channels);
void prepare_weights(const float* conv_weights, int64_t layers, int64_t channels, float* prepared);

// The same for multiplicands of reduced precision, as kernels.reduced multiplies them.
struct ReducedKernels;  // kernels.h
int64_t reduced_weights_size(int64_t layers, int64_t channels);
void prepare_reduced_weights(const ReducedKernels& kernels, const float* conv_weights,
                             const float* collect_weight, int64_t layers, int64_t channels,
                             uint16_t* prepared);

// Bytes of scratch memory sparse_mask_module() needs, from the shape alone; 0 where the shape is refused.
size_t workspace_bytes(const Shape& shape);

struct Kernels;  // kernels.h; one instruction set's inner loops, see isa/dispatch.h

// The result does not depend, bit for bit, on how Parallel spreads the tasks.
Status sparse_mask_module(const Params& params, const Kernels& kernels, const Parallel& parallel,
                          void* workspace, size_t bytes);

}  // namespace smsr
