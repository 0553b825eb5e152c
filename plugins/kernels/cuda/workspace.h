// The parts of the module's scratch memory. Their sizes are determined by the shape alone, and never shrink
// as it grows.
#pragma once

#include "cuda/sparse_mask_module_cuda.h"
#include "cuda/staged_units.cuh"
#include "cuda/tile_float.cuh"
#include "cuda/tile_half.cuh"
#include "cuda/tile_staged.cuh"
#include "cuda/types.cuh"
#include "layout.h"

namespace smsr::cuda {

struct Workspace {
  PlanSizes sizes;
  Plan plan;
  UnitPlan units_plan;  // staged kernel
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

// Images of fewer pixels have smaller units in the staged kernel; the batch does not decide, so that an
// image's bits do not depend on it.
constexpr int64_t kSmallImage = 512 * 1024;
constexpr int kSmallUnitRows = 32;
inline bool is_small(const Shape& shape) { return int64_t{shape.height} * shape.width < kSmallImage; }

constexpr int kShortSegment = 64;  // columns
// The staged kernel's units of at least least_columns columns. A small image's segments are short, so that
// listing them takes little time; a large one's are long, because the last unit of each is not full.
inline UnitSizes unit_sizes(const Shape& shape, int least_columns) {
  UnitSizes s = {};
  s.plan.batch = shape.batch;
  s.plan.height = shape.height;
  s.plan.width = shape.width;
  s.plan.bands = static_cast<int>(smsr::divide_up(shape.height, kBandRows));
  s.columns = is_small(shape) ? kShortSegment : 256;
  s.segments = static_cast<int>(smsr::divide_up(shape.width, s.columns));
  s.least_columns = least_columns;
  s.slots = static_cast<int>(smsr::divide_up(shape.width, least_columns));
  return s;
}
using SmallUnit = UnitRecord<kSmallUnitRows, 64>;
using LargeUnit = UnitRecord<kUnitRows, 112>;
template <class Record>
size_t record_bytes(const Shape& shape) {
  const UnitSizes s = unit_sizes(shape, Record::kLeastColumns);
  return 2 * static_cast<size_t>(s.plan.batch) * static_cast<size_t>(s.plan.bands) *
         static_cast<size_t>(s.slots) * sizeof(Record);
}

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
  // Rows of sums: of lists, and of the staged kernel's units, of which both kinds may have the most there
  // are.
  const UnitSizes units = unit_sizes(shape, SmallUnit::kLeastColumns);
  const int64_t listed = shape.batch * (smsr::divide_up(image, kUnitRows) + 1);
  const int64_t records = 2 * shape.batch * int64_t{bands} * units.slots;
  w.units = static_cast<long long>(half && records > listed ? records : listed);

  Cursor cursor(base, kWorkspaceAlignment);
  w.plan.columns = cursor.take<uint8>(batch * static_cast<size_t>(columns));
  w.plan.block_counts = cursor.take<int>(batch * static_cast<size_t>(w.sizes.blocks) * 2);
  w.plan.entries = cursor.take<Entry>(pixels);
  if (half) {
    w.units_plan.columns = w.plan.columns;
    const size_t of_small = record_bytes<SmallUnit>(shape), of_large = record_bytes<LargeUnit>(shape);
    w.units_plan.records = static_cast<char*>(cursor.take_bytes(of_small < of_large ? of_large : of_small));
    w.units_plan.listed = cursor.take<UnitColumns>(static_cast<size_t>(records));
    w.units_plan.placed = cursor.take<UnitColumns>(static_cast<size_t>(records));
    w.units_plan.units = cursor.take<UnitWord>(static_cast<size_t>(records));
    w.units_plan.counts = cursor.take<int>(2 * batch * static_cast<size_t>(bands) *
                                           static_cast<size_t>(smsr::divide_up(shape.width, kShortSegment)));
  }
  w.plan.active_count = cursor.take<int>(batch);
  w.plan.active_units = cursor.take<int>(batch + 1);
  w.plan.inactive_units = cursor.take<int>(batch + 1);
  w.units_plan.active_units = w.plan.active_units;
  w.units_plan.inactive_units = w.plan.inactive_units;
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
