// Pixels as files hold them and planes as engines read and write them, converted on the GPU: the CPU passes
// over neither, and 1 or 2 bytes of a number travel instead of 4. The same numbers as
// smsr_runtime/session.py. Not yet run on a GPU.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "status.h"

namespace smsr::cuda {

// One image, at most kMaxPixels. bytes: of each number, 1 (levels 0..255) or 2 (0..65535, 257 for each of
// 255).
struct PixelShape {
  int32_t height, width, bytes;
};
constexpr int64_t kMaxPixels = 2147483647 / 3;

// Both queue one launch on `stream`: no host synchronisation, no allocation; may be captured in a CUDA graph.
// Refused calls queue nothing. pixels: [H, W, 3], aligned to 4 bytes; planes: [3, H, W], aligned to 16,
// levels 0..255.
Status pixels_to_planes(const void* pixels, float* planes, const PixelShape& shape, cudaStream_t stream);

// Clamps to 0..255, rounds half to even. not_finite: set to 1 where a number is NaN or infinite, else left as
// it is.
Status planes_to_pixels(const float* planes, void* pixels, uint32_t* not_finite, const PixelShape& shape,
                        cudaStream_t stream);

}  // namespace smsr::cuda
