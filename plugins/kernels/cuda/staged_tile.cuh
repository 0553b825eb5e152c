// Tiles of the image in shared memory: their shape, their place there, and how a warp fills a stage.
//
// A thread block takes tiles from a counter and keeps the pixels of several at a time, each in a stage of its
// own, so that copies run while other tiles are computed. A stage holds one box of pixels per source: a
// convolution's has one more pixel on each side of the tile, the collect has a box for each layer and one for
// the residual. Where a pixel has no such channels (outside of the image, sparse channels of inactive pixels)
// the box holds zeros.
//
// Piece p (8 channels, 16 bytes) of pixel (row, column) of a box lies at piece p ^ key_of(row, column) of its
// 128 bytes: eight pixels in a row, in a column, or of different keys then lie in different banks.
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/tile_staged.cuh"

namespace smsr::cuda {

constexpr int kTileColumns = 16, kMaxStages = 4, kStagedWarps = 8;
constexpr int kBarrierBytes = 8, kStageBarriers = 2;
constexpr int kBlockChannels = 64;  // a pixel takes whole blocks of so many channels in shared memory

// kRows x kTileColumns pixels of the output, in units of up to kUnitPixels. kCollect: no halo.
template <int kRows_, bool kCollect_, int kUnitPixels_ = kUnitRows>
struct TileBox {
  static constexpr bool kCollect = kCollect_;
  static constexpr int kRows = kRows_, kHalo = kCollect ? 0 : 1;
  static constexpr int kHigh = kRows + 2 * kHalo, kWide = kTileColumns + 2 * kHalo;
  static constexpr int kPixels = kRows * kTileColumns;
  static constexpr int kUnitPixels = kUnitPixels_, kPairs = kUnitPixels / 16;  // at most
  // A convolution's units are of active or of inactive pixels only.
  static constexpr int kUnits = kCollect ? 1 : kPixels / kUnitPixels + 1;
  static_assert(kCollect ? kBandRows % kRows == 0 : kRows == 8 || kRows == 16,
                "whole bands, or parts of one");
};

using ConvolutionBox = TileBox<16, false>;
// Half as large, in units half as large, for images of fewer than kFewTiles of the others: so that all
// multiprocessors (132 of an H100) and all warps of a block have some.
using SmallConvolutionBox = TileBox<8, false, 32>;
constexpr int kFewTiles = 128;
using CollectBox = TileBox<4, true>;       // 64 pixels: one unit
using SmallCollectBox = TileBox<2, true>;  // for many layers of many channels

static_assert(ConvolutionBox::kPixels == kTilePixels && ConvolutionBox::kWide < kActiveLane, "TileRecord");

static_assert(SmallConvolutionBox::kUnits == ConvolutionBox::kUnits, "workspace.h counts units by tiles");

// Tiles of an image in a convolution.
template <class Box>
inline int staged_tiles(int height, int width) {
  return (height + Box::kRows - 1) / Box::kRows * ((width + kTileColumns - 1) / kTileColumns);
}

struct StagedInputs {
  const void* sources;      // [groups or 1] tensors [N, H, W, channels], `stride` numbers apart
  long long stride;         // collect only
  DenseChannels dense;      // of each source
  const Vector* weights;    // [slices, groups, channels / 16, StagedTile::kStepVectors] packed
  const TileRecord* tiles;  // Plan::tiles, of the convolutions' tiles
  uint32* counters;         // [slices] tiles handed out
  PlanSizes sizes;
  int channels, groups;  // groups: taps, or layers
  int tiles_across, tiles_down, stages, weights_bytes;
  int record_rows;  // of the tiles that have a record
};

// What a stage says about its tile, in shared memory behind its boxes.
template <class Box>
struct StageHeader {
  int tile;  // negative: there are no more
  int active, inactive;
  uint32 taken, left;                              // units handed out, warps that have left the tile
  int unused[3];                                   // so that the list can be copied by 16 bytes
  uint8 pixels[Box::kCollect ? 16 : kTilePixels];  // TileRecord::pixels
};

SMSR_HOST_DEVICE int bytes_per_pixel(int channels) {
  return (channels + kBlockChannels - 1) / kBlockChannels * kBlockChannels * 2;
}
template <class Box>
SMSR_HOST_DEVICE int box_bytes(int channels) {
  return Box::kHigh * Box::kWide * bytes_per_pixel(channels);
}
template <class Box>
SMSR_HOST_DEVICE int stage_bytes(int channels, int groups) {
  const int boxes = Box::kCollect ? groups + 1 : 1;
  return boxes * box_bytes<Box>(channels) + (static_cast<int>(sizeof(StageHeader<Box>)) + 127) / 128 * 128;
}

// The tile that is next to be copied, and the one after it; in shared memory. Only the warp that fills a
// stage reads and writes this, and no two do so at once.
struct NextTiles {
  int tile, after;
  uint32 column[kWarpSize];  // load_column() of `tile`
};

// Shared memory of a block: weights, stages, NextTiles, two barriers for each stage: full, empty.
template <class Box>
class Ring {
 public:
  SMSR_DEVICE Ring(const StagedInputs& in, int weights_bytes)
      : first_(static_cast<char*>(shared_memory()) + weights_bytes),
        boxes_((Box::kCollect ? in.groups + 1 : 1) * box_bytes<Box>(in.channels)),
        bytes_(stage_bytes<Box>(in.channels, in.groups)),
        stages_(in.stages) {}
  static SMSR_HOST_DEVICE int bytes(int channels, int groups, int stages) {
    return stages * (stage_bytes<Box>(channels, groups) + kStageBarriers * kBarrierBytes) +
           static_cast<int>(sizeof(NextTiles));
  }
  SMSR_DEVICE int parity() const { return parity_; }
  SMSR_DEVICE void next() {
    if (++stage_ < stages_) return;
    stage_ = 0;
    parity_ ^= 1;
  }
  SMSR_DEVICE void go_to(int stage) { stage_ = stage; }
  SMSR_DEVICE uint32 boxes() const { return shared_address(first_ + stage_ * bytes_); }
  SMSR_DEVICE StageHeader<Box>* header() const {
    return reinterpret_cast<StageHeader<Box>*>(first_ + stage_ * bytes_ + boxes_);
  }
  SMSR_DEVICE NextTiles* next_tiles() const {
    return reinterpret_cast<NextTiles*>(first_ + stages_ * bytes_);
  }
  // A phase of both barriers is one use of the stage. Full: every lane of the warp that fills it has arrived,
  // and its copies. Empty: every warp has left the tile.
  SMSR_DEVICE uint32 full() const { return barrier(stage_, 0); }
  SMSR_DEVICE uint32 empty() const { return barrier(stage_, 1); }
  // One thread, before the first use, and after the last.
  SMSR_DEVICE void create_barriers() const {
    for (int i = 0; i < stages_; ++i) {
      barrier_create(barrier(i, 0), 2 * kWarpSize);
      barrier_create(barrier(i, 1), kStagedWarps);
    }
  }
  SMSR_DEVICE void destroy_barriers() const {
    for (int i = 0; i < stages_; ++i)
      for (int which = 0; which < kStageBarriers; ++which) barrier_destroy(barrier(i, which));
  }

 private:
  SMSR_DEVICE uint32 barrier(int stage, int which) const {
    return shared_address(first_ + stages_ * bytes_ + sizeof(NextTiles)) +
           static_cast<uint32>(kBarrierBytes * (kStageBarriers * stage + which));
  }
  char* first_;
  int boxes_, bytes_, stages_;
  int stage_ = 0, parity_ = 0;
};

// The place in shared memory of a pixel's pieces, and therefore their banks, depends on its key.
SMSR_DEVICE int key_of(int row, int column) { return (3 * row + column) & 7; }

// Where a tile begins.
struct TilePlace {
  int image, y, x;
};
template <class Box>
SMSR_DEVICE TilePlace place_of(const StagedInputs& in, int tile) {
  const int across = tile % in.tiles_across, row = tile / in.tiles_across;
  return {row / in.tiles_down, row % in.tiles_down * Box::kRows, across * kTileColumns};
}

SMSR_DEVICE int tiles_of(const StagedInputs& in) { return in.tiles_across * in.tiles_down * in.sizes.batch; }

// Active pixels of the lane's column of a box: bit r is its row r. No tile: 0.
template <class Box>
SMSR_DEVICE uint32 load_column(const StagedInputs& in, int tile) {
  const int lane = thread_index() % kWarpSize;
  if (tile >= tiles_of(in)) return 0;
  if (!Box::kCollect) return in.tiles[tile].column[lane];
  if (lane >= Box::kWide) return 0;
  const TilePlace place = place_of<Box>(in, tile);
  const int down = divide_up(in.sizes.height, in.record_rows), row = place.y % in.record_rows;
  const int record =
      (place.image * down + place.y / in.record_rows) * in.tiles_across + tile % in.tiles_across;
  return in.tiles[record].column[lane + 1] >> (row + 1) & ((1u << Box::kRows) - 1u);
}

// Rows of a box that lie inside the image, as bits.
template <class Box>
SMSR_DEVICE uint32 rows_inside(const StagedInputs& in, const TilePlace& place) {
  const int below = smaller(Box::kHigh, in.sizes.height - place.y + Box::kHalo);
  return ((1u << below) - 1u) & (place.y == 0 && Box::kHalo != 0 ? ~1u : ~0u);
}

// Copies the first `needed` pieces of every pixel of a box, kPieces (8 or 4) of a pixel at once. Inactive
// pixels have the first `dense` pieces.
template <class Box, int kPieces>
SMSR_DEVICE void copy_pieces(const StagedInputs& in, const Half* source, const TilePlace& place,
                             uint32 column, int dense, int needed, uint32 box) {
  constexpr int kAtOnce = kWarpSize / kPieces, kAcross = (Box::kWide + kAtOnce - 1) / kAtOnce;
  const int lane = thread_index() % kWarpSize;
  // Eight neighbouring lanes copy to different banks: a pixel, or halves of two whose keys differ by 4.
  const int first_column = kPieces == 8 ? lane / 8 : lane / 4 % 2 * 4 + lane / 8;
  const uint32 inside = rows_inside<Box>(in, place);
  const int pixel_bytes = bytes_per_pixel(in.channels), x = place.x - Box::kHalo + first_column;
  uint32 active[kAcross];
#pragma unroll
  for (int i = 0; i < kAcross; ++i) active[i] = shuffle(column, first_column + kAtOnce * i);
  for (int piece = lane % kPieces; piece - lane % kPieces < needed; piece += kPieces) {
    uint32 exists[kAcross];
#pragma unroll
    for (int i = 0; i < kAcross; ++i) {
      const int at = x + kAtOnce * i;
      exists[i] = at < 0 || at >= in.sizes.width ? 0u : piece < dense ? inside : active[i];
    }
    if (piece >= needed) continue;
    const long long image = static_cast<long long>(place.image) * in.sizes.height + place.y - Box::kHalo;
    const Half* from = source + (image * in.sizes.width + x) * in.channels + piece * kPiece;
    const uint32 first = box + static_cast<uint32>(first_column * pixel_bytes + piece / 8 * 128);
    for (int row = 0; row < Box::kHigh; ++row) {
      const uint32 to = first + static_cast<uint32>(row * Box::kWide * pixel_bytes);
      const int swizzled = 16 * ((piece & 7) ^ key_of(row, first_column));
#pragma unroll
      for (int i = 0; i < kAcross; ++i) {
        const bool there = (exists[i] >> row & 1u) != 0;
        const int other_key = kAtOnce * i % 8 * 16;  // 0 or 64
        copy_or_zero(kAtOnce * (i + 1) <= Box::kWide || first_column < Box::kWide - kAtOnce * i,
                     to + static_cast<uint32>(kAtOnce * i * pixel_bytes + (swizzled ^ other_key)),
                     there ? from + kAtOnce * i * in.channels : source, there);
      }
      from += static_cast<long long>(in.sizes.width) * in.channels;
    }
  }
}

template <class Box>
SMSR_DEVICE void copy_box(const StagedInputs& in, const Half* source, const TilePlace& place, uint32 column,
                          int dense, int needed, uint32 box) {
  if (!Box::kCollect && needed <= 4)
    copy_pieces<Box, 4>(in, source, place, column, dense, needed, box);
  else
    copy_pieces<Box, 8>(in, source, place, column, dense, needed, box);
}

// Brings the tile's lists and their lengths; returns the number of active pixels, of the collect whether
// there are any.
template <class Box>
SMSR_DEVICE int copy_lists(const StagedInputs& in, int tile, uint32 column, StageHeader<Box>* header) {
  const int lane = thread_index() % kWarpSize;
  if (Box::kCollect) {  // no list: all in their order
    const int any = ballot(column != 0) != 0 ? 1 : 0;
    if (lane == 0) header->active = any;
    return any;
  }
  const int active = static_cast<int>(shuffle(column, kActiveLane));
  const int inactive = static_cast<int>(shuffle(column, kInactiveLane));
  if (lane == 0) {
    header->active = active;
    header->inactive = inactive;
  }
  copy_or_zero(lane < kTilePixels / 16, shared_address(header->pixels + 16 * (lane % 16)),
               in.tiles[tile].pixels + 16 * (lane % 16), true);
  return active;
}

// Pieces that whole steps need of the first `channels` channels.
SMSR_DEVICE int pieces_of_steps(int channels) { return 2 * divide_up(channels, StagedTile::kDepth); }

template <class Box>
SMSR_DEVICE void copy_boxes(const StagedInputs& in, const ConvolutionOutputs& to, const TilePlace& place,
                            uint32 column, int active, uint32 boxes) {
  const int dense = dense_of(in.dense, 0);
  int needed = active > 0 ? in.channels / kPiece : pieces_of_steps(dense);
  if (active == 0 && to.dense <= block_y() * StagedTile::kColumns) needed = 0;
  copy_box<Box>(in, static_cast<const Half*>(in.sources), place, column, divide_up(dense, kPiece), needed,
                boxes);
}

template <class Box>
SMSR_DEVICE void copy_boxes(const StagedInputs& in, const CollectOutputs& to, const TilePlace& place,
                            uint32 column, int active, uint32 boxes) {
  const int all = in.channels / kPiece;
  const uint32 bytes = static_cast<uint32>(box_bytes<Box>(in.channels));
  for (int layer = 0; layer < in.groups; ++layer) {
    const int dense = dense_of(in.dense, layer);
    const int needed = active > 0 ? all : pieces_of_steps(dense);
    copy_box<Box>(in, static_cast<const Half*>(in.sources) + layer * in.stride, place, column,
                  divide_up(dense, kPiece), needed, boxes + static_cast<uint32>(layer) * bytes);
  }
  copy_box<Box>(in, static_cast<const Half*>(to.residual), place, column, all, all,
                boxes + static_cast<uint32>(in.groups) * bytes);
}

// Fills the ring's stage, or ends the ring where the tile does not exist. `column`: load_column() of the
// tile.
template <class Box, class Outputs>
SMSR_DEVICE void fill_stage(const StagedInputs& in, const Outputs& to, const Ring<Box>& ring, int tile,
                            uint32 column) {
  StageHeader<Box>* header = ring.header();
  const bool exists = tile < tiles_of(in);
  if (thread_index() % kWarpSize == 0) {
    header->tile = exists ? tile : -1;
    header->taken = 0;
    header->left = 0;
  }
  if (exists) {
    const TilePlace place = place_of<Box>(in, tile);
    const int active = copy_lists<Box>(in, tile, column, header);
    copy_boxes<Box>(in, to, place, column, active, ring.boxes());
    barrier_arrive_after_copies(ring.full());
  } else {
    barrier_arrive(ring.full());  // in its place: nothing may be on its way when the block ends
  }
  barrier_arrive(ring.full());
}

// The number of a tile that no block has taken; the first ones of every block are not taken but its own.
SMSR_DEVICE uint32 take_tile(const StagedInputs& in) {
  const uint32 taken = thread_index() % kWarpSize == 0 ? atomic_add(in.counters + block_y(), 1u) : 0u;
  return taken + static_cast<uint32>(in.stages * blocks_x());
}

// Before the first fill_next(): one warp.
template <class Box>
SMSR_DEVICE void take_first(const StagedInputs& in, const Ring<Box>& ring) {
  const int tile = static_cast<int>(shuffle(take_tile(in), 0));
  const int after = static_cast<int>(shuffle(take_tile(in), 0));
  ring.next_tiles()->tile = tile;
  ring.next_tiles()->after = after;
  ring.next_tiles()->column[thread_index() % kWarpSize] = load_column<Box>(in, tile);
}

// Fills the ring's stage with the next tile. The mask around the tile after it, and the number of the one
// after that, are on their way meanwhile.
template <class Box, class Outputs>
SMSR_DEVICE void fill_next(const StagedInputs& in, const Outputs& to, const Ring<Box>& ring) {
  NextTiles* next = ring.next_tiles();
  const int lane = thread_index() % kWarpSize, tile = next->tile, after = next->after;
  const uint32 column = next->column[lane], taken = take_tile(in);
  const uint32 column_after = load_column<Box>(in, after);
  fill_stage<Box>(in, to, ring, tile, column);
  sync_warp();
  next->column[lane] = column_after;
  if (lane != 0) return;
  next->tile = after;
  next->after = static_cast<int>(taken);
}

}  // namespace smsr::cuda
