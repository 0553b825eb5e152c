// The mask branch on NVIDIA GPUs, without any framework's types: 3x3 convolution C -> Q, ReLU, 2x2 average,
// 3x3 convolution Q -> Q on half the size, ReLU, four phases of a 2x2 convolution, interleaved. Semantics:
// smsr/contract.py; the same operator as dense/mask_branch.h on the CPU. Not yet measured on a GPU.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "smsr_contract.h"
#include "status.h"

namespace smsr::cuda {

// At most 2^31 - 1 values in batch * height * width * channels, batch at most kMaxBatch of
// sparse_mask_module_cuda.h.
struct BranchShape {
  int32_t batch, height, width;
  int32_t channels;  // C, a multiple of 16, at most contract::kTensorrtMaxChannels
  int32_t squeezed;  // Q, C / 4 rounded up to a multiple of 16
};

// Device pointers to contiguous float16 tensors in the contract's shapes: features [N, H, W, C], aligned to
// 16 bytes, weights [9, C, Q], [9, Q, Q], [4, Q, 4], their biases [Q], [Q], [4]; all others aligned to 2
// bytes.
struct BranchParams {
  BranchShape shape;
  const void* inputs[contract::mask_branch::kInputs];  // in the contract's order
  void* margin;                                        // [N, 1, H, W]; must not overlap the features
};

// Bytes of scratch memory, no more for a smaller image; 0 where the shape is refused.
size_t branch_workspace_bytes(const BranchShape& shape);

// Queues two launches on `stream`: no host synchronisation, no allocation; may be captured in a CUDA graph.
// Needs compute capability 7.5 (kBadDevice). workspace: as for sparse_mask_module(). Refused calls queue
// nothing.
Status mask_branch(const BranchParams& params, void* workspace, size_t bytes, cudaStream_t stream);

}  // namespace smsr::cuda
