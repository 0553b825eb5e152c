// What smsr_runtime's TensorRT backend calls around an engine, by ctypes: plain C, so that one signature
// serves every TensorRT. Null, or one line that says what was refused.
#include "cuda/pixels_cuda.h"
#include "module_core.h"

namespace {

const char* text(smsr::Status status) {
  return status == smsr::Status::kOk ? nullptr : smsr::cuda::describe(status);
}

}  // namespace

SMSR_EXPORT const char* smsr_pixels_to_planes(const void* pixels, float* planes, int32_t height,
                                              int32_t width, int32_t bytes, cudaStream_t stream) {
  return text(smsr::cuda::pixels_to_planes(pixels, planes, {height, width, bytes}, stream));
}

SMSR_EXPORT const char* smsr_planes_to_pixels(const float* planes, void* pixels, uint32_t* not_finite,
                                              int32_t height, int32_t width, int32_t bytes,
                                              cudaStream_t stream) {
  return text(smsr::cuda::planes_to_pixels(planes, pixels, not_finite, {height, width, bytes}, stream));
}
