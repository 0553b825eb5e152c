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
SMSR_DEVICE uint32 staged_pixel(int pixel, bool active) {
  return static_cast<uint32>(pixel) << 1 | (active ? 1u : 0u);
}

// Segments of bands, each divided by a warp; units of both kinds: [2, N, bands, slots].
struct UnitSizes {
  PlanSizes plan;
  int columns, segments;  // of a segment; segments of a band
  int slots;              // of a band, one for every least_columns columns
  int least_columns;
};
struct UnitPlan {
  const uint8* columns;  // Plan::columns
  UnitColumns* listed;   // [2, N, bands, slots] a segment's units one behind the other
  int* counts;           // [2, N, bands, segments] units
  UnitColumns* placed;   // [units] active ones, then inactive ones
  UnitWord* units;       // [units]
  char* records;         // [units] UnitRecord
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
  // Of the task's units in UnitPlan::listed.
  SMSR_DEVICE int first_slot(const UnitSizes& s) const {
    return ((kind * s.plan.batch + image) * s.plan.bands + band) * s.slots +
           segment * s.columns / s.least_columns;
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

// The pixels of one kind in a band's column, as bits.
SMSR_DEVICE uint32 listed_column(const PlanSizes& s, const uint8* columns, int kind, int band, int x,
                                 int end) {
  if (x >= end) return 0;
  const uint32 active = columns[band * s.width + x];
  return kind == 0 ? active : ~active & ((1u << rows_of_band(s, band)) - 1u);
}
SMSR_DEVICE const uint8* columns_of(const PlanSizes& s, const UnitPlan& plan, int image) {
  return plan.columns + static_cast<long long>(image) * s.bands * s.width;
}

// How many columns the unit takes that begins with the first lane's. bits: of the lane's column.
template <class Record>
SMSR_DEVICE int columns_of_unit(uint32 bits) {
  const int lane = thread_index() % kWarpSize;
  if (lane >= Record::kMostColumns) bits = 0;
  const uint32 behind = shuffle(bits, (lane + 1) % kWarpSize), right = lane == kWarpSize - 1 ? 0u : behind;
  const uint32 left = below(bits, 1);
  int total;
  const int pixels = sum_before(count_bits(bits), &total) + count_bits(bits);
  // The set of all columns up to the lane's: around the first one, inside, around the last one.
  const int set = count_bits(dilate(shuffle(bits, 0))) +
                  sum_before(count_bits(dilate(left | bits | right)), &total) +
                  count_bits(dilate(left | bits)) + count_bits(dilate(bits));
  // True for the first lanes only; what lies behind the end of the segment adds nothing.
  return count_bits(ballot(lane < Record::kMostColumns && pixels <= Record::kRows && set < Record::kSet));
}

// Divides a task's segment into units. One warp.
template <class Record>
SMSR_DEVICE void divide_segment(const UnitSizes& s, const UnitPlan& plan, int index) {
  const UnitTask task(s, index);
  const uint8* const columns = columns_of(s.plan, plan, task.image);
  const int lane = thread_index() % kWarpSize, first = task.segment * s.columns;
  const int end = smaller(s.plan.width, first + s.columns);
  UnitColumns* const to = plan.listed + task.first_slot(s);
  int count = 0;
  for (int x = first; x < end;) {
    const uint32 bits = listed_column(s.plan, columns, task.kind, task.band, x + lane, end);
    const uint32 any = ballot(bits != 0);
    const int skip = any == 0 ? kWarpSize : count_bits((any & (0u - any)) - 1u);  // empty columns
    if (skip > 0) {
      x += skip;
      continue;
    }
    const int taken = columns_of_unit<Record>(bits),
              band = (task.kind * s.plan.batch + task.image) * s.plan.bands + task.band;
    if (lane == 0) to[count] = {x, band, smaller(taken, end - x)};
    ++count;
    x += taken;
  }
  if (lane == 0) plan.counts[index] = count;
}

// Units of all tasks of a kind before `index`.
SMSR_DEVICE int units_before(const UnitPlan& plan, int from, int index) {
  int sum = 0, total;
  for (int i = from + thread_index() % kWarpSize; i < index; i += kWarpSize) sum += plan.counts[i];
  sum_before(sum, &total);
  return total;
}

// Once all segments are divided: a task's units at their place among all units. One warp.
SMSR_DEVICE void place_units(const UnitSizes& s, const UnitPlan& plan, int index) {
  const UnitTask task(s, index);
  const int of_kind = tasks_of(s) / 2, kind_first = task.kind * of_kind, lane = thread_index() % kWarpSize;
  const int before = units_before(plan, kind_first, index);
  const int active = task.kind == 0 ? 0 : units_before(plan, 0, of_kind), count = plan.counts[index];
  const UnitColumns* const from = plan.listed + task.first_slot(s);
  for (int i = lane; i < count; i += kWarpSize) plan.placed[active + before + i] = from[i];
  if (lane != 0) return;
  int* const starts = task.kind == 0 ? plan.active_units : plan.inactive_units;
  if (task.band == 0 && task.segment == 0) starts[task.image] = before;
  if (index + 1 == kind_first + of_kind) starts[s.plan.batch] = before + count;
}

// Writes the record of a unit, whose columns are known. One warp.
template <class Record>
class RecordWriter {
 public:
  // shared: of the warp, kSharedBytes.
  static constexpr int kSharedBytes = static_cast<int>(sizeof(Record)) + Record::kRows;
  SMSR_DEVICE RecordWriter(const PlanSizes& s, const UnitPlan& plan, const UnitColumns& unit, char* shared)
      : s_(s),
        lane_(thread_index() % kWarpSize),
        image_(unit.band / s.bands % s.batch),
        band_(unit.band % s.bands),
        columns_(columns_of(s, plan, image_)),
        record_(reinterpret_cast<Record*>(shared)),
        pixels_(reinterpret_cast<uint8*>(record_ + 1)),
        x_(unit.x),
        bits_(listed_column(s, columns_, unit.band / (s.bands * s.batch), band_, unit.x + lane_,
                            unit.x + unit.count)) {}

  SMSR_DEVICE void write(const UnitPlan& plan, int index) const {
    int rows, size;
    const int pixel = sum_before(count_bits(bits_), &rows);
    const uint32 around = dilate(bits_ | below(bits_, 1) | below(bits_, 2));  // of column x - 1 + lane
    const int place = sum_before(count_bits(around), &size);
    sync_warp();  // the record before has been copied
    for (int i = size + lane_; i < Record::kSet; i += kWarpSize) record_->set[i] = kNoPixel;
    write_set(x_ - 1 + lane_, around, place);
    uint8* to = pixels_ + pixel;
#pragma unroll
    for (int row = 0; row < kBandRows; ++row)
      if ((bits_ >> row & 1u) != 0) *to++ = static_cast<uint8>(lane_ << 3 | row);
    sync_warp();
    write_taps(rows, around, place, size);
    sync_warp();
    const Vector* const from = reinterpret_cast<const Vector*>(record_);
    constexpr int kVectors = static_cast<int>(sizeof(Record) / 16);
    Vector* const record = reinterpret_cast<Vector*>(plan.records) + static_cast<long long>(index) * kVectors;
    for (int i = lane_; i < kVectors; i += kWarpSize) store_vector(record + i, from[i]);
    if (lane_ == 0) plan.units[index] = static_cast<UnitWord>(rows) | static_cast<UnitWord>(size + 1) << 8;
  }

 private:
  SMSR_DEVICE void write_set(int x, uint32 around, int place) const {
    const uint32 there = tall_image(s_, band_, x), active = tall_column(s_, columns_, band_, x);
    const int first = (image_ * s_.height + band_ * kBandRows - 1) * s_.width + x;
    uint32* to = record_->set + place;
#pragma unroll
    for (int row = 0; row < kBandRows + 2; ++row) {
      if ((around >> row & 1u) == 0) continue;
      const bool exists = (there >> row & 1u) != 0;
      *to++ = exists ? staged_pixel(first + row * s_.width, (active >> row & 1u) != 0) : kNoPixel;
    }
  }
  // Rows past the unit's last pixel have the first place behind the set: no pixel.
  SMSR_DEVICE void write_taps(int rows, uint32 around, int place, int size) const {
#pragma unroll
    for (int row = lane_; row < Record::kRows; row += kWarpSize) {
      const bool exists = row < rows;
      const int pixel = pixels_[exists ? row : 0], column = pixel >> 3, y = pixel & 7;
      uint8* const to = record_->taps + place_of_row(row, Record::kPairs);
#pragma unroll
      for (int kx = 0; kx < 3; ++kx) {
        const uint32 bits = shuffle(around, column + kx);
        const int first = static_cast<int>(shuffle(static_cast<uint32>(place), column + kx));
#pragma unroll
        for (int ky = 0; ky < 3; ++ky)
          to[(3 * ky + kx) * Record::kRows] =
              static_cast<uint8>(exists ? first + count_bits(bits & ((1u << (y + ky)) - 1u)) : size);
      }
    }
  }

  const PlanSizes& s_;
  const int lane_, image_, band_;
  const uint8* columns_;
  Record* record_;
  uint8* pixels_;  // of the unit: 8 * column + row
  const int x_;
  const uint32 bits_;  // of the lane's column
};

}  // namespace smsr::cuda
