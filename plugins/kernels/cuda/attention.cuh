// Channel attention before the collect. It needs the mean of the collect's output; as the mean of a 1x1
// convolution is the 1x1 convolution of the means, the sums that the convolutions write per unit are enough.
// Collect, scale and residual are then one pass over memory.
#pragma once

#include "cuda/types.cuh"

namespace smsr::cuda {

// Few threads read much memory here: each takes 4 channels of several rows at once, and adds in order.
constexpr int kReduceThreads = 256, kReduceRows = 16, kQuad = 4;
constexpr int kReduceShared = kReduceThreads * kQuad * 4;  // bytes

struct ReduceParams {
  const float* unit_sums;     // [L, units_stride, channels]
  float* segment_sums;        // [N, L, kSegments, channels]
  const int* active_units;    // [N + 1] see Plan
  const int* inactive_units;  // [N + 1]
  long long units_stride;
  int batch, layers, channels;
  DenseChannels dense;  // inactive units have sums of these channels only
};

// Adds 4 channels of a segment of rows from..to, beginning at row `ahead` of it, every `step`-th. kept: how
// many of the channels have sums.
SMSR_DEVICE void add_rows(const float* rows, int from, int to, int segment, int channels, int ahead, int step,
                          int kept, float (&sums)[kQuad]) {
  const int count = to - from;
  const int first = from + static_cast<int>(static_cast<long long>(count) * segment / kSegments);
  const int last = from + static_cast<int>(static_cast<long long>(count) * (segment + 1) / kSegments);
  for (int row = first + ahead; row < last; row += kReduceRows * step) {
    Vector values[kReduceRows];  // loaded together, before any is used
#pragma unroll
    for (int i = 0; i < kReduceRows; ++i)
      values[i] = row + i * step < last ? load_weights(reinterpret_cast<const Vector*>(
                                              rows + static_cast<long long>(row + i * step) * channels))
                                        : Vector{{0, 0, 0, 0}};
#pragma unroll
    for (int i = 0; i < kReduceRows; ++i) {
      keep_leading(&values[i], kept, float());
#pragma unroll
      for (int c = 0; c < kQuad; ++c) sums[c] += bits_float(values[i].word[c]);
    }
  }
}

// One block of kReduceThreads: segment `index` of [N, L, kSegments], in an order that the number of units
// determines. shared [kReduceThreads * kQuad]
SMSR_DEVICE void reduce_segment(const ReduceParams& p, int index, float* shared) {
  const int segment = index % kSegments, layer = index / kSegments % p.layers;
  const int image = index / kSegments / p.layers;
  const int quads = p.channels / kQuad, lanes = kReduceThreads / quads;  // rows read together
  const int channel = thread_index() % quads * kQuad, ahead = thread_index() / quads;
  float sums[kQuad] = {0.0f, 0.0f, 0.0f, 0.0f};
  if (ahead < lanes) {
    const float* rows = p.unit_sums + layer * p.units_stride * p.channels + channel;
    add_rows(rows, p.active_units[image], p.active_units[image + 1], segment, p.channels, ahead, lanes, kQuad,
             sums);
    const int kept = dense_of(p.dense, layer) - channel, behind = p.active_units[p.batch];
    if (kept > 0)
      add_rows(rows, behind + p.inactive_units[image], behind + p.inactive_units[image + 1], segment,
               p.channels, ahead, lanes, kept, sums);
  }
#pragma unroll
  for (int c = 0; c < kQuad; ++c) shared[thread_index() * kQuad + c] = sums[c];
  sync_block();
  if (thread_index() >= p.channels) return;
  float sum = 0.0f;
  for (int i = 0; i < lanes; ++i) sum += shared[i * p.channels + thread_index()];
  p.segment_sums[static_cast<long long>(index) * p.channels + thread_index()] = sum;
}

// Blocks [N * L * kSegments].
[[maybe_unused]] static SMSR_KERNEL(kReduceThreads, 1) void reduce_units(ReduceParams p) {
  reduce_segment(p, block_x(), static_cast<float*>(shared_memory()));
}

struct AttentionParams {
  const float* segment_sums;   // [N, L, kSegments, channels]
  const void* collect_weight;  // [L * channels, channels]
  const void* collect_bias;    // [channels]
  const void* squeeze_weight;  // [channels, channels / 16]
  const void* squeeze_bias;    // [channels / 16]
  const void* excite_weight;   // [channels / 16, channels]
  const void* excite_bias;     // [channels]
  float* scale;                // [N, channels]
  int layers, channels;
  float pixels;  // of an image
};

constexpr int kAttentionThreads = 256;
static_assert(kAttentionThreads >= kMaxChannels, "a thread per channel");
SMSR_HOST_DEVICE int attention_floats(int layers, int channels) {
  return (layers + 1) * channels + channels / kReduction + kAttentionThreads;
}

// The product of means and collect in as many parts [.., C] as there are threads for: each loads its weights
// at once.
template <class T>
SMSR_DEVICE void sum_collected(const AttentionParams& p, const float* means, float* parts) {
  const int c = p.channels, number = kAttentionThreads / c, part = thread_index() / c;
  if (part >= number) return;
  const int channel = thread_index() % c, count = p.layers * c;
  float sum = 0.0f;
#pragma unroll 32
  for (int k = count * part / number; k < count * (part + 1) / number; ++k)
    sum = multiply_add(means[k], to_float(static_cast<const T*>(p.collect_weight)[k * c + channel]), sum);
  parts[thread_index()] = sum;
}

// A warp for each of the squeezed channels.
template <class T>
SMSR_DEVICE void squeeze(const AttentionParams& p, const float* collected, float* squeezed) {
  const int reduced = p.channels / kReduction, lane = thread_index() % kWarpSize;
  for (int channel = thread_index() / kWarpSize; channel < reduced;
       channel += kAttentionThreads / kWarpSize) {
    float sum = 0.0f;
#pragma unroll 4
    for (int k = lane; k < p.channels; k += kWarpSize)
      sum = multiply_add(collected[k],
                         to_float(static_cast<const T*>(p.squeeze_weight)[k * reduced + channel]), sum);
    for (int mask = 1; mask < kWarpSize; mask *= 2) sum += shuffle_xor(sum, mask);
    sum += to_float(static_cast<const T*>(p.squeeze_bias)[channel]);
    if (lane == 0) squeezed[channel] = sum < 0.0f ? 0.0f : sum;
  }
}

// One block of kAttentionThreads. shared [attention_floats()]
template <class T>
SMSR_DEVICE void attend_image(const AttentionParams& p, int image, float* shared) {
  const int c = p.channels, reduced = c / kReduction, channel = thread_index();
  float* means = shared;                    // [L * C] means of the layers' outputs
  float* collected = means + p.layers * c;  // [C]
  float* squeezed = collected + c;          // [C / 16]
  float* parts = squeezed + reduced;        // [kAttentionThreads]
  for (int i = thread_index(); i < p.layers * c; i += kAttentionThreads) {
    const float* from =
        p.segment_sums + (static_cast<long long>(image) * p.layers + i / c) * kSegments * c + i % c;
    float sum = 0.0f;
#pragma unroll
    for (int segment = 0; segment < kSegments; ++segment) sum += from[segment * c];
    means[i] = sum / p.pixels;
  }
  sync_block();
  sum_collected<T>(p, means, parts);
  sync_block();
  if (channel < c) {
    float sum = to_float(static_cast<const T*>(p.collect_bias)[channel]);
    for (int part = 0; part < kAttentionThreads / c; ++part) sum += parts[part * c + channel];
    collected[channel] = sum;
  }
  sync_block();
  squeeze<T>(p, collected, squeezed);
  sync_block();
  if (channel < c) {
    float sum = to_float(static_cast<const T*>(p.excite_bias)[channel]);
    for (int k = 0; k < reduced; ++k)
      sum = multiply_add(squeezed[k], to_float(static_cast<const T*>(p.excite_weight)[k * c + channel]), sum);
    p.scale[image * c + channel] = 1.0f / (1.0f + exponential(-sum));
  }
}

// Brings the weights closer, of T = Half, for whoever will compute a scale.
SMSR_DEVICE void prefetch_weights(const AttentionParams& p) {
  const int bytes = 2 * p.channels * p.channels * p.layers;
  for (int i = 128 * thread_index(); i < bytes; i += 128 * kAttentionThreads)
    prefetch(static_cast<const char*>(p.collect_weight) + i);
}

// Blocks [N].
template <class T>
SMSR_KERNEL(kAttentionThreads, 1)
void attend(AttentionParams p) {
  attend_image<T>(p, block_x(), static_cast<float*>(shared_memory()));
}

}  // namespace smsr::cuda
