#include "module/mask_index.h"

#include <algorithm>

namespace smsr {
namespace {

constexpr unsigned char kActive = 1, kInHeavyTile = 2;
constexpr int64_t kTileRowsPerTask = 4;

int active_pixels(uint16_t tile) { return __builtin_popcount(tile); }

int64_t mark_row(const float* margin, float theta, int64_t width, unsigned char* mask) {
  int64_t active = 0;
  for (int64_t x = 0; x < width; ++x) {
    mask[x] = margin[x] - theta > 0.0f;
    active += mask[x];
  }
  return active;
}

// Tiles of row `ty`: their active pixels, and how many entries each list gets. Heavy tiles are marked in the
// mask: Winograd reads all pixels around them.
void mark_tiles(const MaskIndex& index, int64_t ty) {
  const int64_t along = tiles_along(index.width), y0 = ty * kTileSize;
  const int64_t rows = std::min(kTileSize, index.height - y0);
  uint16_t* const tiles = index.tile_active + ty * along;
  int64_t heavy = 0, with_inactive = 0, outside = 0, outside_with_inactive = 0;
  for (int64_t tx = 0; tx < along; ++tx) {
    unsigned char* const corner = index.mask + y0 * index.width + tx * kTileSize;
    const int64_t columns = std::min(kTileSize, index.width - tx * kTileSize);
    unsigned bits = 0;
    for (int64_t y = 0; y < rows; ++y)
      for (int64_t x = 0; x < columns; ++x)
        bits |= static_cast<unsigned>(corner[y * index.width + x]) << (y * kTileSize + x);
    tiles[tx] = static_cast<uint16_t>(bits);
    const int count = active_pixels(tiles[tx]);
    count >= index.heavy_from.active ? ++heavy : outside += count;
    count >= index.heavy_from.with_inactive ? ++with_inactive : outside_with_inactive += count;
    if (count < index.heavy_from.active) continue;
    for (int64_t y = 0; y < rows; ++y)
      for (int64_t x = 0; x < columns; ++x) corner[y * index.width + x] |= kInHeavyTile;
  }
  index.heavy.start[ty + 1] = heavy;
  index.heavy_with_inactive.start[ty + 1] = with_inactive;
  index.light_with_inactive.start[ty + 1] = along - with_inactive;
  index.outside_heavy.start[ty + 1] = outside;
  index.outside_heavy_with_inactive.start[ty + 1] = outside_with_inactive;
}

unsigned any_of_three_rows(const MaskIndex& index, int64_t y, int64_t x) {
  const unsigned char* row = index.mask + y * index.width + x;
  unsigned any = row[0];
  if (y > 0) any |= row[-index.width];
  if (y + 1 < index.height) any |= row[index.width];
  return any;
}

void list_row(const MaskIndex& index, int64_t y) {
  const int64_t width = index.width, first_tile = y / kTileSize * tiles_along(width);
  Pixel* active = index.pixels + index.row_start[y];
  Pixel* inactive = const_cast<Pixel*>(index.inactive(y, y + 1).first);
  unsigned left = 0, here = any_of_three_rows(index, y, 0);
  for (int64_t x = 0; x < width; ++x) {
    const unsigned right = x + 1 < width ? any_of_three_rows(index, y, x + 1) : 0;
    const Pixel pixel = static_cast<Pixel>(y * width + x);
    if (index.mask[y * width + x] & kActive) {
      *active++ = pixel;
    } else if (left | here | right) {
      *inactive++ = pixel | kBesideActive;
      const auto bit = static_cast<uint16_t>(1 << (y % kTileSize * kTileSize + x % kTileSize));
      index.tile_marked[first_tile + x / kTileSize] |= bit;
    } else {
      *inactive++ = pixel;
    }
    left = here;
    here = right;
  }
}

void list_tiles(const MaskIndex& index, int64_t ty) {
  const int64_t along = tiles_along(index.width);
  Tile* heavy = index.heavy.items + index.heavy.start[ty];
  Tile* with_inactive = index.heavy_with_inactive.items + index.heavy_with_inactive.start[ty];
  Tile* light = index.light_with_inactive.items + index.light_with_inactive.start[ty];
  for (int64_t i = ty * along; i < (ty + 1) * along; ++i) {
    const auto tile = static_cast<uint32_t>(i);
    const uint16_t active = index.tile_active[i], marked = index.tile_marked[i], all = 0xffff;
    const int count = active_pixels(active);
    if (count >= index.heavy_from.active) *heavy++ = {tile, active, 0, 0};
    if (count >= index.heavy_from.with_inactive)
      *with_inactive++ = {tile, active, all, marked};
    else
      *light++ = {tile, 0, static_cast<uint16_t>(~active), marked};
  }
}

// Active pixels of tiles with fewer than `heavy` of them, in raster order.
void list_outside(const MaskIndex& index, int64_t ty, int heavy, const ListByRow<Pixel>& list) {
  const uint16_t* const tiles = index.tile_active + ty * tiles_along(index.width);
  const int64_t y0 = ty * kTileSize, y1 = std::min(index.height, y0 + kTileSize);
  const Pixels active = index.active(y0, y1);
  Pixel* out = list.items + list.start[ty];
  int64_t y = y0;
  for (int64_t i = 0; i < active.count; ++i) {
    const int64_t pixel = active.first[i];
    while (pixel >= (y + 1) * index.width) ++y;
    if (active_pixels(tiles[(pixel - y * index.width) / kTileSize]) < heavy) *out++ = active.first[i];
  }
}

void list_tile_row(const MaskIndex& index, int64_t ty) {
  const int64_t along = tiles_along(index.width);
  std::fill_n(index.tile_marked + ty * along, along, uint16_t{0});
  for (int64_t y = ty * kTileSize; y < std::min(index.height, (ty + 1) * kTileSize); ++y) list_row(index, y);
  list_tiles(index, ty);
  list_outside(index, ty, index.heavy_from.active, index.outside_heavy);
  list_outside(index, ty, index.heavy_from.with_inactive, index.outside_heavy_with_inactive);
}

// Counts per row, from start[1] on, to sums.
void accumulate(int64_t* start, int64_t rows) {
  start[0] = 0;
  for (int64_t i = 0; i < rows; ++i) start[i + 1] += start[i];
}

}  // namespace

void index_mask(const float* margin, int64_t row_stride, float theta, const Parallel& parallel,
                const MaskIndex& index) {
  const int64_t height = index.height, tile_rows = tiles_along(height);
  const auto for_tile_rows = [&](const auto& body) {
    parallel_parts(parallel, tile_rows, kTileRowsPerTask, [&](int64_t first, int64_t count) {
      for (int64_t ty = first; ty < first + count; ++ty) body(ty);
    });
  };
  for_tile_rows([&](int64_t ty) {
    for (int64_t y = ty * kTileSize; y < std::min(height, (ty + 1) * kTileSize); ++y)
      index.row_start[y + 1] =
          mark_row(margin + y * row_stride, theta, index.width, index.mask + y * index.width);
    mark_tiles(index, ty);
  });
  accumulate(index.row_start, height);
  for (int64_t* start : {index.heavy.start, index.heavy_with_inactive.start, index.light_with_inactive.start,
                         index.outside_heavy.start, index.outside_heavy_with_inactive.start})
    accumulate(start, tile_rows);
  for_tile_rows([&](int64_t ty) { list_tile_row(index, ty); });
}

}  // namespace smsr
