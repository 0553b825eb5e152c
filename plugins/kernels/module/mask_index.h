// The spatial mask as sorted lists of pixels and of 4x4 tiles: made once per module, walked by every layer.
#pragma once

#include <algorithm>

#include "module/module_kernels.h"
#include "parallel.h"
#include "winograd/winograd.h"

namespace smsr {

// The number of active pixels from which a tile is cheaper by Winograd than pixel by pixel. Fewer where the
// leading outputs of its inactive pixels are needed too (README). In reduced precision pixel by pixel is
// cheaper still.
struct HeavyFrom {
  int active, with_inactive;
};
constexpr HeavyFrom kHeavyFrom = {5, 3}, kHeavyFromReduced = {7, 3};
// Most active pixels of a tile that is not computed by Winograd.
constexpr int kMostOutsideHeavy = std::max(kHeavyFrom.active, kHeavyFromReduced.active) - 1;
constexpr int kMostOutsideHeavyWithInactive =
    std::max(kHeavyFrom.with_inactive, kHeavyFromReduced.with_inactive) - 1;

// A list whose entries of image or tile row r are items[start[r]] .. items[start[r + 1]].
template <class T>
struct ListByRow {
  T* items;
  int64_t* start;
  const T* from(int64_t row) const { return items + start[row]; }
  int64_t count(int64_t row, int64_t end) const { return start[end] - start[row]; }
};

struct MaskIndex {
  int64_t height, width;
  HeavyFrom heavy_from;
  unsigned char* mask;  // [H, W] bits kActive and kInHeavyTile
  Pixel* pixels;        // [H * W] all active ones, then all others, each in raster order
  int64_t* row_start;   // [H + 1] active pixels above row y

  // By rows of tiles.
  uint16_t *tile_active, *tile_marked;  // [tiles] active pixels; inactive ones marked kBesideActive
  ListByRow<Tile> heavy, heavy_with_inactive;
  ListByRow<Tile> light_with_inactive;  // all tiles that heavy_with_inactive leaves out
  ListByRow<Pixel> outside_heavy, outside_heavy_with_inactive;  // active pixels

  Pixels active(int64_t y0, int64_t y1) const {
    return {pixels + row_start[y0], row_start[y1] - row_start[y0]};
  }
  Pixels inactive(int64_t y0, int64_t y1) const {
    const int64_t above = y0 * width - row_start[y0];
    return {pixels + row_start[height] + above, (y1 - y0) * width - (row_start[y1] - row_start[y0])};
  }
};

// Fills `index` (its pointers given) from margin [H, W], rows `row_stride` elements apart.
void index_mask(const float* margin, int64_t row_stride, float theta, const Parallel& parallel,
                const MaskIndex& index);

}  // namespace smsr
