// The mask as lists of pixels of each tile, for the staged kernel: once per module, all layers use them.
#pragma once

#include "cuda/pack.cuh"
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

struct ListParams {
  StagedInputs in;     // what a convolution has
  const Half* margin;  // [N, 1, H, W]
  const Half* theta;   // []
  TileRecord* records;
  PackParams<Half> pack;
  uint32* counters;
  int counted;  // counters
};

// Active pixels of the lane's column of a convolution's box, from the mask.
template <class Box>
SMSR_DEVICE uint32 mark_column(const ListParams& p, const TilePlace& place) {
  const PlanSizes& s = p.in.sizes;
  const int lane = thread_index() % kWarpSize, x = place.x - Box::kHalo + lane;
  if (lane >= Box::kWide || x < 0 || x >= s.width) return 0;
  const float threshold = to_float(*p.theta);
  const Half* from = p.margin + static_cast<long long>(place.image) * s.height * s.width + x;
  Half values[Box::kHigh];  // loaded together, before any is used
#pragma unroll
  for (int row = 0; row < Box::kHigh; ++row) {
    const int y = place.y - Box::kHalo + row;
    values[row] = from[static_cast<long long>(y < 0 ? 0 : smaller(y, s.height - 1)) * s.width];
  }
  uint32 bits = 0;
#pragma unroll
  for (int row = 0; row < Box::kHigh; ++row)
    if (is_active(values[row], threshold)) bits |= 1u << row;
  return bits & rows_inside<Box>(p.in, place);
}

// One warp: the record of a tile.
template <class Box>
SMSR_DEVICE void list_tile(const ListParams& p, int tile) {
  const int lane = thread_index() % kWarpSize, x = lane % kTileColumns;
  const int first_row = lane / kTileColumns * kBandRows;
  const TilePlace place = place_of<Box>(p.in, tile);
  const uint32 column = mark_column<Box>(p, place);
  const uint32 all = shuffle(column, x + Box::kHalo) >> (Box::kHalo + first_row);
  const int rows =
      smaller(smaller(kBandRows, Box::kRows - first_row), p.in.sizes.height - place.y - first_row);
  const uint32 inside = place.x + x < p.in.sizes.width && rows > 0 ? (1u << rows) - 1u : 0u;
  const int active = write_list(all & inside, 0, 1, p.records[tile].pixels);
  const int inactive = write_list(~all & inside, Box::kPixels - 1, -1, p.records[tile].pixels);
  p.records[tile].column[lane] = lane == kActiveLane     ? static_cast<uint32>(active)
                                 : lane == kInactiveLane ? static_cast<uint32>(inactive)
                                                         : column;
}

// What the module's launch needs: packed weights, lists of tiles, counters at zero. Blocks (any number,
// layers + 2): the last row lists tiles, a warp each; the others pack.
template <class Box>
SMSR_KERNEL(kPlanThreads, 1)
void prepare_staged(ListParams p) {
  static_assert(kPlanThreads == kPackThreads, "the same blocks");
  constexpr int kWarps = kPlanThreads / kWarpSize;
  if (block_y() <= p.pack.layers) {
    pack_layer<StagedTile, StagedTile>(p.pack, block_y());
    return;
  }
  if (block_x() == 0)
    for (int i = thread_index(); i < p.counted; i += kPlanThreads) p.counters[i] = 0;
  for (int tile = block_x() * kWarps + thread_index() / kWarpSize; tile < tiles_of(p.in);
       tile += blocks_x() * kWarps)
    list_tile<Box>(p, tile);
}

}  // namespace smsr::cuda
