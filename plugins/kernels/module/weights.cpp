#include "module/weights.h"

namespace smsr {

template <>
ModuleWeights<float> weights_of(const Params& params) {
  const int64_t c = params.shape.channels;
  return {params.conv_weights, params.collect_weight, params.prepared_weights, winograd_weights_size(c, c)};
}

// The parts of Params::reduced_weights follow each other.
template <>
ModuleWeights<Reduced> weights_of(const Params& params) {
  const int64_t layers = params.shape.layers, c = params.shape.channels;
  const Reduced* const taps = params.reduced_weights;
  const Reduced* const collect = taps + layers * 9 * c * c;
  return {taps, collect, collect + layers * c * c, reduced_winograd_size(c, c)};
}

int64_t prepared_weights_size(int64_t layers, int64_t channels) {
  return layers * winograd_weights_size(channels, channels);
}

void prepare_weights(const float* conv_weights, int64_t layers, int64_t channels, float* prepared) {
  for (int64_t layer = 0; layer < layers; ++layer)
    winograd_prepare(conv_weights + layer * 9 * channels * channels, channels, channels,
                     prepared + layer * winograd_weights_size(channels, channels));
}

int64_t reduced_weights_size(int64_t layers, int64_t channels) {
  return layers * (10 * channels * channels + reduced_winograd_size(channels, channels));
}

void prepare_reduced_weights(const ReducedKernels& kernels, const float* conv_weights,
                             const float* collect_weight, int64_t layers, int64_t channels,
                             Reduced* prepared) {
  const int64_t size = channels * channels;
  for (int64_t tap = 0; tap < 9 * layers; ++tap, prepared += size)
    pack_reduced(kernels, conv_weights + tap * size, channels, channels, prepared);
  for (int64_t layer = 0; layer < layers; ++layer, prepared += size)
    pack_reduced(kernels, collect_weight + layer * size, channels, channels, prepared);
  for (int64_t layer = 0; layer < layers; ++layer, prepared += reduced_winograd_size(channels, channels))
    winograd_prepare_reduced(kernels, conv_weights + layer * 9 * size, channels, channels, prepared);
}

}  // namespace smsr
