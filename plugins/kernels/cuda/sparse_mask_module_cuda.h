// The sparse mask module on NVIDIA GPUs, without any framework's types. Semantics: docs/design.md and
// smsr/contract.py; the same arithmetic as the module on the CPU.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "smsr_contract.h"
#include "status.h"

namespace smsr::cuda {

namespace op = contract::sparse_mask_module;

enum class Type : int32_t { kFloat32 = 0, kFloat16 = 1 };
// TensorRT's kLINEAR is N C H W; its kHWC8 is N H W C, because C is a multiple of 16.
enum class Layout : int32_t { kNchw = 0, kNhwc = 1 };

constexpr int32_t kMaxBatch = 65535;
constexpr uintptr_t kWorkspaceAlignment = 256;

struct Shape {
  int32_t batch, height, width;  // at most 2^31 - 1 values in batch * height * width * channels
  int32_t channels;              // a multiple of 16, at most contract::kTensorrtMaxChannels
  int32_t layers;                // 1..contract::kTensorrtMaxLayers
  Type type;                     // of every tensor; sums are float32
  Layout layout;                 // of features and output
};

// inputs and output: device pointers to contiguous tensors, aligned to their element type; features and
// output in N H W C to 16 bytes. Shapes, as in the contract:
//   kFeatures       [N, H, W, C] or [N, C, H, W], by layout
//   kMargin         [N, 1, H, W]
//   kTheta          [] a pixel is active where margin - theta > 0 (NaN: inactive)
//   kConvWeights    [L, 9, C in, C out], tap = 3 * ky + kx
//   kCollectWeight  [L * C, C]      kCollectBias  [C]
//   kSqueezeWeight  [C, C / 16]     kSqueezeBias  [C / 16]
//   kExciteWeight   [C / 16, C]     kExciteBias   [C]
struct Params {
  Shape shape;
  const int32_t* dense_channels;    // [L] leading output channels of each layer computed at every pixel; host
                                    // memory, read during the call
  const void* inputs[op::kInputs];  // in the contract's order
  void* output;                     // like features; must not overlap them
};

// One line per status, without a trailing newline. For kLaunchFailed it is CUDA's own text of this thread's
// last error, which is cleared: the CUDA runtime is linked in statically, so that a caller's
// cudaGetLastError() would not return it.
const char* describe(Status status);

// Bytes of scratch memory, determined by the shape alone, no larger for a smaller image; 0 where the shape is
// refused.
size_t workspace_bytes(const Shape& shape);

// Queues the module on `stream`: no host synchronisation, no allocation, nothing read back; may be captured
// in a CUDA graph. The result depends on the inputs only. workspace: `bytes` of device memory, at least
// workspace_bytes(), aligned to kWorkspaceAlignment, any contents. Refused calls queue nothing.
Status sparse_mask_module(const Params& params, void* workspace, size_t bytes, cudaStream_t stream);

}  // namespace smsr::cuda
