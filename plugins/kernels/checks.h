// What the kernels' checks of their parameters share.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "smsr_contract.h"
#include "status.h"

namespace smsr {

// At least one pixel; at most 2^31 - 1 of them in an image: see Pixel.
inline bool good_image(int64_t batch, int64_t height, int64_t width) {
  return batch > 0 && height > 0 && width > 0 && height <= INT64_C(0x7fffffff) / width;
}

inline bool good_channels(int64_t channels) { return channels > 0 && channels % contract::kLanePadding == 0; }

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
