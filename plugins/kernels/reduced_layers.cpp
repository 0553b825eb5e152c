// The module's layers in reduced precision: what lies between them is stored in the type of the
// multiplicands.
#include "module_layers.h"

namespace smsr {
namespace {

// The parts of Params::reduced_weights; all have C inputs and C outputs.
struct Packed {
  const Reduced *taps, *collect, *tiles;  // [L, 9, C, C], [L, C, C], [L, 24, C, C]
  explicit Packed(const Image& image) {
    const int64_t layers = image.params.shape.layers, c = image.params.shape.channels;
    taps = image.params.reduced_weights;
    collect = taps + layers * 9 * c * c;
    tiles = collect + layers * c * c;
  }
};

const RowsOf<Reduced>& output_of(const Image& image, int64_t layer) {
  return image.workspace.reduced_views[layer];
}

void run_first(const Image& image, const Work& work, int64_t task) {
  const ReducedKernels& kernels = *image.kernels.reduced;
  const ConstRows in = features_of(image);
  const RowsOf<Reduced>& out = output_of(image, 0);
  if (work.kind == Work::kActive || work.kind == Work::kInactive) {
    const auto c = layer_convolution(image, 0, image.params.conv_weights, in, out);
    if (work.kind == Work::kActive) return kernels.first_active(c, part(work.pixels, task, kActivePerTask));
    return kernels.first_inactive(c, part(work.pixels, task, kInactivePerTask));
  }
  const Scratch scratch(image.workspace.scratch);
  kernels.first_tiles(layer_tiles(image, 0, work.kind, Packed(image).tiles, in, out), block_of(work, task),
                      scratch.data());
}

}  // namespace

void run_reduced_work(const Image& image, int64_t layer, const Work& work, int64_t task) {
  if (layer == 0) return run_first(image, work, task);
  const ReducedKernels& kernels = *image.kernels.reduced;
  const int64_t size = image.params.shape.channels * image.params.shape.channels;
  const RowsOf<const Reduced> in = read_only(output_of(image, layer - 1));
  const RowsOf<Reduced>& out = output_of(image, layer);
  if (work.kind == Work::kActive || work.kind == Work::kInactive) {
    const auto c = layer_convolution(image, layer, Packed(image).taps + layer * 9 * size, in, out);
    if (work.kind == Work::kActive) return kernels.active(c, part(work.pixels, task, kActivePerTask));
    return kernels.inactive(c, part(work.pixels, task, kInactivePerTask));
  }
  const Reduced* weights = Packed(image).tiles + layer * reduced_winograd_size(image.params.shape.channels,
                                                                               image.params.shape.channels);
  const Scratch scratch(image.workspace.scratch);
  kernels.tiles(layer_tiles(image, layer, work.kind, weights, in, out), block_of(work, task), scratch.data());
}

void collect_reduced_row(const Image& image, int64_t y) {
  const Shape& shape = image.params.shape;
  const Workspace& workspace = image.workspace;
  CollectOf<Reduced, Reduced> c{shape.width,
                                shape.channels,
                                shape.layers,
                                workspace.full,
                                Packed(image).collect,
                                image.params.collect_bias,
                                workspace.reduced_views,
                                {image.output, image.params.output_row_stride, shape.height}};
  image.kernels.reduced->collect(c, workspace.index.active(y, y + 1));
  c.depth = image.params.dense_channels;
  image.kernels.reduced->collect(c, workspace.index.inactive(y, y + 1));
  image.kernels.sum_row(c.out.row(y), shape.width, shape.channels, workspace.row_sums + y * shape.channels);
}

int64_t reduced_weights_size(int64_t layers, int64_t channels) {
  return layers * (10 * channels * channels + reduced_winograd_size(channels, channels));
}

void prepare_reduced_weights(const ReducedKernels& kernels, const float* conv_weights,
                             const float* collect_weight, int64_t layers, int64_t channels,
                             Reduced* prepared) {
  const int64_t size = channels * channels;
  for (int64_t tap = 0; tap < 9 * layers; ++tap, prepared += size)
    pack_reduced(kernels, conv_weights + tap * size, channels, channels, prepared);
  for (int64_t layer = 0; layer < layers; ++layer, prepared += size)
    pack_reduced(kernels, collect_weight + layer * size, channels, channels, prepared);
  for (int64_t layer = 0; layer < layers; ++layer, prepared += reduced_winograd_size(channels, channels))
    winograd_prepare_reduced(kernels, conv_weights + layer * 9 * size, channels, channels, prepared);
}

}  // namespace smsr
