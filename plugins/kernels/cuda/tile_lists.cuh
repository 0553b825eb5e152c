// The mask as lists of pixels of each tile, for the staged kernels: once per module, all layers use them.
#pragma once

#include "cuda/plan.cuh"
#include "cuda/staged_tile.cuh"

namespace smsr::cuda {

// Writes one of the lists of a tile, from `first` on in steps of `step`. bits: the listed pixels of the
// lane's eight rows. Returns the list's length.
//
// A list takes a pixel of each key in turn, as long as there are any: the eight rows of one ldmatrix then lie
// in different banks, in every tap. Each lane's rows have eight different keys.
SMSR_DEVICE int write_list(uint32 bits, int first, int step, uint8* pixels) {
  const int lane = thread_index() % kWarpSize, x = lane % kTileColumns,
            first_row = lane / kTileColumns * kBandRows;
  uint32 lanes[8];  // that list a pixel of each key
  int counts[8], length = 0;
#pragma unroll
  for (int key = 0; key < 8; ++key) {
    lanes[key] = ballot((bits >> (3 * (key - x) & 7) & 1u) != 0);  // 3 * 3 = 1 modulo 8
    counts[key] = count_bits(lanes[key]);
    length += counts[key];
  }
#pragma unroll
  for (int key = 0; key < 8; ++key) {
    const int row = 3 * (key - x) & 7, rank = count_bits(lanes[key] & ((1u << lane) - 1u));
    int before = 0;
#pragma unroll
    for (int other = 0; other < 8; ++other) before += smaller(counts[other], rank + (other < key ? 1 : 0));
    if ((bits >> row & 1u) != 0)
      pixels[first + step * before] = static_cast<uint8>((first_row + row) * kTileColumns + x);
  }
  return length;
}

// Blocks (any number): one warp per tile writes its record. Of `in` it takes what a convolution has.
static SMSR_KERNEL(kPlanThreads, 1) void list_tiles(StagedInputs in, TileRecord* records) {
  using Box = ConvolutionBox;
  constexpr int kWarps = kPlanThreads / kWarpSize;
  const int lane = thread_index() % kWarpSize, x = lane % kTileColumns;
  const int first_row = lane / kTileColumns * kBandRows;
  for (int tile = block_x() * kWarps + thread_index() / kWarpSize; tile < tiles_of(in);
       tile += blocks_x() * kWarps) {
    const TilePlace place = place_of<Box>(in, tile);
    const uint32 column = box_column<Box>(in, tile);
    const uint32 all = shuffle(column, x + Box::kHalo) >> (Box::kHalo + first_row);
    const int rows = smaller(kBandRows, in.sizes.height - place.y - first_row);
    const uint32 inside = place.x + x < in.sizes.width && rows > 0 ? (1u << rows) - 1u : 0u;
    const int active = write_list(all & inside, 0, 1, records[tile].pixels);
    const int inactive = write_list(~all & inside, kTilePixels - 1, -1, records[tile].pixels);
    records[tile].column[lane] = lane == kActiveLane     ? static_cast<uint32>(active)
                                 : lane == kInactiveLane ? static_cast<uint32>(inactive)
                                                         : column;
  }
}

}  // namespace smsr::cuda
