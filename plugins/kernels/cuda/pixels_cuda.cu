// The API: checks all arguments, then queues the kernel.
#include "cuda/checks.h"
#include "cuda/launch.h"
#include "cuda/pixels.cuh"
#include "cuda/pixels_cuda.h"

namespace smsr::cuda {
namespace {

Status check(const PixelShape& s, const void* pixels, const void* planes) {
  if (s.height < 1 || s.width < 1 || int64_t{s.height} * s.width > kMaxPixels) return Status::kBadSize;
  if (s.bytes != 1 && s.bytes != 2) return Status::kBadType;
  return is_aligned(pixels, sizeof(uint32)) && is_aligned(planes, sizeof(Vector)) ? Status::kOk
                                                                                  : Status::kBadPointer;
}

// queue(kernel's blocks, pixels, whether planes are whole vectors)
template <class Queue>
Status queued(const PixelShape& s, const Queue& queue) {
  const int count = s.height * s.width;
  constexpr int kPerBlock = kPixelThreads * kPixelsOfThread;
  return status_of(queue((count - 1) / kPerBlock + 1, count, count % kPixelsOfThread == 0));
}

}  // namespace

Status pixels_to_planes(const void* pixels, float* planes, const PixelShape& shape, cudaStream_t stream) {
  const Status status = check(shape, pixels, planes);
  if (status != Status::kOk) return status;
  return queued(shape, [&](int blocks, int count, bool whole) {
    if (shape.bytes == 1)
      return launch(planes_of_pixels<uint8>, blocks, 1, kPixelThreads, 0, stream,
                    static_cast<const uint8*>(pixels), planes, count, whole);
    return launch(planes_of_pixels<uint16>, blocks, 1, kPixelThreads, 0, stream,
                  static_cast<const uint16*>(pixels), planes, count, whole);
  });
}

Status planes_to_pixels(const float* planes, void* pixels, uint32_t* not_finite, const PixelShape& shape,
                        cudaStream_t stream) {
  Status status = check(shape, pixels, planes);
  if (status == Status::kOk && !is_aligned(not_finite, sizeof(uint32))) status = Status::kBadPointer;
  if (status != Status::kOk) return status;
  return queued(shape, [&](int blocks, int count, bool whole) {
    if (shape.bytes == 1)
      return launch(pixels_of_planes<uint8>, blocks, 1, kPixelThreads, 0, stream, planes,
                    static_cast<uint8*>(pixels), not_finite, count, whole);
    return launch(pixels_of_planes<uint16>, blocks, 1, kPixelThreads, 0, stream, planes,
                  static_cast<uint16*>(pixels), not_finite, count, whole);
  });
}

}  // namespace smsr::cuda
