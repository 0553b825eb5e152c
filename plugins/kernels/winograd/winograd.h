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

#include "layout.h"
#include "rows.h"
#include "smsr_contract.h"

namespace smsr {

constexpr int64_t kTileSize = 4;         // outputs of a tile, each way
constexpr int64_t kWindowSize = 6;       // inputs of a tile, each way
constexpr int64_t kWinogradPoints = 36;  // matrix products
// In reduced precision: matrices of a tile's parts, which share their weights.
constexpr int64_t kReducedPoints = 24, kReducedParts = 2;
// Tiles of one block: its transformed inputs and outputs stay in the second-level cache (README).
constexpr int64_t kTilesPerBlock = 24;
constexpr int64_t kTilePixels = kTileSize * kTileSize;

inline int64_t tiles_along(int64_t pixels) { return divide_up(pixels, kTileSize); }

// Whether a convolution can be computed so at all.
inline bool winograd_can(int64_t inputs, int taps) {
  return taps == 9 && inputs % contract::kLanePadding == 0;
}

// Transformed weights of one convolution: their number, and filling them from `weights` [tap
// 9][inputs][outputs]. Once per model: [point 36][inputs][outputs], computed in double.
int64_t winograd_weights_size(int64_t inputs, int64_t outputs);
void winograd_prepare(const float* weights, int64_t inputs, int64_t outputs, float* prepared);

// The same for multiplicands of reduced precision, which have points of their own: [point
// 24][inputs][outputs], each matrix packed.
struct ReducedKernels;  // kernels.h
int64_t reduced_winograd_size(int64_t inputs, int64_t outputs);
void winograd_prepare_reduced(const ReducedKernels& kernels, const float* weights, int64_t inputs,
                              int64_t outputs, Reduced* prepared);

// A matrix [inputs][outputs] as the reduced kernels read it: `kernels.step` inputs of an output side by side.
void pack_reduced(const ReducedKernels& kernels, const float* matrix, int64_t inputs, int64_t outputs,
                  Reduced* packed);

// Values between the transformed inputs, or outputs, of a block's tiles: their points, and a gap that keeps
// the tiles from sharing the cache's sets.
constexpr int64_t kTileGap = 16;
inline int64_t tile_stride(int64_t points, int64_t channels) { return points * channels + kTileGap; }

// Floats of scratch memory for one call of a TileKernel, whatever its number of tiles. Memory that starts a
// cache line is fastest.
int64_t winograd_scratch_size(int64_t inputs, int64_t outputs);

// A tile and what to write of it. Bit 4 * y + x of a mask: the pixel y rows and x columns into the tile. Bits
// of pixels outside the image are ignored.
struct Tile {
  uint32_t index;    // ty * tiles_along(width) + tx
  uint16_t full;     // write all outputs of these pixels
  uint16_t leading;  // also write outputs [0, leading) of these
  uint16_t zero;     // write zero to outputs [leading, outputs) of these, which `leading` must hold
};
// `list` null: all tiles [first, first + count) in raster order, all outputs of all pixels.
struct Tiles {
  const Tile* list;
  int64_t first, count;
};

// out = conv(in) [+ bias] [+ addend] [ReLU]. Inputs and outputs are multiples of kLanePadding, and the
// elements between pixels of `in`, and of `out` and `addend`.
template <class In, class Out, class Weight>
struct TileConvolutionOf {
  PaddedImageOf<In> in;
  int64_t outputs;
  const Weight* weights;  // winograd_prepare's or winograd_prepare_reduced's
  const float* bias;      // [outputs] or null
  bool relu;
  int64_t leading;    // see Tile
  bool leading_only;  // no tile of the list has `full` pixels: the other outputs are not computed
  ConstRows addend;   // [H, W, outputs]; data null: none. May be the memory of `out`.
  RowsOf<Out> out;    // [H, W, outputs]
};

// scratch: winograd_scratch_size() floats of this call's own.
template <class In, class Out, class Weight>
using TileKernel = void (*)(const TileConvolutionOf<In, Out, Weight>&, Tiles, float* scratch);

}  // namespace smsr
