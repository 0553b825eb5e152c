// The order of work: mask lists, then per band of rows every layer and the collect, then attention and
// residual.
#include "sparse_mask_module.h"

#include <algorithm>

#include "attention.h"
#include "checks.h"
#include "kernels.h"
#include "layout.h"
#include "module_layers.h"
#include "parallel.h"
#include "winograd.h"
#include "workspace.h"

namespace smsr {
namespace {

constexpr int64_t kFinishRowsPerTask = 4;

Work pixel_work(Work::Kind kind, Pixels pixels) {
  const int64_t per_task = kind == Work::kActive ? kActivePerTask : kInactivePerTask;
  return {kind, pixels, {}, divide_up(pixels.count, per_task)};
}

Work tile_work(Work::Kind kind, const ListByRow<Tile>& list, int64_t row, int64_t end) {
  const Tiles tiles{list.from(row), 0, list.count(row, end)};
  return {kind, {}, tiles, divide_up(tiles.count, kTilesPerBlock)};
}

Work outside_work(const ListByRow<Pixel>& list, int64_t row, int64_t end) {
  return pixel_work(Work::kActive, {list.from(row), list.count(row, end)});
}

// In the first layer all inputs are dense: the dense outputs of an inactive pixel are those of an active one,
// and tiles give them too. In the others they have filters of their own: less work pixel by pixel.
void divide_layer(const Image& image, int64_t layer, Stage* s) {
  const MaskIndex& index = image.workspace.index;
  const int64_t row = s->y0 / kTileSize, end = tiles_along(s->y1), dense = image.params.dense_channels[layer];
  const bool tiles = image.tiles();
  if (tiles && layer == 0 && dense > 0) {
    s->work[0] = tile_work(Work::kTiles, index.heavy_with_inactive, row, end);
    s->work[1] = tile_work(Work::kLeadingTiles, index.light_with_inactive, row, end);
    s->work[2] = outside_work(index.outside_heavy_with_inactive, row, end);
    return;
  }
  if (tiles) s->work[0] = tile_work(Work::kTiles, index.heavy, row, end);
  s->work[1] = tiles ? outside_work(index.outside_heavy, row, end)
                     : pixel_work(Work::kActive, index.active(s->y0, s->y1));
  // Nobody reads the last layer's inactive pixels where it has no dense channels.
  const bool unread = layer + 1 == image.params.shape.layers && dense == 0;
  if (!unread) s->work[2] = pixel_work(Work::kInactive, index.inactive(s->y0, s->y1));
}

Stage make_stage(const Image& image, int64_t step, int64_t stage) {
  const Shape& shape = image.params.shape;
  const int64_t y0 = stage_row(shape, step, stage);
  Stage s{};
  s.y0 = std::clamp<int64_t>(y0, 0, shape.height);
  s.y1 = std::clamp<int64_t>(y0 + step_rows(shape), 0, shape.height);
  const bool collect = stage == shape.layers;  // one task a row
  if (!collect && s.y0 < s.y1) divide_layer(image, stage, &s);
  return s;
}

void run_step(const Image& image, int64_t step) {
  const int64_t layers = image.params.shape.layers;
  const auto collect = image.reduced() ? collect_reduced_row : collect_row;
  const auto work_on = image.reduced() ? run_reduced_work : run_work;
  Stage* stages = image.workspace.stages;
  const Stage rows = make_stage(image, step, layers);
  int64_t tasks = rows.y1 - rows.y0;
  for (int64_t layer = 0; layer < layers; ++layer) {
    stages[layer] = make_stage(image, step, layer);
    for (const Work& work : stages[layer].work) tasks += work.tasks;
  }
  parallel_for(image.parallel, tasks, [&](int64_t task) {
    if (task < rows.y1 - rows.y0) return collect(image, rows.y0 + task);  // the longest ones first
    task -= rows.y1 - rows.y0;
    for (int64_t layer = 0; layer < layers; ++layer)
      for (const Work& work : stages[layer].work) {
        if (task < work.tasks) return work_on(image, layer, work, task);
        task -= work.tasks;
      }
  });
}

void run_steps(const Image& image) {
  const Shape& shape = image.params.shape;
  for (int64_t step = 0; stage_row(shape, step, shape.layers) < shape.height; ++step) run_step(image, step);
}

void finish(const Image& image) {
  const Params& params = image.params;
  const Shape& shape = params.shape;
  const Workspace& workspace = image.workspace;
  attention_scale(params, workspace.row_sums, workspace.squeezed, workspace.scale);
  parallel_parts(image.parallel, shape.height, kFinishRowsPerTask, [&](int64_t first, int64_t count) {
    for (int64_t y = first; y < first + count; ++y)
      image.kernels.scale_add_row(image.output + y * params.output_row_stride,
                                  image.features + y * params.features_row_stride, workspace.scale,
                                  shape.width, shape.channels);
  });
}

bool good_size(const Shape& shape) {
  return shape.layers > 0 && good_image(shape.batch, shape.height, shape.width);
}

Status check(const Params& params) {
  const Shape& shape = params.shape;
  if (!good_channels(shape.channels)) return Status::kBadChannels;
  if (!good_size(shape)) return Status::kBadSize;
  if (any_null({params.dense_channels, params.features, params.margin, params.conv_weights,
                params.collect_weight, params.collect_bias, params.squeeze_weight, params.squeeze_bias,
                params.excite_weight, params.excite_bias, params.output}))
    return Status::kBadPointer;
  for (int64_t i = 0; i < shape.layers; ++i)
    if (params.dense_channels[i] < 0 || params.dense_channels[i] > shape.channels)
      return Status::kBadDenseChannels;
  return Status::kOk;
}

void prepare(const Shape& shape, const Workspace& workspace) {
  std::fill_n(workspace.zeros, shape.channels, 0.0f);
  std::fill_n(workspace.full, shape.layers, shape.channels);
  const int64_t stride = shape.width * shape.channels;
  float* ring = workspace.rings;
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    workspace.ring_views[layer] = {ring, stride, ring_rows(shape, layer)};
    workspace.reduced_views[layer] = {reinterpret_cast<Reduced*>(ring), stride, ring_rows(shape, layer)};
    ring += ring_rows(shape, layer) * stride;
  }
  workspace.scratch.reset();
}

}  // namespace

int64_t prepared_weights_size(int64_t layers, int64_t channels) {
  return layers * winograd_weights_size(channels, channels);
}

void prepare_weights(const float* conv_weights, int64_t layers, int64_t channels, float* prepared) {
  for (int64_t layer = 0; layer < layers; ++layer)
    winograd_prepare(conv_weights + layer * 9 * channels * channels, channels, channels,
                     prepared + layer * winograd_weights_size(channels, channels));
}

size_t workspace_bytes(const Shape& shape) {
  if (!good_size(shape) || !good_channels(shape.channels)) return 0;
  Workspace unused;
  return lay_out(shape, nullptr, &unused);
}

Status sparse_mask_module(const Params& params, const Kernels& kernels, const Parallel& parallel,
                          void* memory, size_t bytes) {
  const Status status = check(params);
  if (status != Status::kOk) return status;
  if (memory == nullptr || bytes < workspace_bytes(params.shape)) return Status::kSmallWorkspace;
  Workspace workspace;
  lay_out(params.shape, memory, &workspace);
  workspace.index.heavy_from = params.reduced_weights != nullptr ? kHeavyFromReduced : kHeavyFrom;
  prepare(params.shape, workspace);
  for (int64_t n = 0; n < params.shape.batch; ++n) {
    const Image image{params,
                      kernels,
                      parallel,
                      workspace,
                      params.features + n * params.features_image_stride,
                      params.margin + n * params.margin_image_stride,
                      params.output + n * params.output_image_stride};
    index_mask(image.margin, params.margin_row_stride, params.theta, parallel, workspace.index);
    run_steps(image);
    finish(image);
  }
  return Status::kOk;
}

}  // namespace smsr
