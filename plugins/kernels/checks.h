// What the operators' checks of their parameters share.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace smsr {

// At least one pixel; at most 2^31 - 1 of them in an image: see Pixel.
inline bool good_image(int64_t batch, int64_t height, int64_t width) {
  return batch > 0 && height > 0 && width > 0 && height <= INT64_C(0x7fffffff) / width;
}

inline bool good_channels(int64_t channels) { return channels > 0 && channels % 16 == 0; }

inline bool any_null(std::initializer_list<const void*> pointers) {
  for (const void* pointer : pointers)
    if (pointer == nullptr) return true;
  return false;
}

}  // namespace smsr
