// The order of work: full convolution and pool, half convolution and what every half-size pixel adds to the
// phases around it, and their sums. The full-size map of Q channels never exists.
#include "dense/mask_branch.h"

#include <algorithm>

#include "checks.h"
#include "dense/dense_tiles.h"
#include "image.h"
#include "scratch.h"

namespace smsr {
namespace {

constexpr int64_t kPhases = 4, kTerms = 4 * kPhases;  // terms: a pixel's addends to 4 phases of 4 pixels
constexpr int64_t kPixelsPerTask = 48;                // of half the size
constexpr int64_t kRowsPerTask = 8;                   // of half the size

struct BranchWorkspace {
  float* zeros;         // [max(C, Q)]
  float* terms_weight;  // [Q][tap 4][phase 4]
  float* pooled;        // [H / 2, W / 2, Q], rounded up
  float* terms;         // [H / 2, W / 2, tap 4, phase 4]
  ScratchSlots scratch;
};

int64_t half_pixels(const BranchShape& s) { return pooled_size(s.height) * pooled_size(s.width); }

size_t lay_out(const BranchShape& s, bool winograd, void* base, BranchWorkspace* workspace) {
  Cursor cursor(base, kCacheLine);
  workspace->zeros = cursor.take<float>(std::max(s.channels, s.squeezed));
  workspace->terms_weight = cursor.take<float>(s.squeezed * kTerms);
  workspace->pooled = cursor.take<float>(half_pixels(s) * s.squeezed);
  workspace->terms = cursor.take<float>(half_pixels(s) * kTerms);
  const int64_t strip = kPixelsPerTask * s.squeezed;
  workspace->scratch = take_scratch(
      winograd ? std::max(strip, winograd_scratch_size(s.channels, s.squeezed)) : strip, &cursor);
  return cursor.bytes_unaligned();
}

Status check(const BranchShape& s) {
  if (!good_image(s.batch, s.height, s.width)) return Status::kBadSize;
  return good_channels(s.channels) && good_channels(s.squeezed) ? Status::kOk : Status::kBadChannels;
}

Status check(const BranchParams& p, const Kernels& kernels, const Parallel& parallel) {
  const Status shape = check(p.shape);
  if (shape != Status::kOk) return shape;
  if (any_null({p.features, p.half_weight, p.half_bias, p.phases_weight, p.phases_bias, p.margin}) ||
      parallel.run == nullptr)
    return Status::kBadPointer;
  const int64_t pixels = p.shape.batch * p.shape.height * p.shape.width;
  if (overlap(p.features, pixels * p.shape.channels, p.margin, pixels)) return Status::kOverlap;
  return check(p.full, p.shape.channels, 9, kernels);
}

using BranchImage = ImageOf<BranchParams, BranchWorkspace>;

PixelConvolution full_convolution(const BranchImage& image) {
  const BranchShape& s = image.params.shape;
  const DenseWeights& full = image.params.full;
  const ConstRows rows{image.features, s.width * s.channels, s.height};
  return {s.squeezed, 9,         true,
          full.plain, full.bias, {s.height, s.width, s.channels, rows, image.workspace.zeros}};
}

void pool_direct(const BranchImage& image, const PixelConvolution& c) {
  const int64_t pixels = half_pixels(image.params.shape);
  parallel_parts(image.parallel, pixels, kPixelsPerTask, [&](int64_t first, int64_t count) {
    image.kernels.dense.convolve_pooled(c, first, count, image.workspace.pooled + first * c.outputs);
  });
}

void pool(const BranchImage& image) {
  const PixelConvolution c = full_convolution(image);
  const DenseWeights& full = image.params.full;
  const auto by_tiles = [&](const auto* prepared, auto kernel) {
    const Rows pooled{image.workspace.pooled, pooled_size(c.in.width) * c.outputs, pooled_size(c.in.height)};
    convolve_by_tiles(c, prepared, {nullptr, 0, 0}, pooled, kernel, image.parallel, image.workspace.scratch);
  };
  if (full.reduced != nullptr)
    by_tiles(full.reduced, image.kernels.reduced->winograd.pooled_tiles);
  else if (full.prepared != nullptr)
    by_tiles(full.prepared, image.kernels.dense.winograd.pooled_tiles);
  else
    pool_direct(image, c);
}

// A 2x2 convolution to 4 phases is, seen from its inputs, a 1x1 convolution to 16 terms.
void order_terms(const float* phases_weight, int64_t squeezed, float* terms_weight) {
  for (int64_t tap = 0; tap < 4; ++tap)
    for (int64_t q = 0; q < squeezed; ++q)
      std::copy_n(phases_weight + (tap * squeezed + q) * kPhases, kPhases,
                  terms_weight + q * kTerms + tap * kPhases);
}

// The half convolution, and the terms of its pixels.
void compute_terms(const BranchImage& image) {
  const BranchParams& p = image.params;
  const BranchWorkspace& workspace = image.workspace;
  const int64_t height = pooled_size(p.shape.height), width = pooled_size(p.shape.width);
  const int64_t q = p.shape.squeezed;
  const PixelConvolution half{
      q,           9,
      true,        p.half_weight,
      p.half_bias, {height, width, q, {workspace.pooled, width * q, height}, workspace.zeros}};
  const DenseKernels& dense = image.kernels.dense;
  parallel_parts(image.parallel, height * width, kPixelsPerTask, [&](int64_t first, int64_t count) {
    const Scratch strip(workspace.scratch);
    dense.convolve(half, first, count, nullptr, strip.data());
    const PixelConvolution to_terms{kTerms,          1,
                                    false,           workspace.terms_weight,
                                    workspace.zeros, {1, count, q, {strip.data(), count * q, 1}, nullptr}};
    dense.convolve(to_terms, 0, count, nullptr, workspace.terms + first * kTerms);
  });
}

// The margin of two rows: every pixel sums the terms of four half-size pixels, zeros beyond the last ones.
void sum_terms(const BranchParams& p, const BranchWorkspace& workspace, int64_t half_y, float* margin) {
  const int64_t height = p.shape.height, width = p.shape.width;
  const int64_t half_height = pooled_size(height), half_width = pooled_size(width);
  const float* here = workspace.terms + half_y * half_width * kTerms;
  const bool is_last = half_y + 1 == half_height;
  const float* below = is_last ? workspace.zeros : here + half_width * kTerms;
  const int64_t below_step = is_last ? 0 : kTerms;
  for (int64_t x = 0; x < half_width; ++x, here += kTerms, below += below_step) {
    const bool last = x + 1 == half_width;
    const float* right = last ? workspace.zeros : here + kTerms;
    const float* across = last ? workspace.zeros : below + below_step;
    float phase[kPhases];
    for (int64_t k = 0; k < kPhases; ++k)
      phase[k] =
          p.phases_bias[k] + here[k] + right[kPhases + k] + below[2 * kPhases + k] + across[3 * kPhases + k];
    for (int64_t py = 0; py < std::min<int64_t>(2, height - 2 * half_y); ++py)
      for (int64_t px = 0; px < std::min<int64_t>(2, width - 2 * x); ++px)
        margin[(2 * half_y + py) * width + 2 * x + px] = phase[2 * py + px];
  }
}

void write_margin(const BranchImage& image) {
  const int64_t rows = pooled_size(image.params.shape.height);
  parallel_parts(image.parallel, rows, kRowsPerTask, [&](int64_t first, int64_t count) {
    for (int64_t y = first; y < first + count; ++y) sum_terms(image.params, image.workspace, y, image.output);
  });
}

}  // namespace

size_t branch_workspace_bytes(const BranchShape& shape, bool winograd) {
  if (check(shape) != Status::kOk) return 0;
  BranchWorkspace unused;
  return lay_out(shape, winograd, nullptr, &unused);
}

Status mask_branch(const BranchParams& params, const Kernels& kernels, const Parallel& parallel, void* memory,
                   size_t bytes) {
  const Status status = check(params, kernels, parallel);
  if (status != Status::kOk) return status;
  const BranchShape& s = params.shape;
  const bool winograd = params.full.winograd();
  if (memory == nullptr || bytes < branch_workspace_bytes(s, winograd)) return Status::kSmallWorkspace;
  BranchWorkspace workspace;
  lay_out(s, winograd, memory, &workspace);
  workspace.scratch.reset();
  std::fill_n(workspace.zeros, std::max(s.channels, s.squeezed), 0.0f);
  order_terms(params.phases_weight, s.squeezed, workspace.terms_weight);
  const int64_t pixels = s.height * s.width;
  for (int64_t n = 0; n < s.batch; ++n) {
    const BranchImage image{params,
                            kernels,
                            parallel,
                            workspace,
                            params.features + n * pixels * s.channels,
                            params.margin + n * pixels};
    pool(image);
    compute_terms(image);
    write_margin(image);
  }
  return Status::kOk;
}

}  // namespace smsr
