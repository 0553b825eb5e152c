// Units of work: up to 64 pixels of one image that are all active or all inactive. Their number is known on
// the device only; warps take them from a counter.
#pragma once

#include "cuda/types.cuh"

namespace smsr::cuda {

struct Lists {
  const Entry* entries;       // [N, H * W], see Plan
  const int* active_count;    // [N]
  const int* active_units;    // [N + 1]
  const int* inactive_units;  // [N + 1]
  uint32* counters;           // [slices]
  int batch, pixels;          // N, H * W
};

// The pixels of one unit, or of a part of it: entries first, first + step, ..., `rows` of them.
struct Unit {
  bool active;
  int image;
  int index;  // of the unit, over all images: active units before inactive ones
  int first, step;
  int rows;  // may be 0 or less: nothing to do
};

// The last image whose units start at or before `unit`.
SMSR_DEVICE int find_image(const int* starts, int batch, int unit) {
  int low = 0, high = batch - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (starts[middle] <= unit)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

// Part `part` of unit `index`, at most kRows pixels.
template <int kRows>
SMSR_DEVICE Unit find_unit(const Lists& lists, int index, int part) {
  Unit unit;
  const int all_active = lists.active_units[lists.batch];
  unit.active = index < all_active;
  unit.index = index;
  const int* starts = unit.active ? lists.active_units : lists.inactive_units;
  const int within = unit.active ? index : index - all_active;
  unit.image = find_image(starts, lists.batch, within);
  const int count = lists.active_count[unit.image];
  const int ahead = (within - starts[unit.image]) * kUnitRows + part * kRows;
  const int left = (unit.active ? count : lists.pixels - count) - ahead;
  unit.rows = left < kRows ? left : kRows;
  unit.step = unit.active ? 1 : -1;
  unit.first = unit.image * lists.pixels + (unit.active ? ahead : lists.pixels - 1 - ahead);
  return unit;
}

}  // namespace smsr::cuda
