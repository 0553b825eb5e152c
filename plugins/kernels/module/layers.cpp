#include "module/layers.h"

#include <algorithm>

#include "module/weights.h"

namespace smsr {
namespace {

const ModuleKernels<float>& module_kernels(const Kernels& kernels, float) { return kernels.module; }
const ModuleKernels<Reduced>& module_kernels(const Kernels& kernels, Reduced) {
  return kernels.reduced->module;
}

Pixels part(Pixels all, int64_t task, int64_t size) {
  return {all.first + task * size, std::min(size, all.count - task * size)};
}

Tiles block_of(const Work& work, int64_t task) {
  const int64_t first = task * kTilesPerBlock;
  return {work.tiles.list + first, 0, std::min(kTilesPerBlock, work.tiles.count - first)};
}

// One layer of the image: what it reads and writes.
template <class In, class Element>
struct Layer {
  const ModuleImage& image;
  int64_t index;
  PaddedImageOf<In> in;
  RowsOf<Element> out;

  Layer(const ModuleImage& i, int64_t layer, const RowsOf<const In>& rows)
      : image(i),
        index(layer),
        in{i.params.shape.height, i.params.shape.width, i.params.shape.channels, rows,
           reinterpret_cast<const In*>(i.workspace.zeros)},
        out(i.workspace.rings_of<Element>()[layer]) {}

  ConvolutionOf<In, Element> pixels(const In* weights) const {
    const int64_t* const dense = image.params.dense_channels;
    const bool zero_sparse = index + 1 < image.params.shape.layers && dense[index] < in.channels;
    return {index == 0 ? in.channels : dense[index - 1], dense[index], zero_sparse, weights, in, out};
  }
  TileConvolutionOf<In, Element, Element> tiles(Work::Kind kind, const Element* weights) const {
    const int64_t leading = index == 0 ? image.params.dense_channels[0] : 0;
    return {in, in.channels, weights, nullptr, true, leading, kind == Work::kLeadingTiles, {nullptr, 0, 0},
            out};
  }
};

// pixel_weights: of this layer; weights: of all.
template <class In, class Element>
void run_layer(const Layer<In, Element>& layer, const LayerKernels<In, Element>& kernels,
               const In* pixel_weights, const ModuleWeights<Element>& weights, const Work& work,
               int64_t task) {
  if (work.kind == Work::kActive)
    return kernels.active(layer.pixels(pixel_weights), part(work.pixels, task, kActivePerTask));
  if (work.kind == Work::kInactive)
    return kernels.inactive(layer.pixels(pixel_weights), part(work.pixels, task, kInactivePerTask));
  const Scratch scratch(layer.image.workspace.scratch);
  const Element* const tile_weights = weights.tiles + layer.index * weights.layer_tiles;
  kernels.tiles(layer.tiles(work.kind, tile_weights), block_of(work, task), scratch.data());
}

}  // namespace

template <class Element>
void run_work(const ModuleImage& image, int64_t layer, const Work& work, int64_t task) {
  const Params& params = image.params;
  const ModuleKernels<Element>& kernels = module_kernels(image.kernels, Element());
  const auto weights = weights_of<Element>(params);
  if (layer == 0) {
    const ConstRows features{image.features, params.features_row_stride, params.shape.height};
    return run_layer(Layer<float, Element>(image, 0, features), kernels.first, params.conv_weights, weights,
                     work, task);
  }
  const RowsOf<const Element> in = read_only(image.workspace.rings_of<Element>()[layer - 1]);
  const int64_t layer_taps = 9 * params.shape.channels * params.shape.channels;
  run_layer(Layer<Element, Element>(image, layer, in), kernels.next, weights.taps + layer * layer_taps,
            weights, work, task);
}

template <class Element>
void collect_row(const ModuleImage& image, int64_t y) {
  const Shape& shape = image.params.shape;
  const ModuleWorkspace& workspace = image.workspace;
  const ModuleKernels<Element>& kernels = module_kernels(image.kernels, Element());
  CollectOf<Element> c{shape.width,
                       shape.channels,
                       shape.layers,
                       workspace.full,
                       weights_of<Element>(image.params).collect,
                       image.params.collect_bias,
                       workspace.rings_of<Element>(),
                       {image.output, image.params.output_row_stride, shape.height}};
  kernels.collect(c, workspace.index.active(y, y + 1));
  c.depth = image.params.dense_channels;
  kernels.collect(c, workspace.index.inactive(y, y + 1));
  image.kernels.sum_row(c.out.row(y), shape.width, shape.channels, workspace.row_sums + y * shape.channels);
}

template void run_work<float>(const ModuleImage&, int64_t, const Work&, int64_t);
template void run_work<Reduced>(const ModuleImage&, int64_t, const Work&, int64_t);
template void collect_row<float>(const ModuleImage&, int64_t);
template void collect_row<Reduced>(const ModuleImage&, int64_t);

}  // namespace smsr
