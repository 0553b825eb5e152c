// The mask as units of pixels, for the staged kernel: once per module, all layers use them.
//
// A unit is whole columns of a band of 8 rows: what is active there, or what is inactive. A warp computes it
// from the pixels around it, its set, each of which it brings to shared memory once: of 8 full columns 100
// pixels instead of 9 * 64. A unit takes as many columns as have at most kRows pixels and a set of fewer than
// kSet, so at least kRows / 8 of them.
#pragma once

#include "cuda/plan.cuh"

namespace smsr::cuda {

// A unit in memory, 16 bytes at a time: the set, one word per pixel (staged_pixel()), then for every tap the
// place in the set of the neighbour of each pixel of the unit, a byte: kPairs bytes for pixels q, 16 + q, ...
template <int kRows_, int kSet_>
struct UnitRecord {
  static constexpr int kRows = kRows_, kSet = kSet_, kPairs = kRows / 16;
  static constexpr int kLeastColumns = kRows / kBandRows;
  static constexpr int kMostColumns = kWarpSize - 2;  // a lane for each, and for their neighbours
  uint32 set[kSet];
  uint8 taps[kTaps * kRows];
};
SMSR_HOST_DEVICE int place_of_row(int row, int pairs) { return row % 16 * pairs + row / 16; }
constexpr uint32 kNoPixel = 0xffffffffu;  // outside of the image
SMSR_DEVICE uint32 staged_pixel(int pixel, bool active) { return static_cast<uint32>(pixel) << 1 | (active ? 1u : 0u); }

// Segments of bands, each listed by a warp; records and units of both kinds: [2, N, bands, slots].
struct UnitSizes {
  PlanSizes plan;
  int columns, segments;  // of a segment; segments of a band
  int slots;              // records of a band, one for every least_columns columns
  int least_columns;
};
struct UnitPlan {
  const uint8* columns;  // Plan::columns
  char* records;         // [2, N, bands, slots] UnitRecord
  UnitWord* listed;      // [2, N, bands, slots] a segment's units one behind the other
  int* counts;           // [2, N, bands, segments] units
  UnitWord* units;       // active ones, then inactive ones
  int* active_units;     // [N + 1] see Plan
  int* inactive_units;   // [N + 1]
};

SMSR_HOST_DEVICE int tasks_of(const UnitSizes& s) { return 2 * s.plan.batch * s.plan.bands * s.segments; }

struct UnitTask {
  int kind, image, band, segment;  // kind 0: active
  SMSR_DEVICE UnitTask(const UnitSizes& s, int index)
      : kind(index / (s.plan.batch * s.plan.bands * s.segments)),
        image(index / (s.plan.bands * s.segments) % s.plan.batch),
        band(index / s.segments % s.plan.bands),
        segment(index % s.segments) {}
  SMSR_DEVICE int first_slot(const UnitSizes& s) const {
    return ((kind * s.plan.batch + image) * s.plan.bands + band) * s.slots;
  }
};

SMSR_DEVICE uint32 dilate(uint32 bits) { return bits | bits << 1 | bits << 2; }

// Sums over the lanes before this one.
SMSR_DEVICE int sum_before(int value, int* total) {
  uint32 sum = static_cast<uint32>(value);
  for (int step = 1; step < kWarpSize; step *= 2) {
    const uint32 other = shuffle_up(sum, step);
    if (thread_index() % kWarpSize >= step) sum += other;
  }
  *total = static_cast<int>(shuffle(sum, kWarpSize - 1));
  return static_cast<int>(sum) - value;
}
// The value `lanes` below, 0 below the first lane.
SMSR_DEVICE uint32 below(uint32 value, int lanes) {
  const uint32 other = shuffle_up(value, lanes);
  return thread_index() % kWarpSize < lanes ? 0u : other;
}

// A warp's work on one segment.
template <class Record>
class UnitLister {
 public:
  // shared: of the warp, kSharedBytes.
  static constexpr int kSharedBytes = static_cast<int>(sizeof(Record)) + Record::kRows;
  SMSR_DEVICE UnitLister(const UnitSizes& s, const UnitPlan& plan, const UnitTask& task, char* shared)
      : s_(s),
        plan_(plan),
        task_(task),
        lane_(thread_index() % kWarpSize),
        columns_(plan.columns + static_cast<long long>(task.image) * s.plan.bands * s.plan.width),
        record_(reinterpret_cast<Record*>(shared)),
        pixels_(reinterpret_cast<uint8*>(record_ + 1)) {}

  SMSR_DEVICE int list() {
    const int first = task_.segment * s_.columns, end = smaller(s_.plan.width, first + s_.columns);
    int count = 0;
    for (int x = first; x < end;) {
      const uint32 bits = listed(x + lane_, end), any = ballot(bits != 0);
      const int skip = any == 0 ? kWarpSize : count_bits((any & (0u - any)) - 1u);  // empty columns
      if (skip == 0) {
        const int taken = take(bits);
        write(x, lane_ < taken ? bits : 0u, first, count++);
        x += taken;
      } else {
        x += skip;
      }
    }
    return count;
  }

 private:
  SMSR_DEVICE uint32 listed(int x, int end) const {
    if (x >= end) return 0;
    const uint32 active = columns_[task_.band * s_.plan.width + x];
    return task_.kind == 0 ? active : ~active & ((1u << rows_of_band(s_.plan, task_.band)) - 1u);
  }
  // How many columns the unit takes that begins with the first lane's.
  SMSR_DEVICE int take(uint32 bits) const {
    if (lane_ >= Record::kMostColumns) bits = 0;
    int total;
    const int pixels = sum_before(count_bits(bits), &total) + count_bits(bits);
    const uint32 left = below(bits, 1);
    const int inner = count_bits(dilate(left | bits | next_lane(bits)));
    const int set = sum_before(inner, &total) + count_bits(dilate(shuffle(bits, 0))) +
                    count_bits(dilate(left | bits)) + count_bits(dilate(bits));
    // Each true for the first lanes only; what lies behind the end of the segment adds nothing.
    return count_bits(ballot(lane_ < Record::kMostColumns && pixels <= Record::kRows && set < Record::kSet));
  }
  SMSR_DEVICE uint32 next_lane(uint32 value) const {
    const uint32 other = shuffle(value, (lane_ + 1) % kWarpSize);
    return lane_ == kWarpSize - 1 ? 0u : other;
  }
  // bits: of the unit's columns, from the first lane on.
  SMSR_DEVICE void write(int x, uint32 bits, int first, int count) {
    int rows, size;
    const int pixel = sum_before(count_bits(bits), &rows);
    const uint32 around = dilate(bits | below(bits, 1) | below(bits, 2));  // of column x - 1 + lane
    const int place = sum_before(count_bits(around), &size);
    sync_warp();
    for (int i = size + lane_; i < Record::kSet; i += kWarpSize) record_->set[i] = kNoPixel;
    write_set(x - 1 + lane_, around, place);
    for (int row = 0, at = pixel; row < kBandRows; ++row)
      if ((bits >> row & 1u) != 0) pixels_[at++] = static_cast<uint8>(lane_ << 3 | row);
    sync_warp();
    write_taps(rows, around, place, size);
    sync_warp();
    const int slot = task_.first_slot(s_) + x / s_.least_columns;
    const Vector* from = reinterpret_cast<const Vector*>(record_);
    Vector* to = reinterpret_cast<Vector*>(plan_.records) + static_cast<long long>(slot) * (sizeof(Record) / 16);
    for (int i = lane_; i < static_cast<int>(sizeof(Record) / 16); i += kWarpSize) store_vector(to + i, from[i]);
    if (lane_ == 0)
      plan_.listed[task_.first_slot(s_) + first / s_.least_columns + count] = {
          slot, static_cast<uint32>(rows) | static_cast<uint32>(size + 1) << 8};
  }
  SMSR_DEVICE void write_set(int x, uint32 around, int place) const {
    const uint32 there = tall_image(s_.plan, task_.band, x), active = tall_column(s_.plan, columns_, task_.band, x);
    const int first = (task_.image * s_.plan.height + task_.band * kBandRows - 1) * s_.plan.width + x;
    for (int row = 0; row < kBandRows + 2; ++row) {
      if ((around >> row & 1u) == 0) continue;
      const bool exists = (there >> row & 1u) != 0;
      record_->set[place++] =
          exists ? staged_pixel(first + row * s_.plan.width, (active >> row & 1u) != 0) : kNoPixel;
    }
  }
  // Rows past the unit's last pixel have the first place behind the set: no pixel.
  SMSR_DEVICE void write_taps(int rows, uint32 around, int place, int size) const {
    for (int row = lane_; row < Record::kRows; row += kWarpSize) {
      const bool exists = row < rows;
      const int pixel = pixels_[exists ? row : 0], column = pixel >> 3, y = pixel & 7;
      for (int kx = 0; kx < 3; ++kx) {
        const uint32 bits = shuffle(around, column + kx);
        const int first = static_cast<int>(shuffle(static_cast<uint32>(place), column + kx));
        for (int ky = 0; ky < 3; ++ky)
          record_->taps[(3 * ky + kx) * Record::kRows + place_of_row(row, Record::kPairs)] =
              static_cast<uint8>(exists ? first + count_bits(bits & ((1u << (y + ky)) - 1u)) : size);
      }
    }
  }

  const UnitSizes& s_;
  const UnitPlan& plan_;
  const UnitTask& task_;
  const int lane_;
  const uint8* columns_;
  Record* record_;
  uint8* pixels_;  // of the unit: 8 * column + row
};

// Units of a task, and records of them. One warp.
template <class Record>
SMSR_DEVICE void list_units(const UnitSizes& s, const UnitPlan& plan, int index, char* shared) {
  const UnitTask task(s, index);
  const int count = UnitLister<Record>(s, plan, task, shared).list();
  if (thread_index() % kWarpSize == 0) plan.counts[index] = count;
}

// Units of all tasks of a kind before `index`.
SMSR_DEVICE int units_before(const UnitPlan& plan, int from, int index) {
  int sum = 0, total;
  for (int i = from + thread_index() % kWarpSize; i < index; i += kWarpSize) sum += plan.counts[i];
  sum_before(sum, &total);
  return total;
}

// Once all tasks are listed: a task's units at their place among all units. One warp.
SMSR_DEVICE void place_units(const UnitSizes& s, const UnitPlan& plan, int index) {
  const UnitTask task(s, index);
  const int of_kind = tasks_of(s) / 2, kind_first = task.kind * of_kind, lane = thread_index() % kWarpSize;
  const int before = units_before(plan, kind_first, index);
  const int active = task.kind == 0 ? 0 : units_before(plan, 0, of_kind), count = plan.counts[index];
  const UnitWord* from = plan.listed + task.first_slot(s) + task.segment * s.columns / s.least_columns;
  for (int i = lane; i < count; i += kWarpSize) plan.units[active + before + i] = from[i];
  if (lane != 0) return;
  int* const starts = task.kind == 0 ? plan.active_units : plan.inactive_units;
  if (task.band == 0 && task.segment == 0) starts[task.image] = before;
  if (index + 1 == kind_first + of_kind) starts[s.plan.batch] = before + count;
}

}  // namespace smsr::cuda
