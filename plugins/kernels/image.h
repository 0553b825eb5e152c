// One image of a batch, and what it is computed with.
#pragma once

#include "kernels.h"
#include "parallel.h"

namespace smsr {

template <class Params, class Workspace>
struct ImageOf {
  const Params& params;
  const Kernels& kernels;
  const Parallel& parallel;
  const Workspace& workspace;
  const float* features;  // [H, W, channels]
  float* output;          // [H, W, channels], or the margin [H, W]
};

}  // namespace smsr
