// Tile on tensor cores of sm_75 and newer: kRows gathered pixels times 64 output channels, half precision
// multiplied, float32 summed.
//
// mma.m16n8k16 computes D [16, 8] += A [16, 16] * B [16, 8]. Output channels are the rows of A and D, pixels
// the columns of B and D: B's registers then hold neighbouring channels of one pixel, which are what one
// 16-byte load brings, and nothing needs to be moved. Channels may be summed in any order, so that each
// lane's load can be of 8 neighbouring channels; the weights are packed in the same order.
#pragma once

#include "cuda/tile.cuh"

namespace smsr::cuda {

// Transposes a 4 x 4 matrix of words whose rows are in the lanes lane, lane + 4, lane + 8, lane + 12: the
// q-th of them (q = 0..3) gives its row in `v` and gets column q.
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

// lane = 4 g + t. A step is 32 input channels: the lane loads channels 8 t to 8 t + 7 of pixels g, g + 8, ...
// Two mma of depth 16 take them, `half` 0 and 1: channels 8 t + 4 half to 8 t + 4 half + 3 of every lane.
template <int kRows_>
class HalfTile {
 public:
  using Type = Half;
  static constexpr int kRows = kRows_, kColumns = 64, kDepth = 32, kSkip = 16;
  static constexpr int kInputs = kRows / 8, kOutputs = kRows / 4, kGroups = 1;
  static constexpr int kSameChannels = 1, kEndChannels = 4;

  SMSR_DEVICE HalfTile() : lane_(thread_index() % kWarpSize) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int n = 0; n < kInputs; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) sums_[m][n][i] = 0.0f;
  }

  SMSR_DEVICE int input_row(int j) const { return lane_ / 4 + 8 * j; }
  SMSR_DEVICE int input_channel() const { return 8 * (lane_ % 4); }
  SMSR_DEVICE int output_row(int j) const { return 2 * (lane_ % 4) + j % 2 + 8 * (j / 2); }
  SMSR_DEVICE int output_channel(int) const { return 16 * (lane_ / 4 % 4) + 8 * (lane_ / 16); }
  SMSR_DEVICE uint32 of_output(const uint32 (&of_inputs)[kInputs], int j) const {
    return shuffle(of_inputs[j / 2], 8 * (lane_ % 4) + 4 * (j % 2));
  }

  // packed [kTiles, 2 halves, 32 lanes, 4 registers of A, 2 numbers]. Register r holds output channel
  // 16 m + 2 g + r % 2, input channels 8 t + 4 half + 2 (r / 2) and the next.
  static SMSR_DEVICE void packed_place(int offset, int* depth, int* column) {
    const int odd = offset % 2, word = offset / 2 % 4, lane = offset / 8 % 32, half = offset / 256 % 2;
    *depth = 8 * (lane % 4) + 4 * half + 2 * (word / 2) + odd;
    *column = 16 * (offset / 512) + 2 * (lane / 4) + word % 2;
  }

  template <bool kAll>
  SMSR_DEVICE void multiply(const Vector (&in)[kInputs], const Vector* weights, int columns) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      if (!kAll && m * kSkip >= columns) break;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Vector w = load_weights(weights + (2 * m + half) * kWarpSize + lane_);
#pragma unroll
        for (int n = 0; n < kInputs; ++n)
          multiply_16x8x16(sums_[m][n], w.word[0], w.word[1], w.word[2], w.word[3], in[n].word[2 * half],
                           in[n].word[2 * half + 1]);
      }
    }
  }

  template <class Make>
  SMSR_DEVICE void map(Make make) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int odd = 0; odd < 2; ++odd) {
        const auto of_channel = make(16 * m + 2 * (lane_ / 4) + odd);
#pragma unroll
        for (int n = 0; n < kInputs; ++n) {
          sums_[m][n][2 * odd] = of_channel(sums_[m][n][2 * odd]);
          sums_[m][n][2 * odd + 1] = of_channel(sums_[m][n][2 * odd + 1]);
        }
      }
  }

  // The lane has channels 16 m + 2 g and the next of its pixels, m = 0..3; the lanes of four neighbouring g
  // exchange them, so that each gets 8 neighbouring channels.
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

 protected:
  static constexpr int kTiles = kColumns / 16;
  int lane_;
  float sums_[kTiles][kInputs][4];  // [m][n][i]: output channel 16 m + 2 g + i / 2, pixel 8 n + 2 t + i % 2
};

}  // namespace smsr::cuda
