// Tile on tensor cores of sm_70 and sm_72: kRows gathered pixels times 64 output channels, half precision
// multiplied, float32 summed.
//
// Their only matrix instruction, mma.m8n8k4, computes four products D [8, 8] += A [8, 4] * B [4, 8] at once,
// one per quad pair. Pixels are the rows of A and D, output channels the columns of B and D: a lane loads,
// and in the end writes, whole pixels.
#pragma once

#include "cuda/tile.cuh"

namespace smsr::cuda {

// Quad pair p = lane / 4 % 4 has lanes 4 p to 4 p + 3 and 4 p + 16 to 4 p + 19; r = lane % 4 + 4 (lane / 16)
// is the lane's row within it. The lane loads 8 channels, a step, of pixels 8 p + r and 8 p + r + 32; two mma
// of depth 4 take them.
template <int kRows_>
class VoltaTile {
 public:
  using Type = Half;
  static constexpr int kRows = kRows_, kColumns = 64, kDepth = 8, kSkip = 8;
  static constexpr int kInputs = kRows / 32, kOutputs = kInputs, kGroups = kColumns / 8;
  static constexpr int kSameChannels = 1, kEndChannels = 32;

  SMSR_DEVICE VoltaTile() : lane_(thread_index() % kWarpSize) {
#pragma unroll
    for (int m = 0; m < kInputs; ++m)
#pragma unroll
      for (int n = 0; n < kGroups; ++n)
#pragma unroll
        for (int i = 0; i < 8; ++i) sums_[m][n][i] = 0.0f;
  }

  SMSR_DEVICE int input_row(int j) const { return 8 * (lane_ / 4 % 4) + row_of_eight(lane_) + 32 * j; }
  SMSR_DEVICE int input_channel() const { return 0; }
  SMSR_DEVICE int output_row(int j) const { return input_row(j); }
  SMSR_DEVICE int output_channel(int group) const { return 8 * group; }
  SMSR_DEVICE uint32 of_output(const uint32 (&of_inputs)[kInputs], int j) const { return of_inputs[j]; }

  // packed [kColumns, kDepth]
  static SMSR_DEVICE void packed_place(int offset, int* depth, int* column) {
    *depth = offset % 8;
    *column = offset / 8;
  }

  template <bool kAll>
  SMSR_DEVICE void multiply(const Vector (&in)[kInputs], const Vector* weights, int columns) {
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
      if (!kAll && n * kSkip >= columns) break;
      const Vector w = weights[8 * n + row_of_eight(lane_)];
#pragma unroll
      for (int half = 0; half < 4; half += 2)
#pragma unroll
        for (int m = 0; m < kInputs; ++m)
          multiply_quad_pairs(sums_[m][n], in[m].word[half], in[m].word[half + 1], w.word[half],
                              w.word[half + 1]);
    }
  }

  template <class Make>
  SMSR_DEVICE void map(Make make) {
#pragma unroll
    for (int n = 0; n < kGroups; ++n)
#pragma unroll
      for (int i = 0; i < 8; ++i)
        if ((i & 2) == 0) {
          const auto of_channel = make(8 * n + (i & 4) + (lane_ & 2) + (i & 1));
#pragma unroll
          for (int m = 0; m < kInputs; ++m) {
            sums_[m][n][i] = of_channel(sums_[m][n][i]);
            sums_[m][n][i + 2] = of_channel(sums_[m][n][i + 2]);
          }
        }
  }

  // mma leaves half of the channels of two pixels in each lane; the lane that differs in bit 1 has the other
  // halves.
  SMSR_DEVICE Piece<Half> piece(int j, int group) const {
    const float (&s)[8] = sums_[j][group];
    const bool second = (lane_ & 2) != 0;
    // Pixels (lane & 1) and (lane & 1) + 2 of the four that start at 4 (lane / 16).
    const uint32 low[2] = {floats_to_halves(s[0], s[1]), floats_to_halves(s[4], s[5])};
    const uint32 high[2] = {floats_to_halves(s[2], s[3]), floats_to_halves(s[6], s[7])};
    Piece<Half> piece;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint32 got = shuffle_xor(second ? low[i] : high[i], 2);
      piece.part[0].word[2 * i] = second ? got : low[i];
      piece.part[0].word[2 * i + 1] = second ? high[i] : got;
    }
    return piece;
  }

 private:
  static SMSR_DEVICE int row_of_eight(int lane) { return lane % 4 + 4 * (lane / 16); }
  int lane_;
  // [m][n][i]: pixel 32 m + 8 p + (lane & 1) + (i & 2) + 4 (lane / 16),
  //            output channel 8 n + (i & 4) + (lane & 2) + (i & 1)
  float sums_[kInputs][kGroups][8];
};

}  // namespace smsr::cuda
