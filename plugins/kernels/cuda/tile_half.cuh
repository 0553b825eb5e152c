// A warp's part of a half precision product on tensor cores (sm_75 and newer): kRows gathered pixels times 64
// output channels, sums in registers.
//
// Output channels are the rows of mma, pixels its columns: so what one 16-byte load brings of a pixel lies in
// the registers that mma wants, nothing is moved. Depth may be summed in any order: lane t = lane % 4 takes
// channels 8t.. of a step's 32, and weights are packed in the same order.
#pragma once

#include "types.cuh"

namespace smsr {
namespace cuda {

// Four numbers of four lanes (lane, lane + 4, lane + 8, lane + 12) transposed: the q-th gets number q of
// each.
SMSR_DEVICE void transpose_quad(uint32 (&v)[4], int q) {
#pragma unroll
  for (int pair = 0; pair < 4; pair += 2) {
    const uint32 got = shuffle_xor((q & 1) != 0 ? v[pair] : v[pair + 1], 4);
    if ((q & 1) != 0)
      v[pair] = got;
    else
      v[pair + 1] = got;
  }
#pragma unroll
  for (int pair = 0; pair < 2; ++pair) {
    const uint32 got = shuffle_xor((q & 2) != 0 ? v[pair] : v[pair + 2], 8);
    if ((q & 2) != 0)
      v[pair] = got;
    else
      v[pair + 2] = got;
  }
}

template <int kRows_>
class HalfTile {
 public:
  using Type = Half;
  static constexpr int kRows = kRows_, kColumns = 64, kDepth = 32, kSkip = 16;
  static constexpr int kInputs = kRows / 8;                // rows a lane loads of
  static constexpr int kOutputs = kRows / 4, kGroups = 1;  // rows it writes pieces of, pieces of each
  static constexpr int kSameChannels = 1,
                       kEndChannels = 4;  // lanes that differ in these bits have the same channels

  SMSR_DEVICE HalfTile() : lane_(thread_index() % kWarpSize) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int n = 0; n < kInputs; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) sums_[m][n][i] = 0.0f;
  }

  SMSR_DEVICE int input_row(int j) const { return lane_ / 4 + 8 * j; }
  SMSR_DEVICE int input_channel() const { return 8 * (lane_ % 4); }  // of a step's
  SMSR_DEVICE int output_row(int j) const { return 2 * (lane_ % 4) + j % 2 + 8 * (j / 2); }
  SMSR_DEVICE int output_channel(int) const { return 16 * (lane_ / 4 % 4) + 8 * (lane_ / 16); }

  // Of output_row(j) what the lane that loads it knows; all lanes together.
  SMSR_DEVICE uint32 of_output(const uint32 (&of_inputs)[kInputs], int j) const {
    return shuffle(of_inputs[j / 2], 8 * (lane_ % 4) + 4 * (j % 2));
  }

  // (depth of a step, output channel) whose weight lies at an offset in the step's packed weights.
  static SMSR_DEVICE void packed_place(int offset, int* depth, int* column) {
    const int odd = offset % 2, word = offset / 2 % 4, lane = offset / 8 % 32, half = offset / 256 % 2;
    *depth = 8 * (lane % 4) + 4 * half + 2 * (word / 2) + odd;
    *column = 16 * (offset / 512) + 2 * (lane / 4) + word % 2;
  }

  // Adds one step; with kAll all 64 output channels, else the first `columns`, rounded up to kSkip.
  template <bool kAll>
  SMSR_DEVICE void multiply(const Vector (&in)[kInputs], const Vector* weights, int columns) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      if (!kAll && m * kSkip >= columns) break;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Vector w = weights[(2 * m + half) * kWarpSize + lane_];
#pragma unroll
        for (int n = 0; n < kInputs; ++n)
          multiply_16x8x16(sums_[m][n], w.word[0], w.word[1], w.word[2], w.word[3], in[n].word[2 * half],
                           in[n].word[2 * half + 1]);
      }
    }
  }

  // Every sum s of output channel c becomes function(c)(s).
  template <class Function>
  SMSR_DEVICE void map(Function function) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int odd = 0; odd < 2; ++odd) {
        const auto of_channel = function(16 * m + 2 * (lane_ / 4) + odd);
#pragma unroll
        for (int n = 0; n < kInputs; ++n) {
          sums_[m][n][2 * odd] = of_channel(sums_[m][n][2 * odd]);
          sums_[m][n][2 * odd + 1] = of_channel(sums_[m][n][2 * odd + 1]);
        }
      }
  }

  // Channels output_channel(0).. of output_row(j); all lanes together.
  SMSR_DEVICE Piece<Half> piece(int j, int) const {
    uint32 pairs[4];
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
      pairs[m] = floats_to_halves(sums_[m][j / 2][j % 2], sums_[m][j / 2][j % 2 + 2]);
    transpose_quad(pairs, lane_ / 4 % 4);
    Piece<Half> piece;
#pragma unroll
    for (int i = 0; i < 4; ++i) piece.part[0].word[i] = pairs[i];
    return piece;
  }

 private:
  static constexpr int kTiles = kColumns / 16;
  int lane_;
  float sums_[kTiles][kInputs][4];
};

}  // namespace cuda
}  // namespace smsr
