// The module in double precision, written to be read: what every variant is compared with.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "module/sparse_mask_module.h"
#include "smsr_contract.h"

namespace smsr::reference {

using Doubles = std::vector<double>;  // [H, W, C] of one image

// Inputs of one convolution at one pixel: sums channels [from, to) of each neighbour into output channel `o`.
inline double taps(const Params& p, int64_t layer, const Doubles& in, int64_t y, int64_t x, int64_t o,
                   const std::vector<char>& active, bool with_sparse) {
  const int64_t height = p.shape.height, width = p.shape.width, channels = p.shape.channels;
  const int64_t dense = layer == 0 ? channels : p.dense_channels[layer - 1];
  double sum = 0.0;
  for (int64_t tap = 0; tap < 9; ++tap) {
    const int64_t from_y = y + tap / 3 - 1, from_x = x + tap % 3 - 1;
    if (from_y < 0 || from_y >= height || from_x < 0 || from_x >= width) continue;
    const int64_t pixel = from_y * width + from_x;
    const bool sparse_too = with_sparse && active[static_cast<size_t>(pixel)];
    const int64_t depth = sparse_too || layer == 0 ? channels : dense;
    const float* weights = p.conv_weights + ((layer * 9 + tap) * channels) * channels + o;
    for (int64_t c = 0; c < depth; ++c)
      sum += in[static_cast<size_t>(pixel * channels + c)] * static_cast<double>(weights[c * channels]);
  }
  return sum;
}

inline Doubles convolve(const Params& p, int64_t layer, const Doubles& in, const std::vector<char>& active) {
  const Shape& s = p.shape;
  Doubles out(in.size(), 0.0);
  for (int64_t y = 0; y < s.height; ++y)
    for (int64_t x = 0; x < s.width; ++x) {
      const int64_t pixel = y * s.width + x;
      const bool on = active[static_cast<size_t>(pixel)] != 0;
      const int64_t outputs = on ? s.channels : p.dense_channels[layer];
      for (int64_t o = 0; o < outputs; ++o)
        out[static_cast<size_t>(pixel * s.channels + o)] =
            std::max(0.0, taps(p, layer, in, y, x, o, active, on));
    }
  return out;
}

inline void collect(const Params& p, int64_t layer, const Doubles& in, Doubles* sum) {
  const int64_t channels = p.shape.channels;
  const float* weight = p.collect_weight + layer * channels * channels;
  for (int64_t pixel = 0; pixel < p.shape.height * p.shape.width; ++pixel)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t o = 0; o < channels; ++o)
        (*sum)[static_cast<size_t>(pixel * channels + o)] +=
            in[static_cast<size_t>(pixel * channels + c)] * static_cast<double>(weight[c * channels + o]);
}

// out[o] = bias[o] + sum over i of in[i] * weight[i, o]
inline Doubles fully_connected(const Doubles& in, const float* weight, const float* bias, int64_t outputs) {
  Doubles out(static_cast<size_t>(outputs));
  for (int64_t o = 0; o < outputs; ++o) {
    double sum = static_cast<double>(bias[o]);
    for (size_t i = 0; i < in.size(); ++i)
      sum += in[i] * static_cast<double>(weight[static_cast<int64_t>(i) * outputs + o]);
    out[static_cast<size_t>(o)] = sum;
  }
  return out;
}

inline Doubles attention(const Params& p, const Doubles& collected) {
  const int64_t channels = p.shape.channels, pixels = p.shape.height * p.shape.width;
  Doubles mean(static_cast<size_t>(channels), 0.0);
  for (int64_t i = 0; i < pixels * channels; ++i)
    mean[static_cast<size_t>(i % channels)] +=
        collected[static_cast<size_t>(i)] / static_cast<double>(pixels);
  Doubles squeezed = fully_connected(mean, p.squeeze_weight, p.squeeze_bias,
                                     channels / contract::kChannelAttentionReduction);
  for (double& value : squeezed) value = std::max(0.0, value);
  Doubles scale = fully_connected(squeezed, p.excite_weight, p.excite_bias, channels);
  for (double& value : scale) value = 1.0 / (1.0 + std::exp(-value));
  return scale;
}

// Image n of the batch: the module's output without the residual, [H, W, C].
inline Doubles module_without_residual(const Params& p, int64_t n) {
  const Shape& s = p.shape;
  Doubles layer_in(static_cast<size_t>(s.height * s.width * s.channels)), sum(layer_in.size());
  std::vector<char> active(static_cast<size_t>(s.height * s.width));
  for (int64_t y = 0; y < s.height; ++y)
    for (int64_t x = 0; x < s.width; ++x) {
      const int64_t pixel = y * s.width + x;
      const float margin = p.margin[n * p.margin_image_stride + y * p.margin_row_stride + x];
      active[static_cast<size_t>(pixel)] = margin - p.theta > 0.0f;
      const float* from =
          p.features + n * p.features_image_stride + y * p.features_row_stride + x * s.channels;
      for (int64_t c = 0; c < s.channels; ++c) {
        layer_in[static_cast<size_t>(pixel * s.channels + c)] = static_cast<double>(from[c]);
        sum[static_cast<size_t>(pixel * s.channels + c)] = static_cast<double>(p.collect_bias[c]);
      }
    }
  for (int64_t layer = 0; layer < s.layers; ++layer) {
    layer_in = convolve(p, layer, layer_in, active);
    collect(p, layer, layer_in, &sum);
  }
  const Doubles scale = attention(p, sum);
  for (size_t i = 0; i < sum.size(); ++i) sum[i] *= scale[i % scale.size()];
  return sum;
}

}  // namespace smsr::reference
