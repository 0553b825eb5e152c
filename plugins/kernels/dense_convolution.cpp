#include "dense_convolution.h"

#include <algorithm>

#include "dense_kernels.h"
#include "layout.h"
#include "parallel.h"
#include "reduced_kernels.h"
#include "scratch.h"
#include "winograd.h"

namespace smsr {
namespace {

// Pixels of one task: a multiple of every tile's rows and of the micro-kernel's block.
constexpr int64_t kPixelsPerTask = 192;

struct Workspace {
  float* zeros;          // [I]
  ScratchSlots scratch;  // with prepared weights
};

size_t lay_out(const DenseShape& shape, bool prepared, void* base, Workspace* workspace) {
  Cursor cursor(base);
  workspace->zeros = cursor.take<float>(shape.inputs);
  if (prepared)
    workspace->scratch = take_scratch(winograd_scratch_size(shape.inputs, shape.outputs), &cursor);
  return cursor.bytes();
}

bool good_size(const DenseShape& shape) {
  const bool positive = shape.batch > 0 && shape.height > 0 && shape.width > 0 && shape.inputs > 0;
  return positive && shape.height <= INT64_C(0x7fffffff) / shape.width &&
         (shape.taps == 9 || shape.taps == 1);
}

bool good_channels(const DenseShape& shape) { return shape.outputs > 0 && shape.outputs % 16 == 0; }

Status check(const DenseParams& params) {
  if (!good_size(params.shape)) return Status::kBadSize;
  if (!good_channels(params.shape)) return Status::kBadChannels;
  const void* pointers[] = {params.features, params.weight, params.bias, params.output};
  for (const void* pointer : pointers)
    if (pointer == nullptr) return Status::kBadPointer;
  return Status::kOk;
}

// One image of the batch.
struct Image {
  const DenseParams& params;
  const Kernels& kernels;
  const Parallel& parallel;
  const Workspace& workspace;
  const float* features;
  const float* addend;
  float* output;
};

void run_direct(const Image& image) {
  const DenseParams& p = image.params;
  const DenseShape& s = p.shape;
  const PixelConvolution c{
      s.height,      s.width, s.inputs, s.outputs, s.taps, p.relu, p.weight, p.bias, image.workspace.zeros,
      image.features};
  const int64_t pixels = s.height * s.width;
  parallel_for(image.parallel, divide_up(pixels, kPixelsPerTask), [&](int64_t task) {
    const int64_t first = task * kPixelsPerTask, at = first * s.outputs;
    image.kernels.dense->convolve(c, first, std::min(kPixelsPerTask, pixels - first),
                                  image.addend != nullptr ? image.addend + at : nullptr, image.output + at);
  });
}

template <class Weight>
TileConvolutionOf<float, float, Weight> tile_convolution(const Image& image, const Weight* weights) {
  const DenseParams& p = image.params;
  const DenseShape& s = p.shape;
  const int64_t in_row = s.width * s.inputs, out_row = s.width * s.outputs;
  TileConvolutionOf<float, float, Weight> c{};
  c.height = s.height;
  c.width = s.width;
  c.inputs = s.inputs;
  c.outputs = c.leading = s.outputs;
  c.weights = weights;
  c.zeros = image.workspace.zeros;
  c.bias = p.bias;
  c.relu = p.relu;
  c.in = {image.features, in_row, s.height};
  c.addend = {image.addend, out_row, s.height};
  c.out = {image.output, out_row, s.height};
  return c;
}

template <class Weight>
void run_winograd(const Image& image, const Weight* weights,
                  void (*convolve)(const TileConvolutionOf<float, float, Weight>&, Tiles, float*)) {
  const auto c = tile_convolution(image, weights);
  const int64_t tiles = tiles_along(c.height) * tiles_along(c.width);
  parallel_for(image.parallel, divide_up(tiles, kTilesPerBlock), [&](int64_t task) {
    const Scratch scratch(image.workspace.scratch);
    const int64_t first = task * kTilesPerBlock;
    convolve(c, {nullptr, first, std::min(kTilesPerBlock, tiles - first)}, scratch.data());
  });
}

void run(const Image& image) {
  const DenseParams& p = image.params;
  if (p.reduced != nullptr)
    run_winograd(image, p.reduced, image.kernels.reduced->dense_tiles);
  else if (p.prepared != nullptr)
    run_winograd(image, p.prepared, image.kernels.convolve_tiles);
  else
    run_direct(image);
}

}  // namespace

int64_t prepared_dense_weights(int64_t inputs, int64_t outputs, int taps) {
  return taps == 9 && inputs % 16 == 0 ? winograd_weights_size(inputs, outputs) : 0;
}

void prepare_dense_weights(const float* weight, int64_t inputs, int64_t outputs, float* prepared) {
  winograd_prepare(weight, inputs, outputs, prepared);
}

int64_t reduced_dense_weights(int64_t inputs, int64_t outputs, int taps) {
  return taps == 9 && inputs % 16 == 0 ? reduced_winograd_size(inputs, outputs) : 0;
}

void prepare_reduced_dense_weights(const ReducedKernels& kernels, const float* weight, int64_t inputs,
                                   int64_t outputs, Reduced* prepared) {
  winograd_prepare_reduced(kernels, weight, inputs, outputs, prepared);
}

size_t dense_workspace_bytes(const DenseShape& shape, bool prepared) {
  if (!good_size(shape) || !good_channels(shape)) return 0;
  Workspace unused;
  return lay_out(shape, prepared, nullptr, &unused);
}

Status dense_convolution(const DenseParams& params, const Kernels& kernels, const Parallel& parallel,
                         void* memory, size_t bytes) {
  const Status status = check(params);
  if (status != Status::kOk) return status;
  const DenseShape& s = params.shape;
  const bool prepared = params.prepared != nullptr || params.reduced != nullptr;
  if (memory == nullptr || bytes < dense_workspace_bytes(s, prepared)) return Status::kSmallWorkspace;
  Workspace workspace;
  lay_out(s, prepared, memory, &workspace);
  if (prepared) workspace.scratch.reset();
  std::fill_n(workspace.zeros, s.inputs, 0.0f);
  const int64_t pixels = s.height * s.width;
  for (int64_t n = 0; n < s.batch; ++n) {
    const int64_t out = n * pixels * s.outputs;
    const Image image{params,
                      kernels,
                      parallel,
                      workspace,
                      params.features + n * pixels * s.inputs,
                      params.addend != nullptr ? params.addend + out : nullptr,
                      params.output + out};
    run(image);
  }
  return Status::kOk;
}

}  // namespace smsr
