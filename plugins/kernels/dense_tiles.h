// Convolutions of every pixel of an image by Winograd, tile by tile.
#pragma once

#include "dense_kernels.h"
#include "parallel.h"
#include "scratch.h"
#include "winograd.h"

namespace smsr {

// A 3x3 convolution as tiles compute it, from prepared weights; `out` and `addend` are left out.
template <class Weight>
TileConvolutionOf<float, float, Weight> by_tiles(const PixelConvolution& c, const Weight* prepared) {
  TileConvolutionOf<float, float, Weight> tiles{};
  tiles.height = c.height;
  tiles.width = c.width;
  tiles.inputs = c.inputs;
  tiles.outputs = tiles.leading = c.outputs;
  tiles.weights = prepared;
  tiles.zeros = c.zeros;
  tiles.bias = c.bias;
  tiles.relu = c.relu;
  tiles.in = {c.in, c.width * c.inputs, c.height};
  return tiles;
}

// body(first, count, scratch) for blocks of all tiles of the image, in raster order.
template <class Body>
void parallel_blocks(const Parallel& parallel, const PixelConvolution& c, const ScratchSlots& slots,
                     const Body& body) {
  const int64_t tiles = tiles_along(c.height) * tiles_along(c.width);
  parallel_parts(parallel, tiles, kTilesPerBlock, [&](int64_t first, int64_t count) {
    const Scratch scratch(slots);
    body(first, count, scratch.data());
  });
}

}  // namespace smsr
