// The units that a warp of the staged kernel takes from a counter, one after the other, and their records in
// shared memory. What the next two need is on its way meanwhile; warps never wait for each other.
#pragma once

#include "cuda/staged_units.cuh"

namespace smsr::cuda {

// A unit, of `index` among all; rows 0: there are no more.
struct StagedUnit {
  int index, rows, set;  // set: places, with the one that is no pixel
  SMSR_DEVICE StagedUnit() : index(-1), rows(0), set(0) {}
  SMSR_DEVICE StagedUnit(int of, UnitWord word)
      : index(of), rows(static_cast<int>(word & 0xffu)), set(static_cast<int>(word >> 8)) {}
};

// Units begin, begin + 1, ... end - 1 of the list. The warp begins with `first`; the counter hands out those
// from `taken` on.
struct UnitRange {
  const UnitWord* units;
  const char* records;
  uint32* counter;
  int first, taken, end;
};

template <class Record>
class UnitQueue {
 public:
  // Of the unit whose sums are finished, of the one that is copied, of the next.
  static constexpr int kSlots = 3, kBytes = kSlots * static_cast<int>(sizeof(Record));

  // memory: kBytes.
  SMSR_DEVICE UnitQueue(const UnitRange& range, char* memory)
      : range_(range), memory_(memory), lane_(thread_index() % kWarpSize) {
    take();
    next_ = load(range.first);
    copy_record();
    commit_copies();
    wait_for_copies<0>();
    sync_warp();
    advance();
  }
  SMSR_DEVICE const StagedUnit& unit() const { return unit_; }
  SMSR_DEVICE const Record& record() const { return *slot(slot_); }

  // The next unit becomes the current one. Its record must be there: all that was copied before the advance
  // before, or with the first chunk after it.
  SMSR_DEVICE void advance() {
    unit_ = next_;
    if (++slot_ == kSlots) slot_ = 0;
    next_ = load(range_.taken + static_cast<int>(shuffle(taken_, 0)));
    if (next_.rows > 0) take();
    copy_record();
  }

 private:
  SMSR_DEVICE void take() { taken_ = lane_ == 0 ? atomic_add(range_.counter, 1u) : 0u; }
  SMSR_DEVICE StagedUnit load(int index) const {
    return index < range_.end ? StagedUnit(index, range_.units[index]) : StagedUnit();
  }
  SMSR_DEVICE Record* slot(int index) const { return reinterpret_cast<Record*>(memory_) + index; }
  // Of next_, into the slot behind.
  SMSR_DEVICE void copy_record() const {
    if (next_.rows == 0) return;
    constexpr int kVectors = static_cast<int>(sizeof(Record)) / 16;
    Vector* const to = reinterpret_cast<Vector*>(slot(slot_ + 1 == kSlots ? 0 : slot_ + 1));
    const Vector* const from =
        reinterpret_cast<const Vector*>(range_.records) + static_cast<long long>(next_.index) * kVectors;
#pragma unroll
    for (int i = lane_; i < kVectors; i += kWarpSize) copy_to_shared(to + i, from + i);
  }
  const UnitRange& range_;
  char* memory_;
  const int lane_;
  StagedUnit unit_, next_;
  uint32 taken_ = 0;
  int slot_ = kSlots - 1;
};

// The pixel of a row of a unit, kNoPixel past its end. The unit must exist: nobody has written the record of
// none, and what stands there leads out of shared memory.
template <class Record>
SMSR_DEVICE uint32 pixel_of_row(const Record& record, int row) {
  const int place = record.taps[kCentre * Record::kRows + place_of_row(row, Record::kPairs)];
  check_emulated(place < Record::kSet);
  return record.set[place];
}

// Where the lane's pixels of eight rows are in the output, from its first channels on.
template <class Record, class Sums>
struct OutputRows {
  uint32* at[2];
  SMSR_DEVICE OutputRows(void* out, int channels, const Record& record, const Sums& sums, int n) {
    Half* const first = static_cast<Half*>(out) + sums.channel(0);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint32 pixel = pixel_of_row(record, sums.pixel(n) + i) >> 1;
      at[i] = reinterpret_cast<uint32*>(first + pixel * static_cast<uint32>(channels));
    }
  }
};

}  // namespace smsr::cuda
