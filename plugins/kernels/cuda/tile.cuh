// The Tile concept: one warp's part of a matrix product, whose left rows are gathered pixels:
//
//   sums [kRows pixels, kColumns output channels] += pixels [kRows, kDepth] * weights [kDepth, kColumns]
//
// kDepth input channels per step, sums in float32, in registers, spread over the warp's 32 lanes. The models
// are HalfTile (tensor cores), VoltaTile (tensor cores of sm_70 and sm_72) and FloatTile (CUDA cores);
// gather_gemm.cuh, its parts and pack.cuh use nothing but what is listed here.
//
// A Tile is a class template of kRows, default constructible with all sums zero. It provides
//
//   Type                    element type of pixels and weights in memory: Half or float
//   kRows                   pixels: kUnitRows, or a divisor of it
//   kColumns                output channels; more channels are further slices
//   kDepth                  input channels per step
//   kSkip                   multiply<false> leaves out output channels in groups of so many; = kColumns: none
//   kInputs                 pixels from which a lane loads 16 bytes (a Vector) per step
//   kOutputs, kGroups       pixels that a lane writes, pieces (8 output channels) of each
//   kSameChannels, kEndChannels
//                           powers of two: lanes whose numbers differ only in the bits from the first up to,
//                           but not including, the second write the same channels of different pixels
//
//   int input_row(j)        pixel of the lane's input j < kInputs
//   int input_channel()     the first channel that the lane loads, within the step
//   int output_row(j)       pixel of the lane's output j < kOutputs
//   int output_channel(g)   first channel of piece g < kGroups, within the tile
//   uint32 of_output(values, j)
//                           values[i] belongs to input_row(i) of each lane; returns the value that belongs to
//                           output_row(j). All lanes together.
//   static void packed_place(offset, &depth, &column)
//                           which weight of a step [kDepth, kColumns] is at an offset of the packed step:
//                           pack.cuh writes them in the order in which the lanes read
//
//   void multiply<kAll>(in, weights, columns)
//                           adds one step. in [kInputs]: the lane's vectors; weights: the packed step; kAll:
//                           all output channels, else only the first `columns`, rounded up to kSkip. All
//                           lanes together.
//   void map(make)          every sum s of output channel c becomes make(c)(s)
//   Piece<Type> piece(j, g)
//                           8 channels, from output_channel(g) on, of pixel output_row(j). All lanes
//                           together.
#pragma once

#include "cuda/types.cuh"

namespace smsr::cuda {

// Instantiated by the kernels: what can be checked of a Tile while it compiles.
template <class Tile>
struct CheckTile {
  static constexpr int kInVector = static_cast<int>(sizeof(Vector) / sizeof(typename Tile::Type));
  static_assert(kUnitRows % Tile::kRows == 0, "a unit is a whole number of tiles");
  static_assert(Tile::kColumns * kMaxSlices >= kMaxChannels, "slices reach the last output channel");
  static_assert(Tile::kColumns % Tile::kSkip == 0, "skipped groups fill the tile");
  static_assert(Tile::kDepth % kInVector == 0, "a step is whole vectors of each pixel");
  static_assert(Tile::kInputs * kWarpSize * kInVector % (Tile::kRows * Tile::kDepth) == 0,
                "the lanes' vectors cover all pixels of a step, each as often as the others");
  static_assert(Tile::kOutputs * Tile::kGroups * kWarpSize * kPiece == Tile::kRows * Tile::kColumns,
                "the lanes' pieces cover every sum once");
  static_assert((Tile::kSameChannels & (Tile::kSameChannels - 1)) == 0 &&
                    (Tile::kEndChannels & (Tile::kEndChannels - 1)) == 0 &&
                    Tile::kSameChannels < Tile::kEndChannels && Tile::kEndChannels <= kWarpSize,
                "bits of a lane's number");
  static_assert(Tile::kEndChannels / Tile::kSameChannels * Tile::kOutputs == Tile::kRows,
                "lanes of the same channels write every pixel once");
  static constexpr bool kPassed = true;
};

}  // namespace smsr::cuda
