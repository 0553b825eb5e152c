// Pictures and feature maps as the kernels see them.
#pragma once

#include <cstdint>

namespace smsr {

using Reduced = uint16_t;  // the bits of a bfloat16 or float16

// Rows of pixels, C numbers per pixel: a whole image, or a ring that holds the latest `ring` rows.
template <class T>
struct RowsOf {
  T* data;
  int64_t stride;  // elements between rows
  int64_t ring;
  T* row(int64_t y) const { return data + (y % ring) * stride; }
};
using Rows = RowsOf<float>;
using ConstRows = RowsOf<const float>;

template <class T>
RowsOf<const T> read_only(const RowsOf<T>& rows) {
  return {rows.data, rows.stride, rows.ring};
}

// What a 3x3 convolution reads: zeros surround the image.
template <class T>
struct PaddedImageOf {
  int64_t height, width, channels;
  RowsOf<const T> rows;  // [H, W, C]
  const T* zeros;        // [C], read in place of pixels outside the image
};

}  // namespace smsr
