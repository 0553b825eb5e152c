#include "module_layers.h"

namespace smsr {
namespace {

ConstRows input_of(const Image& image, int64_t layer) {
  return layer == 0 ? features_of(image) : read_only(image.workspace.ring_views[layer - 1]);
}

Convolution convolution(const Image& image, int64_t layer) {
  const int64_t c = image.params.shape.channels;
  const float* weights = image.params.conv_weights + layer * 9 * c * c;
  return layer_convolution(image, layer, weights, input_of(image, layer), image.workspace.ring_views[layer]);
}

TileConvolution tile_convolution(const Image& image, int64_t layer, Work::Kind kind) {
  const int64_t c = image.params.shape.channels;
  const float* weights = image.params.prepared_weights + layer * winograd_weights_size(c, c);
  return layer_tiles(image, layer, kind, weights, input_of(image, layer), image.workspace.ring_views[layer]);
}

}  // namespace

void run_work(const Image& image, int64_t layer, const Work& work, int64_t task) {
  const Kernels& kernels = image.kernels;
  if (work.kind == Work::kActive)
    return kernels.convolve_active(convolution(image, layer), part(work.pixels, task, kActivePerTask));
  if (work.kind == Work::kInactive)
    return kernels.convolve_inactive(convolution(image, layer), part(work.pixels, task, kInactivePerTask));
  const Scratch scratch(image.workspace.scratch);
  kernels.convolve_tiles(tile_convolution(image, layer, work.kind), block_of(work, task), scratch.data());
}

void collect_row(const Image& image, int64_t y) {
  const Shape& shape = image.params.shape;
  const Workspace& workspace = image.workspace;
  Collect c{shape.width,
            shape.channels,
            shape.layers,
            workspace.full,
            image.params.collect_weight,
            image.params.collect_bias,
            workspace.ring_views,
            {image.output, image.params.output_row_stride, shape.height}};
  image.kernels.collect(c, workspace.index.active(y, y + 1));
  c.depth = image.params.dense_channels;
  image.kernels.collect(c, workspace.index.inactive(y, y + 1));
  image.kernels.sum_row(c.out.row(y), shape.width, shape.channels, workspace.row_sums + y * shape.channels);
}

}  // namespace smsr
