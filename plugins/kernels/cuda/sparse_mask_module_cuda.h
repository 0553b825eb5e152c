// The sparse mask module on NVIDIA GPUs: C launch API, no framework's types. Semantics: DESIGN 2,
// smsr/contract.py; the same arithmetic as ../sparse_mask_module.h on the CPU.
#pragma once

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  SMSR_CUDA_OK = 0,
  SMSR_CUDA_BAD_SIZE,      // a size below 1, batch above SMSR_CUDA_MAX_BATCH, more than 2^31 - 1 elements
  SMSR_CUDA_BAD_CHANNELS,  // C is no positive multiple of 16, or above SMSR_CUDA_MAX_CHANNELS
  SMSR_CUDA_BAD_LAYERS,    // L is outside 1..SMSR_CUDA_MAX_LAYERS
  SMSR_CUDA_BAD_DENSE_CHANNELS,  // a count outside 0..C
  SMSR_CUDA_BAD_POINTER,         // a pointer is null, or not aligned as below
  SMSR_CUDA_SMALL_WORKSPACE,     // fewer bytes than smsr_cuda_workspace_bytes says
  SMSR_CUDA_BAD_DEVICE,          // the GPU is older than compute capability 7.2, or has no code in this build
  SMSR_CUDA_LAUNCH_FAILED,       // CUDA refused: smsr_cuda_describe() has its words
  SMSR_CUDA_BAD_TYPE             // type or layout is none of those below
} smsr_cuda_status;

typedef enum { SMSR_CUDA_FLOAT32 = 0, SMSR_CUDA_FLOAT16 = 1 } smsr_cuda_type;
// TensorRT's kLINEAR is NCHW; its kHWC8 is NHWC, since C is a multiple of 16.
typedef enum { SMSR_CUDA_NCHW = 0, SMSR_CUDA_NHWC = 1 } smsr_cuda_layout;

enum { SMSR_CUDA_MAX_CHANNELS = 128, SMSR_CUDA_MAX_LAYERS = 8, SMSR_CUDA_MAX_BATCH = 65535 };

typedef struct {
  int32_t batch, height, width, channels, layers;
  smsr_cuda_type type;      // of every tensor below; sums are float32
  smsr_cuda_layout layout;  // of features and output
} smsr_cuda_shape;

// Device pointers, dense (no strides), aligned to their type's size; features and output in NHWC to 16 bytes.
// dense_channels is host memory, read during the call.
typedef struct {
  smsr_cuda_shape shape;
  const int32_t* dense_channels;  // [L] leading outputs of each layer computed on every pixel
  const void* features;           // [N, H, W, C] or [N, C, H, W]
  const void* margin;             // [N, 1, H, W]
  const void* theta;              // [] a pixel is active where margin - theta > 0 (NaN: inactive)
  const void* conv_weights;       // [L, 9, C in, C out], tap = 3 * ky + kx
  const void* collect_weight;     // [L * C, C]
  const void* collect_bias;       // [C]
  const void* squeeze_weight;     // [C, C / 16]
  const void* squeeze_bias;       // [C / 16]
  const void* excite_weight;      // [C / 16, C]
  const void* excite_bias;        // [C]
  void* output;                   // as features; must not overlap them
} smsr_cuda_module;

// One text per status, without a trailing newline. Of SMSR_CUDA_LAUNCH_FAILED it is CUDA's, of this thread's
// last error, which is forgotten: our CUDA runtime is linked in, so no caller's cudaGetLastError() would see
// it.
const char* smsr_cuda_describe(smsr_cuda_status status);

// Bytes of scratch memory from the shape alone, no larger for a smaller image; 0 where the shape is refused.
size_t smsr_cuda_workspace_bytes(const smsr_cuda_shape* shape);

// Queues the module on `stream`: no host synchronisation, no allocation, nothing read back; may be captured
// in a CUDA graph. Results do not depend on anything but the inputs. workspace: aligned to 256 bytes, any
// contents.
smsr_cuda_status smsr_cuda_sparse_mask_module(const smsr_cuda_module* module, void* workspace, size_t bytes,
                                              cudaStream_t stream);

#ifdef __cplusplus
}  // extern "C"
#endif
