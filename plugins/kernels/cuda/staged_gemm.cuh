// Convolution and collect of sm_80 and newer: pixels are brought to shared memory tile by tile
// (staged_tile.cuh) and gathered from there. Every warp goes through the block's tiles and computes units of
// them until none is left; the last warp to leave a tile fills its stage anew. A warp waits only for the
// copies of the tile that it needs next, so that tiles of different numbers of active pixels even out.
#pragma once

#include "cuda/grid_barrier.cuh"
#include "cuda/staged_tile.cuh"

namespace smsr::cuda {

constexpr int kStagedThreads = kStagedWarps * kWarpSize;
static_assert(kMaxStages < kStagedWarps, "a warp for each stage, and one more");

// A unit of a tile: pixels first, first + step, ... of its list.
struct TileUnit {
  bool active;
  int rows, first, step;  // rows 0: nothing to do
};

template <class Box>
SMSR_DEVICE TileUnit unit_of(const StageHeader<Box>& header, int index) {
  const int active_units = Box::kCollect ? Box::kUnits : divide_up(header.active, Box::kUnitPixels);
  TileUnit unit;
  unit.active = Box::kCollect ? header.active > 0 : index < active_units;
  const int ahead = (index < active_units ? index : index - active_units) * Box::kUnitPixels;
  const int count = Box::kCollect ? Box::kPixels : unit.active ? header.active : header.inactive;
  const int left = count - ahead;
  unit.rows = left < 0 ? 0 : smaller(left, Box::kUnitPixels);
  unit.step = Box::kCollect || unit.active ? 1 : -1;
  unit.first = unit.step > 0 ? ahead : Box::kPixels - 1 - ahead;
  return unit;
}

// The pixel of a row of the unit: 16 row + column of the tile.
template <class Box>
SMSR_DEVICE int pixel_of(const StageHeader<Box>& header, const TileUnit& unit, int row) {
  const int at = unit.first + unit.step * row;
  return Box::kCollect ? at : header.pixels[at];
}

// Addresses of the lane's pixels in a box; moves on from tap to tap, or from layer to layer.
template <class Box>
class Gather {
 public:
  SMSR_DEVICE Gather(const StagedTile& tile, const StageHeader<Box>& header, const TileUnit& unit,
                     uint32 boxes, int channels)
      : pixel_bytes_(static_cast<uint32>(bytes_per_pixel(channels))), piece_(tile.source_piece()) {
#pragma unroll
    for (int pair = 0; pair < Box::kPairs; ++pair) {
      const int row = tile.source_row(pair);
      const int pixel = pixel_of(header, unit, row < unit.rows ? row : 0);  // rows past the end: any pixel
      const int y = pixel / kTileColumns, x = pixel % kTileColumns;
      at_[pair] = boxes + static_cast<uint32>(y * Box::kWide + x) * pixel_bytes_;
      key_[pair] = static_cast<uint32>(3 * y + x);
    }
    place();
  }
  SMSR_DEVICE int group() const { return group_; }
  SMSR_DEVICE void next() {
    ++group_;
    ahead_ += Box::kCollect ? Box::kHigh * Box::kWide * pixel_bytes_ : pixel_bytes_;
    if (!Box::kCollect && ++kx_ == 3) {
      kx_ = 0;
      ahead_ += (Box::kWide - 3) * pixel_bytes_;
    }
    place();
  }
  template <bool kAllPairs>
  SMSR_DEVICE void load(int step, int pairs, uint32 (&to)[Box::kPairs][4]) const {
    const uint32 within = static_cast<uint32>(step % 4) << 5, block = static_cast<uint32>(step / 4) * 128;
#pragma unroll
    for (int pair = 0; pair < Box::kPairs; ++pair) {
      if (!kAllPairs && pair >= pairs) break;
      load_matrices(to[pair], (now_[pair] ^ within) + block);
    }
  }

 private:
  SMSR_DEVICE void place() {
    const uint32 key = Box::kCollect ? 0 : static_cast<uint32>(group_);  // 3 ky + kx
#pragma unroll
    for (int pair = 0; pair < Box::kPairs; ++pair)
      now_[pair] = at_[pair] + ahead_ + (((key_[pair] + key) & 7) ^ piece_) * 16;
  }
  uint32 at_[Box::kPairs], key_[Box::kPairs], now_[Box::kPairs];
  uint32 pixel_bytes_, piece_, ahead_ = 0;
  int group_ = 0, kx_ = 0;
};

template <int kPairs>
using PairValues = uint32[kPairs][4];

template <int kPairs>
SMSR_DEVICE void copy_values(const PairValues<kPairs>& from, PairValues<kPairs>* to) {
#pragma unroll
  for (int pair = 0; pair < kPairs; ++pair)
#pragma unroll
    for (int i = 0; i < 4; ++i) (*to)[pair][i] = from[pair][i];
}

// All output channels, 64 input channels: nothing is left out, nothing branches. Rows past the end of the
// unit are summed for nothing.
template <class Box>
SMSR_DEVICE void sum_all(int groups, Gather<Box> gather, const Vector* weights, StagedTile* tile) {
  constexpr int kSteps = kBlockChannels / StagedTile::kDepth;
  PairValues<Box::kPairs> ahead, now;
  gather.template load<true>(0, 0, ahead);
#pragma unroll 1
  for (int group = 0; group < groups; ++group) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      copy_values(ahead, &now);
      if (step + 1 < kSteps) {
        gather.template load<true>(step + 1, 0, ahead);
      } else if (group + 1 < groups) {
        gather.next();
        gather.template load<true>(0, 0, ahead);
      }
      tile->template multiply<true, true>(now, weights + step * StagedTile::kStepVectors, 0, 0);
    }
    weights += kSteps * StagedTile::kStepVectors;
  }
}

// The first `pairs` pairs of pixels (kAllPairs: all), `tiles` times 16 output channels, and those steps whose
// inputs exist. An inactive pixel takes dense channels only, whatever else its active neighbours have in the
// same step.
template <class Box, bool kAllPairs>
SMSR_DEVICE void sum_some(const StagedInputs& in, Gather<Box> gather, const Vector* weights, bool active,
                          int pairs, int tiles, StagedTile* tile) {
  const int all_steps = in.channels / StagedTile::kDepth;
  const auto steps_of = [&](int group) {
    const int dense = group < in.groups ? dense_of(in.dense, Box::kCollect ? group : 0) : 0;
    return active ? all_steps : divide_up(dense, StagedTile::kDepth);
  };
  const auto enter = [&] {  // the next group that has steps
    while (gather.group() < in.groups && steps_of(gather.group()) == 0) gather.next();
    return steps_of(gather.group());
  };
  const int keep = dense_of(in.dense, 0) % StagedTile::kDepth;
  const bool trims = !Box::kCollect && !active && keep != 0;
  int step = 0, steps = enter();
  if (gather.group() == in.groups) return;
  PairValues<Box::kPairs> ahead, now;
  gather.template load<kAllPairs>(0, pairs, ahead);
#pragma unroll 1
  for (bool done = false; !done;) {
    copy_values(ahead, &now);
    const Vector* at = weights + (gather.group() * all_steps + step) * StagedTile::kStepVectors;
    const bool trim = trims && step + 1 == steps;
    if (++step == steps) {
      step = 0;
      gather.next();
      steps = enter();
    }
    done = gather.group() == in.groups;
    if (!done) gather.template load<kAllPairs>(step, pairs, ahead);
    if (trim) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int left = keep - tile->input_channel() - 8 * (i % 2);
        const uint32 mask = left > 1 ? 0xffffffffu : left > 0 ? 0x0000ffffu : 0u;
#pragma unroll
        for (int pair = 0; pair < Box::kPairs; ++pair) now[pair][i] &= mask;
      }
    }
    tile->template multiply<kAllPairs, false>(now, at, pairs, tiles);
  }
}

// Offsets in the output (pixel * channels) of the unit's rows `lane` and `lane + 32`; kNowhere: no such
// pixel.
constexpr uint32 kNowhere = 0xffffffffu;
template <class Box>
struct OutputRows {
  uint32 offsets[2];

  SMSR_DEVICE OutputRows(const StagedInputs& in, const StageHeader<Box>& header, const TileUnit& unit) {
    const TilePlace place = place_of<Box>(in, header.tile);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = thread_index() % kWarpSize + kWarpSize * i;
      offsets[i] = kNowhere;
      if (row >= unit.rows) continue;
      const int pixel = pixel_of(header, unit, row);
      const int y = place.y + pixel / kTileColumns, x = place.x + pixel % kTileColumns;
      if (y < in.sizes.height && x < in.sizes.width)
        offsets[i] =
            static_cast<uint32>(((place.image * in.sizes.height + y) * in.sizes.width + x) * in.channels);
    }
  }
  SMSR_DEVICE uint32 of(const StagedTile& tile, int j) const {
    return shuffle(offsets[j * 2 / StagedTile::kOutputs], tile.output_row(j) % kWarpSize);
  }
};

template <class Box>
SMSR_DEVICE void finish_staged(const ConvolutionOutputs& to, const StagedInputs& in,
                               const StageHeader<Box>& header, const TileUnit& unit, uint32, int index,
                               StagedTile* tile) {
  tile->map([](int) { return [](float sum) { return sum < 0.0f ? 0.0f : sum; }; });  // NaN stays
  const OutputRows<Box> rows(in, header, unit);
  const int channel = block_y() * StagedTile::kColumns + tile->output_channel(0);
  const int end = unit.active ? in.channels : to.dense;
  float sums[kPiece] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
  for (int j = 0; j < 4 * Box::kPairs; ++j) {
    Piece<Half> piece = tile->piece(j, 0);
    if (!unit.active) keep_leading(&piece.part[0], end - channel, Half());
    const uint32 at = rows.of(*tile, j);
    if (at != kNowhere && channel < end)
      store_piece(piece, static_cast<Half*>(to.out) + (at + static_cast<uint32>(channel)));
    float values[kPiece];
    piece.unpack(values);
#pragma unroll
    for (int c = 0; c < kPiece; ++c) sums[c] += at != kNowhere ? values[c] : 0.0f;
  }
#pragma unroll
  for (int mask = StagedTile::kSameChannels; mask < StagedTile::kEndChannels; mask *= 2)
#pragma unroll
    for (int c = 0; c < kPiece; ++c) sums[c] += shuffle_xor(sums[c], mask);
  if (thread_index() % StagedTile::kEndChannels != 0 || channel >= in.channels) return;
  Piece<float> piece;
  piece.pack(sums);
  store_piece(piece, to.unit_sums + static_cast<long long>(header.tile * Box::kUnits + index) * in.channels +
                         channel);
}

template <class Box>
SMSR_DEVICE void finish_staged(const CollectOutputs& to, const StagedInputs& in,
                               const StageHeader<Box>& header, const TileUnit& unit, uint32 boxes, int,
                               StagedTile* tile) {
  const int column = block_y() * StagedTile::kColumns;
  scale_sums(to, place_of<Box>(in, header.tile).image, in.channels, column, tile);
  const OutputRows<Box> rows(in, header, unit);
  const int channel = column + tile->output_channel(0), piece_number = channel / kPiece;
  const uint32 residual_box =
      boxes + static_cast<uint32>(in.groups * box_bytes<Box>(in.channels) + piece_number / 8 * 128);
#pragma unroll
  for (int j = 0; j < 4 * Box::kPairs; ++j) {
    Piece<Half> piece = tile->piece(j, 0);
    const uint32 at = rows.of(*tile, j);
    if (at == kNowhere || channel >= in.channels) continue;
    const int pixel = pixel_of(header, unit, tile->output_row(j));
    const int key = 3 * (pixel / kTileColumns) + pixel % kTileColumns;
    Piece<Half> residual;
    residual.part[0] = load_shared(residual_box + static_cast<uint32>(pixel * bytes_per_pixel(in.channels) +
                                                                      ((piece_number ^ key) & 7) * 16));
    float values[kPiece], add[kPiece];
    piece.unpack(values);
    residual.unpack(add);
#pragma unroll
    for (int c = 0; c < kPiece; ++c) values[c] += add[c];
    piece.pack(values);
    store_piece(piece, static_cast<Half*>(to.out) + (at + static_cast<uint32>(channel)));
  }
}

// Zeros as the sums of a unit that the tile does not have.
template <class Box>
SMSR_DEVICE void skip_unit(const ConvolutionOutputs& to, const StagedInputs& in,
                           const StageHeader<Box>& header, int index) {
  float* sums = to.unit_sums + static_cast<long long>(header.tile * Box::kUnits + index) * in.channels;
  const int column = block_y() * StagedTile::kColumns;
  for (int c = thread_index() % kWarpSize; c < StagedTile::kColumns && column + c < in.channels;
       c += kWarpSize)
    sums[column + c] = 0.0f;
}
template <class Box>
SMSR_DEVICE void skip_unit(const CollectOutputs&, const StagedInputs&, const StageHeader<Box>&, int) {}

template <class Box, class Outputs>
SMSR_DEVICE void run_tile_unit(const StagedInputs& in, const Outputs& to, const StageHeader<Box>& header,
                               uint32 boxes, const Vector* weights, int index) {
  const TileUnit unit = unit_of<Box>(header, index);
  const int column = block_y() * StagedTile::kColumns;
  const int most = unit.active ? in.channels : to.inactive_channels(in.channels);
  const int columns = smaller(StagedTile::kColumns, most - column);
  if (unit.rows == 0 || columns <= 0) {
    skip_unit<Box>(to, in, header, index);
    return;
  }
  StagedTile tile;
  const Gather<Box> gather(tile, header, unit, boxes, in.channels);
  // All pairs of pixels, not necessarily all of their pixels.
  const bool all = divide_up(unit.rows, 16) == Box::kPairs;
  if (unit.active && all && in.channels == kBlockChannels)
    sum_all<Box>(in.groups, gather, weights, &tile);
  else if (all)
    sum_some<Box, true>(in, gather, weights, unit.active, Box::kPairs, divide_up(columns, 16), &tile);
  else
    sum_some<Box, false>(in, gather, weights, unit.active, divide_up(unit.rows, 16), divide_up(columns, 16),
                         &tile);
  finish_staged<Box>(to, in, header, unit, boxes, index, &tile);
}

// Leaves a tile. The last warp to do so returns true, after all have read what they need of the stage.
template <class Box>
SMSR_DEVICE bool leave(const Ring<Box>& ring) {
  sync_warp();
  uint32 before = 0;
  if (thread_index() % kWarpSize == 0) {
    barrier_arrive(ring.empty());
    before = atomic_add(&ring.header()->left, 1u);
  }
  if (shuffle(before, 0) != kStagedWarps - 1) return false;
  barrier_wait(ring.empty(), ring.parity());
  return true;
}

template <class Box, class Outputs>
SMSR_DEVICE void run_tiles(const StagedInputs& in, const Outputs& to, Ring<Box> ring, const Vector* weights) {
  for (;; ring.next()) {
    barrier_wait(ring.full(), ring.parity());
    StageHeader<Box>* header = ring.header();
    if (header->tile < 0) return;
    for (;;) {
      const uint32 mine = thread_index() % kWarpSize == 0 ? atomic_add(&header->taken, 1u) : 0u;
      const int index = static_cast<int>(shuffle(mine, 0));
      if (index >= Box::kUnits) break;
      run_tile_unit<Box>(in, to, *header, ring.boxes(), weights, index);
    }
    if (leave(ring)) fill_next<Box>(in, to, ring);
  }
}

// A convolution or the collect, by all blocks (any number, slices). resident: the slice's weights are copied
// to shared memory. Begins once the grid's phase before has ended, and ends one.
template <class Box, class Outputs>
SMSR_DEVICE void run_product(const StagedInputs& in, const Outputs& to, bool resident, GridBarrier* grid) {
  const int warp = thread_index() / kWarpSize;
  Ring<Box> ring(in, resident ? in.weights_bytes : 0);
  const Vector* weights = in.weights + static_cast<long long>(block_y()) * (in.weights_bytes / 16);
  if (resident) {
    Vector* copied = static_cast<Vector*>(shared_memory());
    for (int i = thread_index(); i < in.weights_bytes / 16; i += kStagedThreads)
      copy_to_shared(copied + i, weights + i);
    weights = copied;
  }
  if (thread_index() == 0) ring.create_barriers();
  grid->wait();
  if (warp < in.stages) {
    const int tile = block_x() + warp * blocks_x();
    ring.go_to(warp);
    fill_stage<Box>(in, to, ring, tile, load_column<Box>(in, tile));
    ring.go_to(0);
  } else if (warp == in.stages) {
    take_first<Box>(in, ring);
  }
  copies_arrive();
  sync_block();
  run_tiles<Box>(in, to, ring, weights);
  sync_block();
  if (thread_index() == 0) ring.destroy_barriers();
  grid->arrive();
}

}  // namespace smsr::cuda
