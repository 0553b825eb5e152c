// Channel attention before the collect. It needs the mean of the collect's output; as the mean of a 1x1
// convolution is the 1x1 convolution of the means, the sums that the convolutions write per unit are enough.
// Collect, scale and residual are then one pass over memory.
#pragma once

#include "cuda/types.cuh"

namespace smsr::cuda {

// Few threads read much memory here: unrolled loops have many loads in flight, and still add in order.
constexpr int kReduceThreads = 256, kReduceRows = 16;

struct ReduceParams {
  const float* unit_sums;     // [L, units_stride, channels]
  float* segment_sums;        // [N, L, kSegments, channels]
  const int* active_units;    // [N + 1] see Plan
  const int* inactive_units;  // [N + 1]
  long long units_stride;
  int batch, layers, channels;
  int units_per_image;  // staged kernels: of active and inactive pixels together; else 0, see the plan
  DenseChannels dense;  // inactive units have sums of these channels only
};

// Sum of one channel over a segment of rows from..to, beginning at row `ahead` of it, every `step`-th.
SMSR_DEVICE float sum_rows(const float* rows, int from, int to, int segment, int channels, int channel,
                           int ahead, int step) {
  const int count = to - from;
  const int first = from + static_cast<int>(static_cast<long long>(count) * segment / kSegments);
  const int last = from + static_cast<int>(static_cast<long long>(count) * (segment + 1) / kSegments);
  float sum = 0.0f;
  for (int row = first + ahead; row < last; row += kReduceRows * step)
#pragma unroll
    for (int i = 0; i < kReduceRows; ++i)
      if (row + i * step < last) sum += rows[static_cast<long long>(row + i * step) * channels + channel];
  return sum;
}

// One block of kReduceThreads: segment `index` of [N, L, kSegments], in an order that the number of units
// determines. shared [kReduceThreads]
SMSR_DEVICE void reduce_segment(const ReduceParams& p, int index, float* shared) {
  const int segment = index % kSegments, layer = index / kSegments % p.layers;
  const int image = index / kSegments / p.layers;
  const int lanes = kReduceThreads / p.channels;  // rows read together
  const int channel = thread_index() % p.channels, ahead = thread_index() / p.channels;
  float sum = 0.0f;
  if (ahead < lanes) {
    const float* rows = p.unit_sums + layer * p.units_stride * p.channels;
    const bool fixed = p.units_per_image > 0;
    const int from = fixed ? image * p.units_per_image : p.active_units[image];
    const int to = fixed ? from + p.units_per_image : p.active_units[image + 1];
    sum = sum_rows(rows, from, to, segment, p.channels, channel, ahead, lanes);
    if (!fixed && channel < dense_of(p.dense, layer)) {
      const int behind = p.active_units[p.batch];
      sum += sum_rows(rows, behind + p.inactive_units[image], behind + p.inactive_units[image + 1], segment,
                      p.channels, channel, ahead, lanes);
    }
  }
  shared[thread_index()] = sum;
  sync_block();
  if (ahead != 0) return;
  for (int i = 1; i < lanes; ++i) sum += shared[i * p.channels + channel];
  p.segment_sums[static_cast<long long>(index) * p.channels + channel] = sum;
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
#pragma unroll 16
  for (int k = count * part / number; k < count * (part + 1) / number; ++k)
    sum = multiply_add(means[k], to_float(static_cast<const T*>(p.collect_weight)[k * c + channel]), sum);
  parts[thread_index()] = sum;
}

// One block of kAttentionThreads. shared [attention_floats()]
template <class T>
SMSR_DEVICE void attend_image(const AttentionParams& p, int image, float* shared) {
  const int c = p.channels, reduced = c / kReduction, channel = thread_index();
  float* means = shared;                    // [L * C] means of the layers' outputs
  float* collected = means + p.layers * c;  // [C]
  float* squeezed = collected + c;          // [C / 16]
  float* parts = squeezed + reduced;        // [kAttentionThreads]
  if (channel < c)
    for (int layer = 0; layer < p.layers; ++layer) {
      const float* from = p.segment_sums + (static_cast<long long>(image) * p.layers + layer) * kSegments * c;
      float sum = 0.0f;
#pragma unroll
      for (int segment = 0; segment < kSegments; ++segment) sum += from[segment * c + channel];
      means[layer * c + channel] = sum / p.pixels;
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
  if (channel < reduced) {
    float sum = to_float(static_cast<const T*>(p.squeeze_bias)[channel]);
#pragma unroll 16
    for (int k = 0; k < c; ++k)
      sum = multiply_add(collected[k],
                         to_float(static_cast<const T*>(p.squeeze_weight)[k * reduced + channel]), sum);
    squeezed[channel] = sum < 0.0f ? 0.0f : sum;
  }
  sync_block();
  if (channel < c) {
    float sum = to_float(static_cast<const T*>(p.excite_bias)[channel]);
    for (int k = 0; k < reduced; ++k)
      sum = multiply_add(squeezed[k], to_float(static_cast<const T*>(p.excite_weight)[k * c + channel]), sum);
    p.scale[image * c + channel] = 1.0f / (1.0f + exponential(-sum));
  }
}

// Blocks [N].
template <class T>
SMSR_KERNEL(kAttentionThreads, 1)
void attend(AttentionParams p) {
  attend_image<T>(p, block_x(), static_cast<float*>(shared_memory()));
}

}  // namespace smsr::cuda
