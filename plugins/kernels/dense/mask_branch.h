// Margin of the spatial mask on the CPU: 3x3 convolution C -> Q, ReLU, 2x2 average, 3x3 convolution Q -> Q on
// half the size, ReLU, four phases of a 2x2 convolution, interleaved. Semantics: smsr/contract.py.
// Knows no framework, allocates nothing, throws nothing.
#pragma once

#include "dense/dense_weights.h"
#include "kernels.h"
#include "parallel.h"
#include "status.h"

namespace smsr {

struct BranchShape {
  int64_t batch, height, width;
  int64_t channels;  // C, a multiple of kLanePadding
  int64_t squeezed;  // Q, a multiple of kLanePadding
};

// All tensors are packed; taps are 3 * ky + kx of 3x3, 2 * dy + dx of 2x2.
struct BranchParams {
  BranchShape shape;
  const float* features;       // [N, H, W, C]
  DenseWeights full;           // [9][C][Q], bias [Q]
  const float* half_weight;    // [9][Q][Q]
  const float* half_bias;      // [Q]
  const float* phases_weight;  // [4][Q][4], phase = 2 * py + px
  const float* phases_bias;    // [4]
  float* margin;               // [N, H, W]
};

// Bytes of scratch memory that mask_branch() needs; 0 where the shape is refused: kBadSize or kBadChannels.
// winograd: whether the full weights were prepared.
size_t branch_workspace_bytes(const BranchShape& shape, bool winograd);

// The result does not depend, bit for bit, on how Parallel spreads the tasks.
Status mask_branch(const BranchParams& params, const Kernels& kernels, const Parallel& parallel,
                   void* workspace, size_t bytes);

}  // namespace smsr
