// The mask as bits: bands of 8 rows, a byte for each column of a band.
#pragma once

#include "cuda/types.cuh"

namespace smsr::cuda {

// Returns the sum over the threads before this one; total: over the whole block. `value` may be two counts
// below 2^16, packed.
SMSR_DEVICE uint32 scan_block(uint32 value, uint32* total) {
  uint32* warps = static_cast<uint32*>(shared_memory());
  const int lane = thread_index() % kWarpSize, warp = thread_index() / kWarpSize;
  uint32 sum = value;
  for (int step = 1; step < kWarpSize; step *= 2) {
    const uint32 other = shuffle_up(sum, step);
    if (lane >= step) sum += other;
  }
  sync_block();
  if (lane == kWarpSize - 1) warps[warp] = sum;
  sync_block();
  uint32 before = 0, all = 0;
  for (int i = 0; i < kPlanThreads / kWarpSize; ++i) {
    if (i < warp) before += warps[i];
    all += warps[i];
  }
  *total = all;
  return before + sum - value;
}

SMSR_DEVICE int rows_of_band(const PlanSizes& s, int band) {
  return smaller(kBandRows, s.height - band * kBandRows);
}

template <class T>
SMSR_DEVICE bool is_active(T margin, float theta) {
  return to_float(margin) - theta > 0.0f;  // NaN: inactive
}

// Active pixels of the column, from the row above the band (bit 0) to the row below it (bit 9); 0 outside the
// image.
SMSR_DEVICE uint32 tall_column(const PlanSizes& s, const uint8* columns, int band, int x) {
  if (x < 0 || x >= s.width) return 0;
  const uint8* at = columns + band * s.width + x;
  uint32 bits = static_cast<uint32>(*at) << 1;
  if (band > 0) bits |= static_cast<uint32>(at[-s.width]) >> 7;
  if (band + 1 < s.bands) bits |= (static_cast<uint32>(at[s.width]) & 1u) << 9;
  return bits;
}

// The same bits, of the pixels that lie inside the image.
SMSR_DEVICE uint32 tall_image(const PlanSizes& s, int band, int x) {
  if (x < 0 || x >= s.width) return 0;
  const int below = smaller(kBandRows + 1, s.height - band * kBandRows);  // rows of the band and one more
  return ((1u << below) - 1u) << 1 | (band > 0 ? 1u : 0u);
}

constexpr int kPlanShared = kPlanThreads / kWarpSize * 4;  // bytes of shared memory that a block needs

// A block's part, `block` of N * s.blocks: of plan.columns and plan.block_counts. margin [N, 1, H, W],
// theta [].
template <class T>
SMSR_DEVICE void mark_block(const PlanSizes& s, const T* margin, const T* theta, const Plan& plan,
                            int block) {
  const int image = block / s.blocks, column = block % s.blocks * kPlanThreads + thread_index();
  uint32 counts = 0;
  if (column < s.bands * s.width) {
    const int band = column / s.width, x = column % s.width, rows = rows_of_band(s, band);
    const T* from = margin + (static_cast<long long>(image) * s.height + band * kBandRows) * s.width + x;
    const float threshold = to_float(*theta);
    T values[kBandRows];  // loaded together, before any is used
#pragma unroll
    for (int row = 0; row < kBandRows; ++row) values[row] = from[smaller(row, rows - 1) * s.width];
    uint32 bits = 0;
#pragma unroll
    for (int row = 0; row < kBandRows; ++row)
      if (row < rows && is_active(values[row], threshold)) bits |= 1u << row;
    plan.columns[static_cast<long long>(image) * s.bands * s.width + column] = static_cast<uint8>(bits);
    const uint32 active = static_cast<uint32>(count_bits(bits));
    counts = active | (static_cast<uint32>(rows) - active) << 16;
  }
  uint32 total;
  scan_block(counts, &total);
  if (thread_index() == 0) {
    int* to = plan.block_counts + 2 * block;
    to[0] = static_cast<int>(total & 0xffffu);
    to[1] = static_cast<int>(total >> 16);
  }
}

// Blocks [N * s.blocks].
template <class T>
SMSR_KERNEL(kPlanThreads, 1)
void mark_columns(PlanSizes s, const T* margin, const T* theta, Plan plan) {
  mark_block(s, margin, theta, plan, block_x());
}

}  // namespace smsr::cuda
