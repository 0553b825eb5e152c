#include "dense/dense_convolution.h"

#include <algorithm>

#include "checks.h"
#include "dense/dense_tiles.h"
#include "image.h"
#include "scratch.h"

namespace smsr {
namespace {

// Pixels of one task: a multiple of every tile's rows and of the micro-kernel's block.
constexpr int64_t kPixelsPerTask = 192;

struct DenseWorkspace {
  float* zeros;          // [I]
  ScratchSlots scratch;  // for Winograd
};

size_t lay_out(const DenseShape& shape, bool winograd, void* base, DenseWorkspace* workspace) {
  Cursor cursor(base, kCacheLine);
  workspace->zeros = cursor.take<float>(shape.inputs);
  if (winograd)
    workspace->scratch = take_scratch(winograd_scratch_size(shape.inputs, shape.outputs), &cursor);
  return cursor.bytes_unaligned();
}

Status check(const DenseShape& s) {
  const bool good_inputs = s.inputs > 0 && s.inputs <= kMostChannels;
  if (!good_image(s.batch, s.height, s.width) || !good_inputs || (s.taps != 9 && s.taps != 1))
    return Status::kBadSize;
  return good_channels(s.outputs) ? Status::kOk : Status::kBadChannels;
}

Status check(const DenseParams& p, const Kernels& kernels, const Parallel& parallel) {
  const DenseShape& s = p.shape;
  const Status shape = check(s);
  if (shape != Status::kOk) return shape;
  if (any_null({p.features, p.output}) || parallel.run == nullptr) return Status::kBadPointer;
  const int64_t pixels = s.batch * s.height * s.width;
  if (overlap(p.features, pixels * s.inputs, p.output, pixels * s.outputs)) return Status::kOverlap;
  return check(p.weights, s.inputs, s.taps, kernels);
}

struct DenseImage : ImageOf<DenseParams, DenseWorkspace> {
  const float* addend;  // [H, W, O] or null
};

PixelConvolution convolution(const DenseImage& image) {
  const DenseParams& p = image.params;
  const DenseShape& s = p.shape;
  const ConstRows rows{image.features, s.width * s.inputs, s.height};
  return {s.outputs,       s.taps,         p.relu,
          p.weights.plain, p.weights.bias, {s.height, s.width, s.inputs, rows, image.workspace.zeros}};
}

void run_direct(const DenseImage& image, const PixelConvolution& c) {
  const int64_t pixels = c.in.height * c.in.width;
  parallel_parts(image.parallel, pixels, kPixelsPerTask, [&](int64_t first, int64_t count) {
    const int64_t at = first * c.outputs;
    const float* const addend = image.addend != nullptr ? image.addend + at : nullptr;
    image.kernels.dense.convolve(c, first, count, addend, image.output + at);
  });
}

void run(const DenseImage& image) {
  const PixelConvolution c = convolution(image);
  const DenseWeights& weights = image.params.weights;
  const auto by_tiles = [&](const auto* prepared, auto kernel) {
    const int64_t row = c.in.width * c.outputs;
    convolve_by_tiles(c, prepared, {image.addend, row, c.in.height}, {image.output, row, c.in.height}, kernel,
                      image.parallel, image.workspace.scratch);
  };
  if (weights.reduced != nullptr)
    by_tiles(weights.reduced, image.kernels.reduced->winograd.tiles);
  else if (weights.prepared != nullptr)
    by_tiles(weights.prepared, image.kernels.dense.winograd.tiles);
  else
    run_direct(image, c);
}

}  // namespace

size_t dense_workspace_bytes(const DenseShape& shape, bool winograd) {
  if (check(shape) != Status::kOk) return 0;
  DenseWorkspace unused;
  return lay_out(shape, winograd, nullptr, &unused);
}

Status dense_convolution(const DenseParams& params, const Kernels& kernels, const Parallel& parallel,
                         void* memory, size_t bytes) {
  const Status status = check(params, kernels, parallel);
  if (status != Status::kOk) return status;
  const DenseShape& s = params.shape;
  const bool winograd = params.weights.winograd();
  if (memory == nullptr || bytes < dense_workspace_bytes(s, winograd)) return Status::kSmallWorkspace;
  DenseWorkspace workspace;
  lay_out(s, winograd, memory, &workspace);
  if (winograd) workspace.scratch.reset();
  std::fill_n(workspace.zeros, s.inputs, 0.0f);
  const int64_t pixels = s.height * s.width;
  for (int64_t n = 0; n < s.batch; ++n) {
    const int64_t out = n * pixels * s.outputs;
    run({{params, kernels, parallel, workspace, params.features + n * pixels * s.inputs, params.output + out},
         params.addend != nullptr ? params.addend + out : nullptr});
  }
  return Status::kOk;
}

}  // namespace smsr
