#include "module/workspace.h"

#include <algorithm>

#include "layout.h"
#include "smsr_contract.h"

namespace smsr {
namespace {

// Enough work between two barriers, times the layers; more would leave the second-level cache (README).
constexpr int64_t kStepPixels = 1024;

template <class T>
ListByRow<T> take_list(int64_t rows, int64_t most, Cursor* cursor) {
  return {cursor->take<T>(most), cursor->take<int64_t>(rows + 1)};
}

void lay_out_tiles(const Shape& shape, MaskIndex* index, Cursor* cursor) {
  const int64_t rows = tiles_along(shape.height), tiles = rows * tiles_along(shape.width);
  index->tile_active = cursor->take<uint16_t>(tiles);
  index->tile_marked = cursor->take<uint16_t>(tiles);
  index->heavy = take_list<Tile>(rows, tiles, cursor);
  index->heavy_with_inactive = take_list<Tile>(rows, tiles, cursor);
  index->light_with_inactive = take_list<Tile>(rows, tiles, cursor);
  index->outside_heavy = take_list<Pixel>(rows, tiles * kMostOutsideHeavy, cursor);
  index->outside_heavy_with_inactive = take_list<Pixel>(rows, tiles * kMostOutsideHeavyWithInactive, cursor);
}

}  // namespace

int64_t step_rows(const Shape& shape) {
  const int64_t tile_rows = tiles_along(divide_up(kStepPixels, shape.width));
  return kTileSize * std::min(tiles_along(shape.height), tile_rows);
}

int64_t ring_rows(const Shape& shape, int64_t layer) {
  const int64_t rows = stage_row(shape, 0, layer) + step_rows(shape) - stage_row(shape, 0, shape.layers);
  return std::min(shape.height, rows);
}

size_t lay_out(const Shape& shape, void* base, ModuleWorkspace* workspace) {
  const int64_t pixels = shape.height * shape.width;
  Cursor cursor(base, kCacheLine);
  workspace->index.height = shape.height;
  workspace->index.width = shape.width;
  workspace->index.mask = cursor.take<unsigned char>(pixels);
  workspace->index.pixels = cursor.take<Pixel>(pixels);
  workspace->index.row_start = cursor.take<int64_t>(shape.height + 1);
  lay_out_tiles(shape, &workspace->index, &cursor);
  workspace->zeros = cursor.take<float>(shape.channels);
  workspace->scale = cursor.take<float>(shape.channels);
  workspace->squeezed = cursor.take<float>(shape.channels / contract::kChannelAttentionReduction);
  workspace->row_sums = cursor.take<float>(shape.height * shape.channels);
  static_assert(sizeof(Rows) == sizeof(RowsOf<Reduced>));
  workspace->ring_views = cursor.take<Rows>(shape.layers);
  workspace->stages = cursor.take<Stage>(shape.layers);
  workspace->full = cursor.take<int64_t>(shape.layers);
  int64_t rows = 0;
  for (int64_t layer = 0; layer < shape.layers; ++layer) rows += ring_rows(shape, layer);
  workspace->rings = cursor.take<float>(rows * shape.width * shape.channels);
  workspace->scratch = take_scratch(winograd_scratch_size(shape.channels, shape.channels), &cursor);
  return cursor.bytes_unaligned();
}

}  // namespace smsr
