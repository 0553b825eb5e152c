// Dense convolutions and the mask branch in double precision, written to be read.
#pragma once

#include <algorithm>
#include <vector>

#include "dense/dense_convolution.h"
#include "dense/mask_branch.h"

namespace smsr::reference {

using Doubles = std::vector<double>;

// One image [height, width, channels].
struct Image {
  int64_t height, width, channels;
  Doubles values;
  Image(int64_t h, int64_t w, int64_t c)
      : height(h), width(w), channels(c), values(static_cast<size_t>(h * w * c)) {}
  double& at(int64_t y, int64_t x, int64_t c) {
    return values[static_cast<size_t>((y * width + x) * channels + c)];
  }
  // Zero outside.
  double get(int64_t y, int64_t x, int64_t c) const {
    if (y < 0 || y >= height || x < 0 || x >= width) return 0.0;
    return values[static_cast<size_t>((y * width + x) * channels + c)];
  }
};

// A square convolution of `taps` taps whose first one lies `before` pixels above and left; weight
// [taps][I][O].
inline Image convolve(const Image& in, const float* weight, const float* bias, int64_t outputs, int64_t taps,
                      int64_t before) {
  const int64_t side = taps == 9 ? 3 : taps == 4 ? 2 : 1;
  Image out(in.height, in.width, outputs);
  for (int64_t y = 0; y < in.height; ++y)
    for (int64_t x = 0; x < in.width; ++x)
      for (int64_t o = 0; o < outputs; ++o) {
        double sum = static_cast<double>(bias[o]);
        for (int64_t tap = 0; tap < taps; ++tap)
          for (int64_t i = 0; i < in.channels; ++i)
            sum += in.get(y + tap / side - before, x + tap % side - before, i) *
                   static_cast<double>(weight[(tap * in.channels + i) * outputs + o]);
        out.at(y, x, o) = sum;
      }
  return out;
}

inline void relu(Image* image) {
  for (double& value : image->values) value = std::max(0.0, value);
}

// Average of 2x2 pixels; the last row and column are repeated where they are odd.
inline Image pool(const Image& in) {
  Image out((in.height + 1) / 2, (in.width + 1) / 2, in.channels);
  for (int64_t y = 0; y < out.height; ++y)
    for (int64_t x = 0; x < out.width; ++x)
      for (int64_t c = 0; c < in.channels; ++c) {
        double sum = 0.0;
        for (int64_t k = 0; k < 4; ++k)
          sum += in.get(std::min(2 * y + k / 2, in.height - 1), std::min(2 * x + k % 2, in.width - 1), c);
        out.at(y, x, c) = sum / 4.0;
      }
  return out;
}

inline Image image_of(const float* from, int64_t height, int64_t width, int64_t channels) {
  Image image(height, width, channels);
  std::copy_n(from, image.values.size(), image.values.begin());
  return image;
}

// Image n of the batch, [H, W, O].
inline Doubles dense_convolution(const DenseParams& p, int64_t n) {
  const DenseShape& s = p.shape;
  const int64_t pixels = s.height * s.width;
  const Image in = image_of(p.features + n * pixels * s.inputs, s.height, s.width, s.inputs);
  Image out = convolve(in, p.weights.plain, p.weights.bias, s.outputs, s.taps, s.taps == 9 ? 1 : 0);
  if (p.addend != nullptr)
    for (size_t i = 0; i < out.values.size(); ++i)
      out.values[i] += static_cast<double>(p.addend[n * pixels * s.outputs + static_cast<int64_t>(i)]);
  if (p.relu) relu(&out);
  return out.values;
}

// Image n of the batch, [H, W].
inline Doubles mask_branch(const BranchParams& p, int64_t n) {
  const BranchShape& s = p.shape;
  const int64_t pixels = s.height * s.width;
  const Image in = image_of(p.features + n * pixels * s.channels, s.height, s.width, s.channels);
  Image full = convolve(in, p.full.plain, p.full.bias, s.squeezed, 9, 1);
  relu(&full);
  Image half = convolve(pool(full), p.half_weight, p.half_bias, s.squeezed, 9, 1);
  relu(&half);
  const Image phases = convolve(half, p.phases_weight, p.phases_bias, 4, 4, 0);
  Image margin(s.height, s.width, 1);
  for (int64_t y = 0; y < s.height; ++y)
    for (int64_t x = 0; x < s.width; ++x) margin.at(y, x, 0) = phases.get(y / 2, x / 2, 2 * (y % 2) + x % 2);
  return margin.values;
}

}  // namespace smsr::reference
