// What the kernels' checks of their parameters share.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "smsr_contract.h"
#include "status.h"

namespace smsr {

// Bounds above all that fits into memory, so that no product of sizes overflows, in bytes either.
constexpr int64_t kMostBatchPixels = INT64_C(1) << 40, kMostElements = INT64_C(1) << 58;
constexpr int64_t kMostChannels = 1 << 16, kMostLayers = 1000;

// At least one pixel; at most 2^31 - 1 of them in an image: see Pixel.
inline bool good_image(int64_t batch, int64_t height, int64_t width) {
  return batch > 0 && height > 0 && width > 0 && height <= INT64_C(0x7fffffff) / width &&
         batch <= kMostBatchPixels / (height * width);
}

inline bool good_channels(int64_t channels) {
  return channels > 0 && channels <= kMostChannels && channels % contract::kLanePadding == 0;
}

// Whether `count` parts of `size` elements are apart, `stride` from one's begin to the next one's.
inline bool good_stride(int64_t count, int64_t size, int64_t stride) {
  return stride >= size && stride <= kMostElements / count;
}

inline bool any_null(std::initializer_list<const void*> pointers) {
  for (const void* pointer : pointers)
    if (pointer == nullptr) return true;
  return false;
}

// Whether `counts` floats from the two pointers on share memory.
inline bool overlap(const float* a, int64_t a_count, const float* b, int64_t b_count) {
  const auto address = [](const float* pointer) { return reinterpret_cast<uintptr_t>(pointer); };
  return address(a) < address(b + b_count) && address(b) < address(a + a_count);
}

}  // namespace smsr
