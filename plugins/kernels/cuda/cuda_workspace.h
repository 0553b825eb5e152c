// What lies where in the module's scratch memory. Sizes follow from the shape alone, and never shrink as it
// grows.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sparse_mask_module_cuda.h"
#include "tile_float.cuh"
#include "tile_half.cuh"
#include "types.cuh"

namespace smsr {
namespace cuda {

struct Workspace {
  PlanSizes sizes;
  Plan plan;
  void* weights;            // packed: L convolutions, collect
  void* maps;               // [L, N, H, W, C] outputs of the convolutions
  long long map_size;       // numbers in one of them
  void *features, *output;  // [N, H, W, C] where the layout is NCHW, else null
  float* unit_sums;         // [L, units, C]
  long long units;          // most there can be
  float* segment_sums;      // [N, L, kSegments, C]
  float* scale;             // [N, C]
  size_t bytes;
};

// Numbers in the packed weights of `groups` taps or layers.
template <class Tile>
int packed_size(int groups, int channels) {
  const int slices = (channels + Tile::kColumns - 1) / Tile::kColumns;
  const int steps = (channels + Tile::kDepth - 1) / Tile::kDepth;
  return slices * groups * steps * Tile::kDepth * Tile::kColumns;
}

class WorkspaceCursor {
 public:
  explicit WorkspaceCursor(void* base) : base_(static_cast<char*>(base)), bytes_(0) {}
  template <class T>
  void take(T** where, size_t count, size_t size = sizeof(T)) {
    *where = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + bytes_);
    bytes_ += (count * size + 255) / 256 * 256;
  }
  size_t bytes() const { return bytes_; }

 private:
  char* base_;
  size_t bytes_;
};

// The parts at `base`, or with null only their size. The shape must have been accepted.
inline Workspace lay_out(const smsr_cuda_shape& s, void* base) {
  Workspace w = {};
  const bool half = s.type == SMSR_CUDA_FLOAT16;
  const size_t element = half ? 2 : 4, batch = static_cast<size_t>(s.batch);
  const size_t channels = static_cast<size_t>(s.channels), layers = static_cast<size_t>(s.layers);
  const int bands = (s.height + kBand - 1) / kBand;
  const long long columns = static_cast<long long>(bands) * s.width;
  w.sizes = {s.batch, s.height, s.width, bands,
             static_cast<int>((columns + kPlanThreads - 1) / kPlanThreads)};
  const size_t image = static_cast<size_t>(s.height) * static_cast<size_t>(s.width), pixels = batch * image;
  w.units = static_cast<long long>(batch * ((image + kUnitRows - 1) / kUnitRows + 1));

  WorkspaceCursor cursor(base);
  cursor.take(&w.plan.columns, batch * static_cast<size_t>(columns));
  cursor.take(&w.plan.block_counts, batch * static_cast<size_t>(w.sizes.blocks) * 2);
  cursor.take(&w.plan.entries, pixels);
  cursor.take(&w.plan.active_count, batch);
  cursor.take(&w.plan.active_units, batch + 1);
  cursor.take(&w.plan.inactive_units, batch + 1);
  cursor.take(&w.plan.counters, (layers + 1) * kMaxSlices);
  const int conv =
      half ? packed_size<HalfTile<64>>(kTaps, s.channels) : packed_size<FloatTile<64>>(kTaps, s.channels);
  const int collect = half ? packed_size<HalfTile<32>>(s.layers, s.channels)
                           : packed_size<FloatTile<32>>(s.layers, s.channels);
  cursor.take(&w.weights, static_cast<size_t>(conv) * layers + static_cast<size_t>(collect), element);
  w.map_size = static_cast<long long>(pixels * channels);  // a multiple of 16: every map is aligned
  cursor.take(&w.maps, layers * pixels * channels, element);
  if (s.layout == SMSR_CUDA_NCHW) {
    cursor.take(&w.features, pixels * channels, element);
    cursor.take(&w.output, pixels * channels, element);
  }
  cursor.take(&w.unit_sums, layers * static_cast<size_t>(w.units) * channels);
  cursor.take(&w.segment_sums, batch * layers * kSegments * channels);
  cursor.take(&w.scale, batch * channels);
  w.bytes = cursor.bytes();
  return w;
}

}  // namespace cuda
}  // namespace smsr
