// Convolutions of every pixel of an image by Winograd, tile by tile.
#pragma once

#include "dense/dense_kernels.h"
#include "parallel.h"
#include "scratch.h"
#include "winograd/winograd.h"

namespace smsr {

// The 3x3 convolution `c` from prepared weights, all tiles of the image. addend: its data may be null.
template <class Weight>
void convolve_by_tiles(const PixelConvolution& c, const Weight* prepared, const ConstRows& addend,
                       const Rows& out, TileKernel<float, float, Weight> kernel, const Parallel& parallel,
                       const ScratchSlots& slots) {
  const TileConvolutionOf<float, float, Weight> tiles{c.in,      c.outputs, prepared, c.bias, c.relu,
                                                      c.outputs, false,     addend,   out};
  const int64_t count = tiles_along(c.in.height) * tiles_along(c.in.width);
  parallel_parts(parallel, count, kTilesPerBlock, [&](int64_t first, int64_t block) {
    const Scratch scratch(slots);
    kernel(tiles, {nullptr, first, block}, scratch.data());
  });
}

}  // namespace smsr
