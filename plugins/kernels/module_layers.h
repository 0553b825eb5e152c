// One image of the module, and its layers' and the collect's work on some rows: in float32 and, where the
// weights were prepared so, in reduced precision.
#pragma once

#include <algorithm>

#include "kernels.h"
#include "reduced_kernels.h"
#include "sparse_mask_module.h"
#include "workspace.h"

namespace smsr {

// Pixels a task takes: multiples of every tile's rows, small enough to balance within a step.
constexpr int64_t kActivePerTask = 48, kInactivePerTask = 192;

// One image of the batch.
struct Image {
  const Params& params;
  const Kernels& kernels;
  const Parallel& parallel;
  const Workspace& workspace;
  const float* features;
  const float* margin;
  float* output;
  bool reduced() const { return params.reduced_weights != nullptr; }
  bool tiles() const { return reduced() ? params.reduced_tiles : params.prepared_weights != nullptr; }
};

inline Pixels part(Pixels all, int64_t task, int64_t size) {
  return {all.first + task * size, std::min(size, all.count - task * size)};
}

inline Tiles block_of(const Work& work, int64_t task) {
  const int64_t done = task * kTilesPerBlock;
  return {work.tiles.list + done, 0, std::min(kTilesPerBlock, work.tiles.count - done)};
}

inline int64_t dense_in(const Params& params, int64_t layer) {
  return layer == 0 ? params.shape.channels : params.dense_channels[layer - 1];
}

template <class T>
RowsOf<const T> read_only(const RowsOf<T>& rows) {
  return {rows.data, rows.stride, rows.ring};
}

inline ConstRows features_of(const Image& image) {
  return {image.features, image.params.features_row_stride, image.params.shape.height};
}

// A layer's convolution, pixel by pixel.
template <class In, class Out, class Weight>
ConvolutionOf<In, Out, Weight> layer_convolution(const Image& image, int64_t layer, const Weight* weights,
                                                 RowsOf<const In> in, RowsOf<Out> out) {
  const Shape& shape = image.params.shape;
  ConvolutionOf<In, Out, Weight> c;
  c.height = shape.height;
  c.width = shape.width;
  c.channels = shape.channels;
  c.dense_in = dense_in(image.params, layer);
  c.dense_out = image.params.dense_channels[layer];
  c.zero_sparse = layer + 1 < shape.layers && c.dense_out < c.channels;
  c.weights = weights;
  c.zeros = reinterpret_cast<const In*>(image.workspace.zeros);
  c.in = in;
  c.out = out;
  return c;
}

// The same by tiles.
template <class In, class Out, class Weight>
TileConvolutionOf<In, Out, Weight> layer_tiles(const Image& image, int64_t layer, Work::Kind kind,
                                               const Weight* weights, RowsOf<const In> in, RowsOf<Out> out) {
  const Shape& shape = image.params.shape;
  TileConvolutionOf<In, Out, Weight> c{};
  c.height = shape.height;
  c.width = shape.width;
  c.inputs = c.outputs = shape.channels;
  c.weights = weights;
  c.zeros = reinterpret_cast<const In*>(image.workspace.zeros);
  c.relu = true;
  c.leading = layer == 0 ? image.params.dense_channels[0] : 0;
  c.leading_only = kind == Work::kLeadingTiles;
  c.in = in;
  c.out = out;
  return c;
}

// Task `task` of some work of a layer.
void run_work(const Image& image, int64_t layer, const Work& work, int64_t task);
void run_reduced_work(const Image& image, int64_t layer, const Work& work, int64_t task);

// The collect of a whole row: the pooling sums must not depend on how pixels are grouped.
void collect_row(const Image& image, int64_t y);
void collect_reduced_row(const Image& image, int64_t y);

}  // namespace smsr
