// Channel attention's vector part: C pooled means -> C / 16 -> ReLU -> C -> sigmoid.
#pragma once

#include "sparse_mask_module.h"

namespace smsr {

constexpr int64_t kReduction = 16;

// row_sums [H, C] are added in row order, in double: the same on any number of threads.
// squeezed [C / 16] is scratch; scale [C] is the result.
void attention_scale(const Params& params, const float* row_sums, float* squeezed, float* scale);

}  // namespace smsr
