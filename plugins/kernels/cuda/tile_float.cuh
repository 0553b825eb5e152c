// Tile on CUDA cores: kRows gathered pixels times 32 output channels, products and sums in float32.
#pragma once

#include "cuda/tile.cuh"

namespace smsr::cuda {

// lane = 4 g + t. The four lanes of a group g load the same pixels g, g + 8, ..., four channels (one Vector)
// per step; lane t of the group computes output channels 8 t to 8 t + 7 of them.
template <int kRows_>
class FloatTile {
 public:
  using Type = float;
  static constexpr int kRows = kRows_, kColumns = 32, kDepth = 4, kSkip = kColumns;
  static constexpr int kInputs = kRows / 8, kOutputs = kInputs, kGroups = 1;
  static constexpr int kSameChannels = 4, kEndChannels = 32;

  SMSR_DEVICE FloatTile() : lane_(thread_index() % kWarpSize) {
#pragma unroll
    for (int j = 0; j < kInputs; ++j)
#pragma unroll
      for (int c = 0; c < kPiece; ++c) sums_[j][c] = 0.0f;
  }

  SMSR_DEVICE int input_row(int j) const { return lane_ / 4 + 8 * j; }
  SMSR_DEVICE int input_channel() const { return 0; }
  SMSR_DEVICE int output_row(int j) const { return input_row(j); }
  SMSR_DEVICE int output_channel(int) const { return 8 * (lane_ % 4); }
  SMSR_DEVICE uint32 of_output(const uint32 (&of_inputs)[kInputs], int j) const { return of_inputs[j]; }

  // packed [kDepth, kColumns]
  static SMSR_DEVICE void packed_place(int offset, int* depth, int* column) {
    *depth = offset / kColumns;
    *column = offset % kColumns;
  }

  template <bool kAll>
  SMSR_DEVICE void multiply(const Vector (&in)[kInputs], const Vector* weights, int) {
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      const Vector* w = weights + (k * kColumns + 8 * (lane_ % 4)) / 4;
      const Vector low = w[0], high = w[1];
#pragma unroll
      for (int j = 0; j < kInputs; ++j)
#pragma unroll
        for (int c = 0; c < kPiece; ++c)
          sums_[j][c] = multiply_add(bits_float(in[j].word[k]),
                                     bits_float(c < 4 ? low.word[c] : high.word[c - 4]), sums_[j][c]);
    }
  }

  template <class Make>
  SMSR_DEVICE void map(Make make) {
#pragma unroll
    for (int c = 0; c < kPiece; ++c) {
      const auto of_channel = make(8 * (lane_ % 4) + c);
#pragma unroll
      for (int j = 0; j < kInputs; ++j) sums_[j][c] = of_channel(sums_[j][c]);
    }
  }

  SMSR_DEVICE Piece<float> piece(int j, int) const {
    Piece<float> piece;
    piece.pack(sums_[j]);
    return piece;
  }

 private:
  int lane_;
  float sums_[kInputs][kPiece];  // [j][c]: pixel g + 8 j, output channel 8 t + c
};

}  // namespace smsr::cuda
