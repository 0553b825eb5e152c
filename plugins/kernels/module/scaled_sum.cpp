#include "module/scaled_sum.h"

#include <algorithm>

#include "kernels.h"

namespace smsr {
namespace {

constexpr int64_t kPixelsPerTask = 2048;
constexpr int64_t kPixelsPerBlock = 64;  // its output stays in the first-level cache from sum to sum

void add_block(const ScaledSum& sum, const Kernels& kernels, int64_t first, int64_t pixels) {
  const int64_t at = first * sum.channels;
  const float* before = sum.features + at;
  for (int64_t k = 0; k < sum.count; ++k) {
    kernels.scale_add_row(sum.output + at, sum.sums[k] + at, before, sum.scales + k * sum.channels, pixels,
                          sum.channels);
    before = sum.output + at;
  }
}

}  // namespace

void scaled_sum(const ScaledSum& sum, const Kernels& kernels, const Parallel& parallel) {
  parallel_parts(parallel, sum.pixels, kPixelsPerTask, [&](int64_t first, int64_t count) {
    for (int64_t x = first; x < first + count; x += kPixelsPerBlock)
      add_block(sum, kernels, x, std::min(kPixelsPerBlock, first + count - x));
  });
}

}  // namespace smsr
