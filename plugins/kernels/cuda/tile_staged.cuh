// HalfTile's sums, fed from shared memory: 64 pixels, whose 16-byte pieces may lie anywhere in it, times 64
// output channels. sm_80 and newer.
#pragma once

#include "cuda/tile_half.cuh"

namespace smsr::cuda {

// A step is 16 input channels. Two mma's pixels (16, a pair) are one ldmatrix.
class StagedTile : public HalfTile<kUnitRows> {
 public:
  static constexpr int kDepth = 16;
  static constexpr int kStepVectors = kDepth * kColumns * 2 / 16;  // of packed weights

  // The pixel of pair `pair`, and the piece of its step (0 or 1), whose address the lane brings.
  SMSR_DEVICE int source_row(int pair) const { return 16 * pair + lane_ % 8 + 8 * (lane_ / 16); }
  SMSR_DEVICE uint32 source_piece() const { return static_cast<uint32>(lane_ / 8 % 2); }
  // The lane's registers r of a pair hold input channels 8 (r % 2) + input_channel(), and the next, of a
  // step.
  SMSR_DEVICE int input_channel() const { return 2 * (lane_ % 4); }

  // packed [kTiles, 32 lanes, 4 registers of A, 2 numbers]. Register r holds output channel
  // 16 m + 2 g + r % 2, input channels 2 t + 8 (r / 2) and the next.
  static SMSR_DEVICE void packed_place(int offset, int* depth, int* column) {
    const int odd = offset % 2, word = offset / 2 % 4, lane = offset / 8 % 32;
    *depth = 2 * (lane % 4) + 8 * (word / 2) + odd;
    *column = 16 * (offset / 256) + 2 * (lane / 4) + word % 2;
  }

  // Adds one step: in[pair] as load_matrices() gives it; kPairs is 4, or fewer where the unit has no more
  // pixels. Only the first `pairs` pairs unless kAllPairs, and the first 16 * tiles output channels unless
  // kAllTiles. All lanes together.
  template <bool kAllPairs, bool kAllTiles, int kPairs>
  SMSR_DEVICE void multiply(const uint32 (&in)[kPairs][4], const Vector* weights, int pairs, int tiles) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      if (!kAllTiles && m >= tiles) break;
      const Vector w = load_weights(weights + m * kWarpSize + lane_);
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair) {
        if (!kAllPairs && pair >= pairs) break;
#pragma unroll
        for (int n = 0; n < 2; ++n)
          multiply_16x8x16(sums_[m][2 * pair + n], w.word[0], w.word[1], w.word[2], w.word[3],
                           in[pair][2 * n], in[pair][2 * n + 1]);
      }
    }
  }
};

}  // namespace smsr::cuda
