// The order of work: full convolution and pool, half convolution and what every half-size pixel adds to the
// phases around it, and their sums. The full-size map of Q channels never exists.
#include "mask_branch.h"

#include <algorithm>

#include "checks.h"
#include "dense_tiles.h"
#include "layout.h"
#include "reduced_kernels.h"

namespace smsr {
namespace {

constexpr int64_t kPhases = 4, kTerms = 4 * kPhases;  // terms: a pixel's addends to 4 phases of 4 pixels
constexpr int64_t kPixelsPerTask = 48;                // of half the size
constexpr int64_t kRowsPerTask = 8;                   // of half the size

struct Workspace {
  float* zeros;         // [max(C, Q)]
  float* terms_weight;  // [Q, 4 taps, 4 phases]
  float* pooled;        // [H / 2, W / 2, Q], rounded up
  float* terms;         // [H / 2, W / 2, 4 taps, 4 phases]
  ScratchSlots scratch;
};

int64_t half_pixels(const BranchShape& s) { return pooled_size(s.height) * pooled_size(s.width); }

size_t lay_out(const BranchShape& s, bool prepared, void* base, Workspace* workspace) {
  Cursor cursor(base, kCacheLine);
  workspace->zeros = cursor.take<float>(std::max(s.channels, s.squeezed));
  workspace->terms_weight = cursor.take<float>(s.squeezed * kTerms);
  workspace->pooled = cursor.take<float>(half_pixels(s) * s.squeezed);
  workspace->terms = cursor.take<float>(half_pixels(s) * kTerms);
  const int64_t strip = kPixelsPerTask * s.squeezed;
  workspace->scratch = take_scratch(
      prepared ? std::max(strip, winograd_scratch_size(s.channels, s.squeezed)) : strip, &cursor);
  return cursor.bytes_unaligned();
}

Status check(const BranchShape& s) {
  if (!good_image(s.batch, s.height, s.width)) return Status::kBadSize;
  return good_channels(s.channels) && good_channels(s.squeezed) ? Status::kOk : Status::kBadChannels;
}

Status check(const BranchParams& p) {
  const Status status = check(p.shape);
  if (status != Status::kOk) return status;
  return any_null({p.features, p.full_weight, p.full_bias, p.half_weight, p.half_bias, p.phases_weight,
                   p.phases_bias, p.margin})
             ? Status::kBadPointer
             : Status::kOk;
}

// One image of the batch.
struct Image {
  const BranchParams& params;
  const Kernels& kernels;
  const Parallel& parallel;
  const Workspace& workspace;
  const float* features;
  float* margin;
};

PixelConvolution full_convolution(const Image& image) {
  const BranchParams& p = image.params;
  const BranchShape& s = p.shape;
  return {s.height,      s.width,     s.channels,
          s.squeezed,    9,           true,
          p.full_weight, p.full_bias, image.workspace.zeros,
          image.features};
}

void pool_direct(const Image& image) {
  const PixelConvolution c = full_convolution(image);
  const int64_t pixels = half_pixels(image.params.shape);
  parallel_parts(image.parallel, pixels, kPixelsPerTask, [&](int64_t first, int64_t count) {
    image.kernels.dense->convolve_pooled(c, first, count, image.workspace.pooled + first * c.outputs);
  });
}

template <class Weight>
void pool_winograd(const Image& image, const Weight* weights,
                   void (*convolve)(const TileConvolutionOf<float, float, Weight>&, int64_t, int64_t, float*,
                                    float*)) {
  const PixelConvolution c = full_convolution(image);
  const auto tiles = by_tiles(c, weights);
  const Workspace& workspace = image.workspace;
  parallel_blocks(image.parallel, c, workspace.scratch, [&](int64_t first, int64_t count, float* scratch) {
    convolve(tiles, first, count, workspace.pooled, scratch);
  });
}

void pool(const Image& image) {
  const BranchParams& p = image.params;
  if (p.full_reduced != nullptr)
    pool_winograd(image, p.full_reduced, image.kernels.reduced->pooled_tiles);
  else if (p.full_prepared != nullptr)
    pool_winograd(image, p.full_prepared, image.kernels.dense->convolve_pooled_tiles);
  else
    pool_direct(image);
}

// A 2x2 convolution to 4 phases is, seen from its inputs, a 1x1 convolution to 16 terms.
void order_terms(const float* phases_weight, int64_t squeezed, float* terms_weight) {
  for (int64_t tap = 0; tap < 4; ++tap)
    for (int64_t q = 0; q < squeezed; ++q)
      std::copy_n(phases_weight + (tap * squeezed + q) * kPhases, kPhases,
                  terms_weight + q * kTerms + tap * kPhases);
}

void find_terms(const Image& image) {
  const BranchParams& p = image.params;
  const Workspace& workspace = image.workspace;
  const int64_t height = pooled_size(p.shape.height), width = pooled_size(p.shape.width);
  const int64_t q = p.shape.squeezed, pixels = height * width;
  const PixelConvolution half{height,          width,           q, q, 9, true, p.half_weight, p.half_bias,
                              workspace.zeros, workspace.pooled};
  const DenseKernels& dense = *image.kernels.dense;
  parallel_parts(image.parallel, pixels, kPixelsPerTask, [&](int64_t first, int64_t count) {
    const Scratch strip(workspace.scratch);
    dense.convolve(half, first, count, nullptr, strip.data());
    const PixelConvolution to_terms{
        1, count, q, kTerms, 1, false, workspace.terms_weight, workspace.zeros, nullptr, strip.data()};
    dense.convolve(to_terms, 0, count, nullptr, workspace.terms + first * kTerms);
  });
}

// The margin of two rows: every pixel sums the terms of four half-size pixels, zeros beyond the last ones.
void sum_terms(const BranchParams& p, const Workspace& workspace, int64_t half_y, float* margin) {
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

void write_margin(const Image& image) {
  const int64_t rows = pooled_size(image.params.shape.height);
  parallel_parts(image.parallel, rows, kRowsPerTask, [&](int64_t first, int64_t count) {
    for (int64_t y = first; y < first + count; ++y) sum_terms(image.params, image.workspace, y, image.margin);
  });
}

}  // namespace

size_t branch_workspace_bytes(const BranchShape& shape, bool prepared) {
  if (check(shape) != Status::kOk) return 0;
  Workspace unused;
  return lay_out(shape, prepared, nullptr, &unused);
}

Status mask_branch(const BranchParams& params, const Kernels& kernels, const Parallel& parallel, void* memory,
                   size_t bytes) {
  const Status status = check(params);
  if (status != Status::kOk) return status;
  const BranchShape& s = params.shape;
  const bool prepared = params.full_prepared != nullptr || params.full_reduced != nullptr;
  if (memory == nullptr || bytes < branch_workspace_bytes(s, prepared)) return Status::kSmallWorkspace;
  Workspace workspace;
  lay_out(s, prepared, memory, &workspace);
  workspace.scratch.reset();
  std::fill_n(workspace.zeros, std::max(s.channels, s.squeezed), 0.0f);
  order_terms(params.phases_weight, s.squeezed, workspace.terms_weight);
  const int64_t pixels = s.height * s.width;
  for (int64_t n = 0; n < s.batch; ++n) {
    const Image image{params,
                      kernels,
                      parallel,
                      workspace,
                      params.features + n * pixels * s.channels,
                      params.margin + n * pixels};
    pool(image);
    find_terms(image);
    write_margin(image);
  }
  return Status::kOk;
}

}  // namespace smsr
