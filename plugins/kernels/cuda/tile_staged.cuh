// The staged kernel's sums: up to 64 pixels, whose inputs lie in shared memory, times output channels. sm_80
// and newer.
#pragma once

#include "cuda/types.cuh"

namespace smsr::cuda {

// How its weights are packed, 32 input channels after the other: [2 steps of 16 of them, 4 times 16 output
// channels, 32 lanes, 4 registers of mma's A, 2 numbers]. Register r holds output channel 16 m + 2 g + r % 2,
// input channels 2 t + 8 (r / 2) and the next, of lane 4 g + t.
struct StagedTile {
  using Type = Half;
  static constexpr int kDepth = 32, kSteps = kDepth / 16, kColumns = 64;
  static constexpr int kStepVectors = 16 * kColumns * 2 / 16, kVectors = kSteps * kStepVectors;

  static SMSR_DEVICE void packed_place(int offset, int* depth, int* column) {
    const int odd = offset % 2, word = offset / 2 % 4, lane = offset / 8 % 32, step = offset / 1024;
    *depth = 16 * step + 2 * (lane % 4) + 8 * (word / 2) + odd;
    *column = 16 * (offset / 256 % 4) + 2 * (lane / 4) + word % 2;
  }
};

// Inputs of a step: of pixels 16 p + 8 n + g, channels 8 r + 2 t and the next in [p][2 n + r].
template <int kPairs>
using StepInputs = uint32[kPairs][4];

template <int kPairs>
SMSR_DEVICE void copy_inputs(const StepInputs<kPairs>& from, StepInputs<kPairs>* to) {
#pragma unroll
  for (int pair = 0; pair < kPairs; ++pair)
#pragma unroll
    for (int i = 0; i < 4; ++i) (*to)[pair][i] = from[pair][i];
}

// Pixels are the columns of mma's B and D, 8 of them in each product; output channels the rows of A and D.
template <int kTiles, int kPairs>
class StagedSums {
 public:
  SMSR_DEVICE StagedSums() : lane_(thread_index() % kWarpSize) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int n = 0; n < 2 * kPairs; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) sums_[m][n][i] = 0.0f;
  }

  // Adds 16 input channels to 16 output channels. All lanes together.
  SMSR_DEVICE void multiply(int m, const Vector& weights, const StepInputs<kPairs>& in) {
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair)
#pragma unroll
      for (int n = 0; n < 2; ++n)
        multiply_16x8x16(sums_[m][2 * pair + n], weights.word[0], weights.word[1], weights.word[2],
                         weights.word[3], in[pair][2 * n], in[pair][2 * n + 1]);
  }

  // Weights that add input channel c of a step to output channel 16 m + c.
  SMSR_DEVICE Vector identity() const {
    const int g = lane_ / 4, t = lane_ % 4;
    const uint32 low = 0x3c00u, high = 0x3c000000u;  // 1 as the first, the second of two halves
    return {{g == t ? low : 0u, g == t ? high : 0u, g == t + 4 ? low : 0u, g == t + 4 ? high : 0u}};
  }

  // Channels 16 m + 2 g and the next of pixels 8 n + 2 t (which 0) and the next (which 1).
  SMSR_DEVICE int channel(int m) const { return 16 * m + lane_ / 4 * 2; }
  SMSR_DEVICE int pixel(int n) const { return 8 * n + lane_ % 4 * 2; }
  SMSR_DEVICE uint32 halves(int m, int n, int which) const {
    return floats_to_halves(sums_[m][n][which], sums_[m][n][which + 2]);
  }
  // max(sums, 0); NaN stays.
  SMSR_DEVICE uint32 positive_halves(int m, int n, int which) const {
    return floats_to_positive_halves(sums_[m][n][which], sums_[m][n][which + 2]);
  }
  // (sums + bias) * scale
  SMSR_DEVICE void scale(int m, const float (&bias)[2], const float (&scale)[2]) {
#pragma unroll
    for (int n = 0; n < 2 * kPairs; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums_[m][n][i] = (sums_[m][n][i] + bias[i / 2]) * scale[i / 2];
  }

 private:
  int lane_;
  float sums_[kTiles][2 * kPairs]
             [4];  // [m][n][i]: output channel 16 m + 2 g + i / 2, pixel 8 n + 2 t + i % 2
};

// Packed weights of chunks, in shared or in global memory.
template <bool kShared>
class ChunkWeights {
 public:
  explicit SMSR_DEVICE ChunkWeights(const Vector* weights)
      : from_(weights + thread_index() % kWarpSize), at_(kShared ? shared_address(from_) : 0u) {}
  // chunk: StagedPiece::weights. Of output channels 16 m to 16 m + 15.
  SMSR_DEVICE Vector load(int chunk, int step, int m) const {
    const int index = chunk + step * StagedTile::kStepVectors + m * kWarpSize;
    return kShared ? load_shared(at_ + static_cast<uint32>(16 * index)) : load_weights(from_ + index);
  }

 private:
  const Vector* from_;
  uint32 at_;
};

// Sums over pixels of numbers as halves() gives them, by a product with ones: of channels 16 m + 0 to 15.
class ChannelSums {
 public:
  SMSR_DEVICE void add(uint32 first, uint32 second) {
    const int g = thread_index() % kWarpSize / 4;
    const uint32 ones = g == 0 ? 0x3c00u : g == 1 ? 0x3c000000u : 0u;  // rows 0 and 1: even, odd channels
    multiply_16x8x16(sums_, ones, 0u, ones, 0u, first, second);
  }
  // Of channels 2 (2 t) + g and 2 (2 t + 1) + g, in the first eight lanes.
  SMSR_DEVICE float sum(int which) const { return sums_[which]; }
  SMSR_DEVICE static int channel(int which) {
    const int lane = thread_index() % kWarpSize;
    return 4 * (lane % 4) + 2 * which + lane / 4;
  }

 private:
  float sums_[4] = {0.0f, 0.0f, 0.0f, 0.0f};
};

}  // namespace smsr::cuda
