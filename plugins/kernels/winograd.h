// 3x3 convolutions by Winograd's F(4x4, 3x3): 36 multiplications for 16 pixels in place of 144.
//
// A tile of 4x4 outputs y comes from the 6x6 inputs d around it:  y = A^T ((G g G^T) * (B^T d B)) A,  the
// products * summed over input channels: 36 small matrix products [tiles x inputs] x [inputs x outputs], one
// per point. Matrices and the choice of points: winograd.cpp.
//
// The 16 outputs of a tile share their sums: a NaN or an infinity among the 6x6 inputs reaches all of them,
// where the direct convolution would touch its neighbours only. So every input in reach must be written.
#pragma once

#include <cstdint>

#include "kernels.h"

namespace smsr {

constexpr int64_t kTileSize = 4;         // outputs of a tile, each way
constexpr int64_t kWindowSize = 6;       // inputs of a tile, each way
constexpr int64_t kWinogradPoints = 36;  // matrix products
// In reduced precision: matrices of a tile's parts, which share their weights.
constexpr int64_t kReducedPoints = 24, kReducedParts = 2;
// Tiles of one block: its transformed inputs and outputs stay in the second-level cache (README).
constexpr int64_t kTilesPerBlock = 24;

inline int64_t tiles_along(int64_t pixels) { return (pixels + kTileSize - 1) / kTileSize; }

// Transformed weights of one convolution: how many floats, and filling them from `weights` [9, inputs,
// outputs]. Once per model: [36, inputs, outputs], computed in double.
int64_t winograd_weights_size(int64_t inputs, int64_t outputs);
void winograd_prepare(const float* weights, int64_t inputs, int64_t outputs, float* prepared);

// Values between the transformed inputs, or outputs, of a block's tiles: their points, and 16 that keep the
// tiles from sharing the cache's sets.
inline int64_t tile_stride(int64_t points, int64_t channels) { return points * channels + 16; }

// Floats of scratch memory for one call of Kernels::convolve_tiles, whatever its number of tiles. 64-byte
// aligned memory is fastest.
int64_t winograd_scratch_size(int64_t inputs, int64_t outputs);

// A tile and what to write of it. Bit 4 * y + x of a mask: the pixel y rows and x columns into the tile. Bits
// of pixels outside the image are ignored.
struct Tile {
  uint32_t index;    // ty * tiles_along(width) + tx
  uint16_t full;     // write all outputs of these pixels
  uint16_t leading;  // write outputs [0, leading) of these, too
  uint16_t zero;     // write zero to outputs [leading, outputs) of these, which `leading` must hold
};
// `list` null: all tiles [first, first + count) in raster order, all outputs of all pixels.
struct Tiles {
  const Tile* list;
  int64_t first, count;
};

// out = conv(in) [+ bias] [+ addend] [ReLU]. Inputs and outputs are multiples of 16 and the elements between
// pixels of `in`, and of `out` and `addend`.
template <class In, class Out, class Weight>
struct TileConvolutionOf {
  int64_t height, width, inputs, outputs;
  const Weight* weights;  // winograd_prepare's
  const In* zeros;        // [inputs], read in place of pixels outside the image
  const float* bias;      // [outputs] or null
  bool relu;
  int64_t leading;    // see Tile
  bool leading_only;  // no tile of the list has `full` pixels: the other outputs are not computed
  RowsOf<const In> in;
  ConstRows addend;  // data null: none. May be the memory of `out`.
  RowsOf<Out> out;
};

}  // namespace smsr
