// Features after some modules, from those before them and each module's sums: the residuals at one go.
#pragma once

#include <cstdint>

#include "parallel.h"

namespace smsr {

struct Kernels;  // kernels.h

// output = features + scales[0] * sums[0] + scales[1] * sums[1] ..., in this order, as sparse_mask_module()
// rounds each step.
struct ScaledSum {
  int64_t pixels, channels, count;  // count: of sums, 1 or more
  const float* features;            // [pixels, channels]
  const float* const* sums;         // [count] of the same size
  const float* scales;              // [count, channels]
  float* output;                    // may be features
};

void scaled_sum(const ScaledSum& sum, const Kernels& kernels, const Parallel& parallel);

}  // namespace smsr
