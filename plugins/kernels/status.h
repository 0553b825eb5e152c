// What every kernel returns, on the CPU and in CUDA. C++14, which is the newest that old releases of nvcc
// know.
#pragma once

namespace smsr {

enum class Status {
  kOk = 0,
  kBadSize,           // a size below 1, more pixels or values than can be indexed, taps other than 9 or 1
  kBadChannels,       // C is not a positive multiple of 16, or above 65536 or what the GPU kernels support
  kBadLayers,         // L below 1, or above 1000 or what the GPU kernels support
  kBadDenseChannels,  // a count outside 0..C
  kBadStride,         // rows or images that overlap each other, or that no memory holds
  kBadType,           // an unknown type or layout
  kBadPointer,        // a pointer is null or not aligned
  kOverlap,           // the output lies where the features are
  kNoWinograd,        // weights prepared for Winograd, for a convolution that it cannot compute
  kNoReducedKernels,  // weights of reduced precision, for kernels that have none for it
  kSmallWorkspace,    // fewer bytes of scratch memory than the kernel needs
  kBadKernel,         // SMSR_CUDA_KERNEL names none, or one that this GPU or type lacks
  kBadDevice,         // a GPU that is too old, or that this build has no code for
  kLaunchFailed       // CUDA refused; smsr::cuda::describe() has CUDA's own words
};

// One line per status, without a trailing newline: what was expected.
inline const char* describe(Status status) {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kBadSize:
      return "sizes: expected at least 1, at most 2^31 - 1 pixels per image, 2^40 in all, 65536 inputs (GPU: "
             "2^31 - 1 values in all, and batch 65535), 9 or 1 taps";
    case Status::kBadChannels:
      return "channels: expected a positive multiple of 16, at most 65536 (GPU: 128)";
    case Status::kBadLayers:
      return "layers: expected 1 to 1000 (GPU: to 8)";
    case Status::kBadDenseChannels:
      return "dense_channels: expected 0 to channels in every layer";
    case Status::kBadStride:
      return "strides: expected rows and images at least as far apart as they are long, 2^58 elements in all "
             "at most";
    case Status::kBadType:
      return "type, layout: expected float32 or float16, NCHW or NHWC";
    case Status::kBadPointer:
      return "pointers: expected none null (GPU: tensors aligned to their type, NHWC to 16 bytes, the "
             "workspace to 256)";
    case Status::kOverlap:
      return "output: expected memory apart from the features";
    case Status::kNoWinograd:
      return "prepared weights: expected none, Winograd needs 9 taps and input channels in multiples of 16";
    case Status::kNoReducedKernels:
      return "reduced weights: expected none, these kernels compute in float32 only";
    case Status::kSmallWorkspace:
      return "workspace: expected as many bytes as its size function returns";
    case Status::kBadKernel:
      return "SMSR_CUDA_KERNEL: expected gather, or staged with float16 on compute capability 8.0 or newer; "
             "unset it for the default";
    case Status::kBadDevice:
      return "GPU: expected compute capability 7.2 or newer, and one that this build has code for";
    case Status::kLaunchFailed:
      return "launch: expected success, CUDA refused";
  }
  return "unknown status";
}

}  // namespace smsr
