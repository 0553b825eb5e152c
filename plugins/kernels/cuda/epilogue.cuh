// What becomes of a product's sums: a convolution's outputs with ReLU, or the module's output.
#pragma once

#include "cuda/gather.cuh"

namespace smsr::cuda {

// out = max(sums, 0); of an inactive pixel the first `dense` channels, and zeros up to the next multiple
// of 8.
struct ConvolutionOutputs {
  static constexpr bool kCollect = false;
  void* out;         // [N, H, W, channels]
  float* unit_sums;  // [units, channels] sums over each unit's pixels of what was written
  int dense;

  // Output channels of inactive pixels; without any, their units have nothing to do.
  SMSR_DEVICE int inactive_channels(int) const { return dense; }
};

// out = (sums + bias) * scale + residual
struct CollectOutputs {
  static constexpr bool kCollect = true;
  void* out;             // [N, H, W, channels]
  const void* residual;  // [N, H, W, channels]
  const void* bias;      // [channels]
  const float* scale;    // [N, channels]

  SMSR_DEVICE int inactive_channels(int channels) const { return channels; }
};

// Sums over a unit's pixels, from each lane's sums over its own: lanes of the same channels add up theirs,
// and one of them writes. `channel` is the first of the lane's, `end` the first that does not exist.
template <class Tile>
SMSR_DEVICE void write_unit_sums(float (&sums)[kPiece], const ConvolutionOutputs& to, const GemmInputs& in,
                                 const Unit& unit, int channel, int end) {
#pragma unroll
  for (int mask = Tile::kSameChannels; mask < Tile::kEndChannels; mask *= 2)
#pragma unroll
    for (int c = 0; c < kPiece; ++c) sums[c] += shuffle_xor(sums[c], mask);
  if ((thread_index() & (Tile::kEndChannels - Tile::kSameChannels)) == 0 && channel < end) {
    Piece<float> piece;
    piece.pack(sums);
    store_piece(piece, to.unit_sums + static_cast<long long>(unit.index) * in.channels + channel);
  }
}

template <class Tile>
SMSR_DEVICE void finish(const ConvolutionOutputs& to, const GemmInputs& in, const Unit& unit,
                        const Rows<Tile>& rows, int slice, Tile* tile) {
  using T = typename Tile::Type;
  static_assert(Tile::kRows == kUnitRows, "unit_sums has one row per unit");
  tile->map([](int) { return [](float sum) { return sum < 0.0f ? 0.0f : sum; }; });  // NaN stays
  const int end = unit.active ? in.channels : to.dense;
#pragma unroll
  for (int group = 0; group < Tile::kGroups; ++group) {
    const int channel = slice * Tile::kColumns + tile->output_channel(group);
    float sums[kPiece] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int j = 0; j < Tile::kOutputs; ++j) {
      Piece<T> piece = tile->piece(j, group);
      if (!unit.active) {
        constexpr int kVectors = static_cast<int>(sizeof(piece) / sizeof(Vector));
#pragma unroll
        for (int i = 0; i < kVectors; ++i)
          keep_leading(&piece.part[i], end - channel - i * kPiece / kVectors, T());
      }
      const uint32 at = tile->of_output(rows.offsets, j) + static_cast<uint32>(channel);
      if (tile->output_row(j) < unit.rows && channel < end) store_piece(piece, static_cast<T*>(to.out) + at);
      float values[kPiece];
      piece.unpack(values);
#pragma unroll
      for (int c = 0; c < kPiece; ++c) sums[c] += values[c];  // pixels past the end of the unit are zeros
    }
    write_unit_sums<Tile>(sums, to, in, unit, channel, end);
  }
}

// (sums + bias) * scale, of the tile's output channels from `column` on.
template <class Tile>
SMSR_DEVICE void scale_sums(const CollectOutputs& to, int image, int channels, int column, Tile* tile) {
  const auto* bias = static_cast<const typename Tile::Type*>(to.bias) + column;
  const float* scale = to.scale + image * channels + column;
  const int left = channels - column;
  tile->map([=](int channel) {
    float add = 0.0f, times = 0.0f;  // past the last channel, where no sum is written
    if (channel < left) {
      add = to_float(bias[channel]);
      times = scale[channel];
    }
    return [=](float sum) { return (sum + add) * times; };
  });
}

template <class Tile>
SMSR_DEVICE void finish(const CollectOutputs& to, const GemmInputs& in, const Unit& unit,
                        const Rows<Tile>& rows, int slice, Tile* tile) {
  using T = typename Tile::Type;
  const int column = slice * Tile::kColumns;
  scale_sums(to, unit.image, in.channels, column, tile);
#pragma unroll
  for (int group = 0; group < Tile::kGroups; ++group) {
    const int channel = column + tile->output_channel(group);
#pragma unroll
    for (int j = 0; j < Tile::kOutputs; ++j) {
      Piece<T> piece = tile->piece(j, group);
      const uint32 at = tile->of_output(rows.offsets, j) + static_cast<uint32>(channel);
      if (tile->output_row(j) >= unit.rows || channel >= in.channels) continue;
      float values[kPiece], residual[kPiece];
      piece.unpack(values);
      load_piece(static_cast<const T*>(to.residual) + at).unpack(residual);
#pragma unroll
      for (int c = 0; c < kPiece; ++c) values[c] += residual[c];
      piece.pack(values);
      store_piece(piece, static_cast<T*>(to.out) + at);
    }
  }
}

}  // namespace smsr::cuda
