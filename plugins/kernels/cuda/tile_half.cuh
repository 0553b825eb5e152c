// A warp's part of a half precision product on tensor cores (sm_75 and newer): kRows gathered pixels times 64
// output channels, sums in registers.
//
// Depth may be summed in any order, so lane t = lane % 4 takes the 8 channels 8t.. of a step's 32 of its
// pixels, one 16-byte load each, straight into the registers that mma wants; weights are packed in the same
// order.
#pragma once

#include "types.cuh"

namespace smsr {
namespace cuda {

// Four numbers of four lanes transposed: lane t gets number t of lanes 0..3 of its group of four.
SMSR_DEVICE void transpose_quad(uint32 (&v)[4], int t) {
#pragma unroll
  for (int pair = 0; pair < 4; pair += 2) {
    const uint32 got = shuffle_xor((t & 1) != 0 ? v[pair] : v[pair + 1], 1);
    if ((t & 1) != 0)
      v[pair] = got;
    else
      v[pair + 1] = got;
  }
#pragma unroll
  for (int pair = 0; pair < 2; ++pair) {
    const uint32 got = shuffle_xor((t & 2) != 0 ? v[pair] : v[pair + 2], 2);
    if ((t & 2) != 0)
      v[pair] = got;
    else
      v[pair + 2] = got;
  }
}

template <int kRows_>
class HalfTile {
 public:
  using Type = Half;
  static constexpr int kRows = kRows_, kColumns = 64, kDepth = 32;
  static constexpr bool kSkipsTiles = true;  // multiply() with kAll false computes fewer output channels
  static constexpr int kLanesPerRow = 4, kRowsPerLane = kRows / 8;
  static constexpr int kGroups = kColumns / 32;  // pieces of output channels that a lane has of one row

  SMSR_DEVICE HalfTile() : lane_(thread_index() % kWarpSize) {
#pragma unroll
    for (int m = 0; m < kRows / 16; ++m)
#pragma unroll
      for (int n = 0; n < kTiles; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) sums_[m][n][i] = 0.0f;
  }

  SMSR_DEVICE int row(int j) const { return lane_ / 4 + 8 * j; }
  SMSR_DEVICE int input_channel() const { return 8 * (lane_ % 4); }  // of a step's
  SMSR_DEVICE int output_channel(int group) const { return 32 * group + 8 * (lane_ % 4); }

  // (depth of a step, output channel) whose weight lies at an offset in the step's packed weights.
  static SMSR_DEVICE void packed_place(int offset, int* depth, int* column) {
    const int lane = offset / 8 % 32;
    *depth = 8 * (lane % 4) + offset % 8;
    *column = 8 * (offset / 256) + lane / 4;
  }

  // Adds one step; with kAll all 64 output channels, else the first 8 * tiles.
  template <bool kAll>
  SMSR_DEVICE void multiply(const Vector (&in)[kRowsPerLane], const Vector* weights, int tiles) {
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      if (!kAll && n >= tiles) break;
      const Vector w = weights[n * kWarpSize + lane_];
#pragma unroll
      for (int half = 0; half < 4; half += 2)
#pragma unroll
        for (int m = 0; m < kRows / 16; ++m)
          multiply_16x8x16(sums_[m][n], in[2 * m].word[half], in[2 * m + 1].word[half],
                           in[2 * m].word[half + 1], in[2 * m + 1].word[half + 1], w.word[half],
                           w.word[half + 1]);
    }
  }

  // Every sum s of output channel c becomes function(c, s).
  template <class Function>
  SMSR_DEVICE void map(Function function) {
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int odd = 0; odd < 2; ++odd) {
        const auto of_channel = function(8 * n + 2 * (lane_ % 4) + odd);
#pragma unroll
        for (int m = 0; m < kRows / 16; ++m) {
          sums_[m][n][odd] = of_channel(sums_[m][n][odd]);
          sums_[m][n][odd + 2] = of_channel(sums_[m][n][odd + 2]);
        }
      }
  }

  // Channels output_channel(group).. of row(j); all lanes together.
  SMSR_DEVICE Piece<Half> piece(int j, int group) const {
    uint32 pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float (&s)[4] = sums_[j / 2][4 * group + i];
      pairs[i] = j % 2 == 0 ? floats_to_halves(s[0], s[1]) : floats_to_halves(s[2], s[3]);
    }
    transpose_quad(pairs, lane_ % 4);
    Piece<Half> piece;
#pragma unroll
    for (int i = 0; i < 4; ++i) piece.part[0].word[i] = pairs[i];
    return piece;
  }

 private:
  static constexpr int kTiles = kColumns / 8;
  int lane_;
  float sums_[kRows / 16][kTiles][4];
};

}  // namespace cuda
}  // namespace smsr
