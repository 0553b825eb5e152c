// Convolutions of every pixel on the CPU: 3x3 with zeros around the image or 1x1, bias, ReLU, addend.
// Knows no framework, allocates nothing, throws nothing. Semantics: smsr/contract.py.
#pragma once

#include "dense/dense_weights.h"
#include "kernels.h"
#include "parallel.h"
#include "status.h"

namespace smsr {

struct DenseShape {
  int64_t batch, height, width;
  int64_t inputs;   // any number
  int64_t outputs;  // a multiple of kLanePadding
  int taps;         // 9 or 1
};

// All tensors are packed.
struct DenseParams {
  DenseShape shape;
  bool relu;
  const float* features;  // [N, H, W, I]
  DenseWeights weights;   // [taps][I][O]
  const float* addend;    // [N, H, W, O] or null; may be `output`
  float* output;          // [N, H, W, O], must not overlap features
};

// Bytes of scratch memory that dense_convolution() needs; 0 where the shape is refused: kBadSize or
// kBadChannels (outputs). winograd: whether the weights were prepared.
size_t dense_workspace_bytes(const DenseShape& shape, bool winograd);

// The result does not depend, bit for bit, on how Parallel spreads the tasks.
Status dense_convolution(const DenseParams& params, const Kernels& kernels, const Parallel& parallel,
                         void* workspace, size_t bytes);

}  // namespace smsr
