// The order of work: mask lists, then per band of rows every layer and the collect, then attention and
// residual.
#include "module/sparse_mask_module.h"

#include <algorithm>

#include "checks.h"
#include "module/attention.h"
#include "module/layers.h"
#include "module/mask_index.h"
#include "module/workspace.h"
#include "winograd/winograd.h"

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

// In the first layer all inputs are dense: the dense outputs of an inactive pixel are computed as those of an
// active one, so tiles give them too. In later layers they sum the dense inputs only: less work pixel by
// pixel.
void divide_layer(const ModuleImage& image, int64_t layer, Stage* s) {
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
  // The last layer's inactive pixels are not read where it has no dense channels.
  const bool unread = layer + 1 == image.params.shape.layers && dense == 0;
  if (!unread) s->work[2] = pixel_work(Work::kInactive, index.inactive(s->y0, s->y1));
}

Stage make_stage(const ModuleImage& image, int64_t step, int64_t stage) {
  const Shape& shape = image.params.shape;
  const int64_t y0 = stage_row(shape, step, stage);
  Stage s{};
  s.y0 = std::clamp<int64_t>(y0, 0, shape.height);
  s.y1 = std::clamp<int64_t>(y0 + step_rows(shape), 0, shape.height);
  const bool collect = stage == shape.layers;  // one task per row
  if (!collect && s.y0 < s.y1) divide_layer(image, stage, &s);
  return s;
}

void run_step(const ModuleImage& image, int64_t step) {
  const int64_t layers = image.params.shape.layers;
  const auto collect = image.reduced() ? collect_row<Reduced> : collect_row<float>;
  const auto work_on = image.reduced() ? run_work<Reduced> : run_work<float>;
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

void run_steps(const ModuleImage& image) {
  const Shape& shape = image.params.shape;
  for (int64_t step = 0; stage_row(shape, step, shape.layers) < shape.height; ++step) run_step(image, step);
}

void finish(const ModuleImage& image) {
  const Params& params = image.params;
  const Shape& shape = params.shape;
  const ModuleWorkspace& workspace = image.workspace;
  attention_scale(params, workspace.row_sums, workspace.squeezed, workspace.scale);
  parallel_parts(image.parallel, shape.height, kFinishRowsPerTask, [&](int64_t first, int64_t count) {
    for (int64_t y = first; y < first + count; ++y) {
      float* const row = image.output + y * params.output_row_stride;
      image.kernels.scale_add_row(row, row, image.features + y * params.features_row_stride, workspace.scale,
                                  shape.width, shape.channels);
    }
  });
}

Status check(const Shape& shape) {
  if (!good_channels(shape.channels) || shape.channels % contract::kChannelAttentionReduction != 0)
    return Status::kBadChannels;
  if (!good_image(shape.batch, shape.height, shape.width)) return Status::kBadSize;
  return shape.layers > 0 && shape.layers <= kMostLayers ? Status::kOk : Status::kBadLayers;
}

// A batch of images in memory: `row` elements in each of their rows.
struct Extent {
  int64_t all = 0;     // elements from the first to the last one
  bool apart = false;  // neither rows nor images overlap
  Extent(const Shape& shape, int64_t row, int64_t row_stride, int64_t image_stride) {
    if (!good_stride(shape.height, row, row_stride)) return;
    const int64_t image = (shape.height - 1) * row_stride + row;
    apart = shape.batch == 1 || good_stride(shape.batch, image, image_stride);
    if (apart) all = (shape.batch - 1) * image_stride + image;
  }
};

Status check_memory(const Params& p) {
  if (any_null({p.dense_channels, p.features, p.margin, p.conv_weights, p.collect_weight, p.collect_bias,
                p.output}))
    return Status::kBadPointer;
  if (p.row_sums == nullptr && any_null({p.squeeze_weight, p.squeeze_bias, p.excite_weight, p.excite_bias}))
    return Status::kBadPointer;
  const int64_t row = p.shape.width * p.shape.channels;
  const Extent features(p.shape, row, p.features_row_stride, p.features_image_stride);
  const Extent margin(p.shape, p.shape.width, p.margin_row_stride, p.margin_image_stride);
  const Extent output(p.shape, row, p.output_row_stride, p.output_image_stride);
  if (!features.apart || !margin.apart || !output.apart) return Status::kBadStride;
  return overlap(p.features, features.all, p.output, output.all) ? Status::kOverlap : Status::kOk;
}

Status check(const Params& params, const Kernels& kernels, const Parallel& parallel) {
  const Status shape = check(params.shape), memory = shape == Status::kOk ? check_memory(params) : shape;
  if (memory != Status::kOk) return memory;
  for (int64_t i = 0; i < params.shape.layers; ++i)
    if (params.dense_channels[i] < 0 || params.dense_channels[i] > params.shape.channels)
      return Status::kBadDenseChannels;
  if (params.reduced_weights != nullptr && kernels.reduced == nullptr) return Status::kNoReducedKernels;
  return parallel.run != nullptr ? Status::kOk : Status::kBadPointer;
}

template <class Element>
void view_rings(const Shape& shape, const ModuleWorkspace& workspace) {
  const int64_t stride = shape.width * shape.channels;
  float* ring = workspace.rings;
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    const int64_t rows = ring_rows(shape, layer);
    workspace.rings_of<Element>()[layer] = {reinterpret_cast<Element*>(ring), stride, rows};
    ring += rows * stride;
  }
}

void prepare(const Params& params, ModuleWorkspace* workspace) {
  const Shape& shape = params.shape;
  const bool reduced = params.reduced_weights != nullptr;
  workspace->index.heavy_from = reduced ? kHeavyFromReduced : kHeavyFrom;
  std::fill_n(workspace->zeros, shape.channels, 0.0f);
  std::fill_n(workspace->full, shape.layers, shape.channels);
  reduced ? view_rings<Reduced>(shape, *workspace) : view_rings<float>(shape, *workspace);
  workspace->scratch.reset();
}

}  // namespace

size_t workspace_bytes(const Shape& shape) {
  if (check(shape) != Status::kOk) return 0;
  ModuleWorkspace unused;
  return lay_out(shape, nullptr, &unused);
}

Status sparse_mask_module(const Params& params, const Kernels& kernels, const Parallel& parallel,
                          void* memory, size_t bytes) {
  const Status status = check(params, kernels, parallel);
  if (status != Status::kOk) return status;
  if (memory == nullptr || bytes < workspace_bytes(params.shape)) return Status::kSmallWorkspace;
  ModuleWorkspace workspace;
  lay_out(params.shape, memory, &workspace);
  prepare(params, &workspace);
  for (int64_t n = 0; n < params.shape.batch; ++n) {
    const ModuleImage image{
        {params, kernels, parallel, workspace, params.features + n * params.features_image_stride,
         params.output + n * params.output_image_stride},
        params.margin + n * params.margin_image_stride};
    index_mask(image.margin, params.margin_row_stride, params.theta, parallel, workspace.index);
    run_steps(image);
    const int64_t sums = params.shape.height * params.shape.channels;
    if (params.row_sums != nullptr)
      std::copy_n(workspace.row_sums, sums, params.row_sums + n * sums);
    else
      finish(image);
  }
  return Status::kOk;
}

}  // namespace smsr
