// The parts of the module's scratch memory. Their sizes are determined by the shape alone, and never shrink
// as it grows.
#pragma once

#include "cuda/sparse_mask_module_cuda.h"
#include "cuda/tile_float.cuh"
#include "cuda/tile_half.cuh"
#include "cuda/tile_staged.cuh"
#include "cuda/types.cuh"
#include "layout.h"

namespace smsr::cuda {

struct Workspace {
  PlanSizes sizes;
  Plan plan;
  void* weights;        // packed: L convolutions, then the collect
  void* maps;           // [L, N, H, W, C] outputs of the convolutions
  long long map_size;   // numbers in one of them
  void* features;       // [N, H, W, C] where the layout is N C H W, else null
  void* output;         // [N, H, W, C] where the layout is N C H W, else null
  float* unit_sums;     // [L, units, C]
  long long units;      // the most there can be
  float* segment_sums;  // [N, L, kSegments, C]
  float* scale;         // [N, C]
  size_t bytes;
};

constexpr int kCollectRows = 32;  // pixels of the collect's tile; a convolution's has kUnitRows

// Numbers in the packed weights of `groups` taps or layers.
template <class Tile>
int packed_size(int groups, int channels) {
  const int64_t slices = smsr::divide_up(channels, Tile::kColumns);
  const int64_t steps = smsr::divide_up(channels, Tile::kDepth);
  return static_cast<int>(slices * groups * steps * Tile::kDepth * Tile::kColumns);
}

// Numbers in the packed weights of the whole module.
template <template <int> class Tile>
size_t packed_module_size(int layers, int channels) {
  return static_cast<size_t>(packed_size<Tile<kUnitRows>>(kTaps, channels)) * static_cast<size_t>(layers) +
         static_cast<size_t>(packed_size<Tile<kCollectRows>>(layers, channels));
}

// Images of fewer pixels have smaller units in the staged kernel, so that all warps of a GPU have some; the
// batch does not decide, so that an image's bits do not depend on it. With little shared memory all images do.
constexpr int64_t kSmallImage = 512 * 1024;
constexpr int kSmallUnitRows = 32;
inline bool is_small(const Shape& shape) { return int64_t{shape.height} * shape.width < kSmallImage; }

// The most units that an image of `pixels` can have: of active and of inactive pixels.
inline int64_t most_units(int64_t pixels) { return smsr::divide_up(pixels, kSmallUnitRows) + 1; }

// The parts from `base` on; with null only their sizes. The shape must have been accepted. VoltaTile's
// packed weights are never larger than HalfTile's.
inline Workspace lay_out(const Shape& shape, void* base) {
  Workspace w = {};
  const bool half = shape.type == Type::kFloat16;
  const size_t element = half ? 2 : 4, batch = static_cast<size_t>(shape.batch);
  const size_t channels = static_cast<size_t>(shape.channels), layers = static_cast<size_t>(shape.layers);
  const int bands = static_cast<int>(smsr::divide_up(shape.height, kBandRows));
  const int64_t columns = int64_t{bands} * shape.width, image = int64_t{shape.height} * shape.width;
  w.sizes = {shape.batch, shape.height, shape.width, bands,
             static_cast<int>(smsr::divide_up(columns, kPlanThreads))};
  const size_t pixels = batch * static_cast<size_t>(image);
  w.units = static_cast<long long>(shape.batch * most_units(image));

  Cursor cursor(base, kWorkspaceAlignment);
  w.plan.columns = cursor.take<uint8>(batch * static_cast<size_t>(columns));
  w.plan.block_counts = cursor.take<int>(batch * static_cast<size_t>(w.sizes.blocks) * 2);
  w.plan.entries = cursor.take<Entry>(pixels);
  w.plan.active_count = cursor.take<int>(batch);
  w.plan.active_units = cursor.take<int>(batch + 1);
  w.plan.inactive_units = cursor.take<int>(batch + 1);
  w.plan.counters = cursor.take<uint32>((layers + 1) * kMaxSlices + 1 + batch);
  w.weights =
      cursor.take_bytes(element * (half ? packed_module_size<HalfTile>(shape.layers, shape.channels)
                                        : packed_module_size<FloatTile>(shape.layers, shape.channels)));
  w.map_size = static_cast<long long>(pixels * channels);  // a multiple of 16, so every map is aligned
  w.maps = cursor.take_bytes(layers * pixels * channels * element);
  if (shape.layout == Layout::kNchw) {
    w.features = cursor.take_bytes(pixels * channels * element);
    w.output = cursor.take_bytes(pixels * channels * element);
  }
  w.unit_sums = cursor.take<float>(layers * static_cast<size_t>(w.units) * channels);
  w.segment_sums = cursor.take<float>(batch * layers * kSegments * channels);
  w.scale = cursor.take<float>(batch * channels);
  w.bytes = cursor.bytes();
  return w;
}

}  // namespace smsr::cuda
