#include "dense_convolution.h"

#include <algorithm>

#include "checks.h"
#include "dense_tiles.h"
#include "layout.h"
#include "reduced_kernels.h"

namespace smsr {
namespace {

// Pixels of one task: a multiple of every tile's rows and of the micro-kernel's block.
constexpr int64_t kPixelsPerTask = 192;

struct Workspace {
  float* zeros;          // [I]
  ScratchSlots scratch;  // with prepared weights
};

size_t lay_out(const DenseShape& shape, bool prepared, void* base, Workspace* workspace) {
  Cursor cursor(base, kCacheLine);
  workspace->zeros = cursor.take<float>(shape.inputs);
  if (prepared)
    workspace->scratch = take_scratch(winograd_scratch_size(shape.inputs, shape.outputs), &cursor);
  return cursor.bytes_unaligned();
}

bool good_size(const DenseShape& shape) {
  return good_image(shape.batch, shape.height, shape.width) && shape.inputs > 0 &&
         (shape.taps == 9 || shape.taps == 1);
}

Status check(const DenseParams& params) {
  if (!good_size(params.shape)) return Status::kBadSize;
  if (!good_channels(params.shape.outputs)) return Status::kBadChannels;
  return any_null({params.features, params.weight, params.bias, params.output}) ? Status::kBadPointer
                                                                                : Status::kOk;
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

PixelConvolution convolution(const Image& image) {
  const DenseParams& p = image.params;
  const DenseShape& s = p.shape;
  return {
      s.height,      s.width, s.inputs, s.outputs, s.taps, p.relu, p.weight, p.bias, image.workspace.zeros,
      image.features};
}

void run_direct(const Image& image) {
  const PixelConvolution c = convolution(image);
  parallel_parts(image.parallel, c.height * c.width, kPixelsPerTask, [&](int64_t first, int64_t count) {
    const int64_t at = first * c.outputs;
    const float* const addend = image.addend != nullptr ? image.addend + at : nullptr;
    image.kernels.dense->convolve(c, first, count, addend, image.output + at);
  });
}

template <class Weight>
void run_winograd(const Image& image, const Weight* weights,
                  void (*convolve)(const TileConvolutionOf<float, float, Weight>&, Tiles, float*)) {
  const PixelConvolution c = convolution(image);
  auto tiles = by_tiles(c, weights);
  tiles.addend = {image.addend, c.width * c.outputs, c.height};
  tiles.out = {image.output, c.width * c.outputs, c.height};
  parallel_blocks(image.parallel, c, image.workspace.scratch,
                  [&](int64_t first, int64_t count, float* scratch) {
                    convolve(tiles, {nullptr, first, count}, scratch);
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
  if (!good_size(shape) || !good_channels(shape.outputs)) return 0;
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
