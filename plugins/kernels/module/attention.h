// Channel attention's vector part: C pooled means -> R -> ReLU -> C -> sigmoid, where
// R = C / kChannelAttentionReduction.
#pragma once

#include "module/sparse_mask_module.h"

namespace smsr {

// row_sums [H, C] are added in row order, in double: the same on any number of threads.
// squeezed [R] is scratch; scale [C] is the result.
void attention_scale(const Params& params, const float* row_sums, float* squeezed, float* scale);

}  // namespace smsr
