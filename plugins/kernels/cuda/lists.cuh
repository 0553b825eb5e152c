// The mask as lists of pixels, for the kernels that gather from global memory; the mask alone determines
// their order.
//
// An image is listed in bands of 8 rows, each band column by column. 64 neighbours in a list are therefore
// close in both directions, and most of what the nine taps of a warp's pixels read is in the first-level
// cache.
#pragma once

#include "cuda/plan.cuh"

namespace smsr::cuda {

// Returns the sum over the block's threads to all of them.
SMSR_DEVICE int sum_block(int value) {
  int* warps = static_cast<int*>(shared_memory());
  uint32 sum = static_cast<uint32>(value);
  for (int mask = 1; mask < kWarpSize; mask *= 2) sum += shuffle_xor(sum, mask);
  sync_block();
  if (thread_index() % kWarpSize == 0) warps[thread_index() / kWarpSize] = static_cast<int>(sum);
  sync_block();
  int all = 0;
  for (int i = 0; i < kPlanThreads / kWarpSize; ++i) all += warps[i];
  return all;
}

// Number of active (which = 0) or inactive (1) pixels in the first `blocks` blocks of an image.
SMSR_DEVICE int count_before(const PlanSizes& s, const Plan& plan, int image, int blocks, int which) {
  int sum = 0;
  for (int i = thread_index(); i < blocks; i += kPlanThreads)
    sum += plan.block_counts[2 * (image * s.blocks + i) + which];
  return sum_block(sum);
}

// Writes the number of units of all images and sets their counters to zero. One block.
SMSR_DEVICE void write_units(const PlanSizes& s, const Plan& plan, int counters) {
  int active_units = 0, inactive_units = 0;
  for (int image = 0; image < s.batch; ++image) {
    const int active = count_before(s, plan, image, s.blocks, 0), inactive = s.height * s.width - active;
    if (thread_index() == 0) {
      plan.active_count[image] = active;
      plan.active_units[image] = active_units;
      plan.inactive_units[image] = inactive_units;
    }
    active_units += divide_up(active, kUnitRows);
    inactive_units += divide_up(inactive, kUnitRows);
  }
  if (thread_index() == 0) {
    plan.active_units[s.batch] = active_units;
    plan.inactive_units[s.batch] = inactive_units;
  }
  for (int i = thread_index(); i < counters; i += kPlanThreads) plan.counters[i] = 0;
}

// The nine taps around a row of the band, from the columns left, middle and right: bit 3 * ky + kx.
SMSR_DEVICE uint32 taps_around(const uint32 (&tall)[3], int row) {
  uint32 bits = 0;
  for (int ky = 0; ky < 3; ++ky)
    for (int kx = 0; kx < 3; ++kx) bits |= (tall[kx] >> (row + ky) & 1u) << (3 * ky + kx);
  return bits;
}

// Blocks [N * s.blocks + 1]: write plan.entries; the last one the units.
[[maybe_unused]] static SMSR_KERNEL(kPlanThreads, 1) void write_lists(PlanSizes s, Plan plan, int counters) {
  const int image = block_x() / s.blocks, block = block_x() % s.blocks;
  if (image == s.batch) {
    write_units(s, plan, counters);
    return;
  }
  const int column = block * kPlanThreads + thread_index();
  const int active_before = count_before(s, plan, image, block, 0);
  const int inactive_before = count_before(s, plan, image, block, 1);
  const bool inside = column < s.bands * s.width;
  const int band = column / s.width, x = column % s.width, rows = inside ? rows_of_band(s, band) : 0;
  const uint8* columns = plan.columns + static_cast<long long>(image) * s.bands * s.width;
  const uint32 mine = inside ? columns[column] : 0u, active = static_cast<uint32>(count_bits(mine));
  uint32 total;
  const uint32 before = scan_block(active | (static_cast<uint32>(rows) - active) << 16, &total);
  if (!inside) return;
  uint32 tall[3], there[3];
  for (int kx = 0; kx < 3; ++kx) {
    tall[kx] = tall_column(s, columns, band, x + kx - 1);
    there[kx] = tall_image(s, band, x + kx - 1);
  }
  const int pixels = s.height * s.width, first = image * pixels;
  int to_active = first + active_before + static_cast<int>(before & 0xffffu);
  int to_inactive = first + pixels - 1 - inactive_before - static_cast<int>(before >> 16);
  for (int row = 0; row < rows; ++row) {
    Entry entry;
    entry.pixel = first + (band * kBandRows + row) * s.width + x;
    entry.bits = taps_around(there, row) | taps_around(tall, row) << kTaps;
    plan.entries[(mine >> row & 1u) != 0 ? to_active++ : to_inactive--] = entry;
  }
}

}  // namespace smsr::cuda
