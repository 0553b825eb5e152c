// Convolutions of every pixel on the CPU: 3x3 with zeros around the image or 1x1, bias, ReLU, addend.
// Knows no framework, allocates nothing, throws nothing. Semantics: smsr/contract.py.
#pragma once

#include "sparse_mask_module.h"

namespace smsr {

struct DenseShape {
  int64_t batch, height, width;
  int64_t inputs;   // any number
  int64_t outputs;  // a multiple of 16
  int taps;         // 9 or 1
};

// All tensors are packed.
struct DenseParams {
  DenseShape shape;
  bool relu;
  const float* features;    // [N, H, W, I]
  const float* weight;      // [taps, I, O], tap = 3 * ky + kx
  const float* prepared;    // of prepare_dense_weights(), or null: the direct convolution runs
  const uint16_t* reduced;  // of prepare_reduced_dense_weights(), or null; goes before `prepared`
  const float* bias;        // [O]
  const float* addend;      // [N, H, W, O] or null; may be `output`
  float* output;            // [N, H, W, O], must not overlap features
};

// Floats of the weights as Winograd's convolution wants them; 0 where only the direct convolution can run.
int64_t prepared_dense_weights(int64_t inputs, int64_t outputs, int taps);
void prepare_dense_weights(const float* weight, int64_t inputs, int64_t outputs, float* prepared);

// The same for multiplicands of reduced precision, as kernels.reduced multiplies them.
int64_t reduced_dense_weights(int64_t inputs, int64_t outputs, int taps);
void prepare_reduced_dense_weights(const ReducedKernels& kernels, const float* weight, int64_t inputs,
                                   int64_t outputs, uint16_t* prepared);

// Bytes of scratch memory dense_convolution() needs, with prepared weights or without; 0 where the shape is
// refused: kBadSize or kBadChannels (outputs). `prepared`: of either kind.
size_t dense_workspace_bytes(const DenseShape& shape, bool prepared);

// The result does not depend, bit for bit, on how Parallel spreads the tasks.
Status dense_convolution(const DenseParams& params, const Kernels& kernels, const Parallel& parallel,
                         void* workspace, size_t bytes);

}  // namespace smsr
