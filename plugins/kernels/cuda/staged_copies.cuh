// How the staged kernel's inputs come to shared memory. Every warp has a ring of its own there and copies
// ahead of its products, from one unit of pixels to the next: warps never wait for each other.
//
// A chunk is 32 channels of a unit's pixels: of the neighbours of one tap (convolution), or of one layer
// (collect). Piece p (8 channels, 16 bytes) of row r lies at piece p ^ (r / 2 % 4) of its 64 bytes: the eight
// rows of an ldmatrix then lie in different banks.
#pragma once

#include "cuda/tile_staged.cuh"
#include "cuda/units.cuh"

namespace smsr::cuda {

constexpr int kStagedWarps = 8, kStagedThreads = kStagedWarps * kWarpSize;
constexpr int kStagedChannels = 64;  // most of a module
constexpr int kChunkChannels = 32, kChunkSteps = kChunkChannels / StagedTile::kDepth;
constexpr int kRowBytes = 2 * kChunkChannels;
// Entries of units in shared memory: of the one whose sums are finished, of the one that is copied, of the
// next.
constexpr int kEntrySlots = 3;

// The sources are [N, H, W, channels]: one for all taps, or one per layer. Of an inactive pixel they hold the
// first `dense` channels, then zeros up to the next multiple of 8; what lies behind is undefined.
struct StagedInputs {
  const Half* sources;    // [groups or 1] tensors, `stride` numbers apart
  long long stride;       // collect only
  const Half* residual;   // collect only: [N, H, W, channels], summed without weights, behind all layers
  DenseChannels dense;    // of each source
  const Vector* weights;  // [groups, channels / 16, StagedTile::kStepVectors] packed
  int groups;             // taps, or layers
  int channels, width;
};

// The chunks of a unit in their order. An inactive unit has dense channels only.
template <bool kCollect>
class Chunks {
 public:
  SMSR_DEVICE void start(const StagedInputs& in, bool active) {
    active_ = active;
    group_ = 0;
    half_ = 0;
    enter(in);
  }
  SMSR_DEVICE void next(const StagedInputs& in) {
    if (!kCollect) {  // all taps of the first half, then of the second
      if (++group_ < kTaps) return;
      group_ = 0;
      ++half_;
    } else if (++half_ == halves_) {
      half_ = 0;
      ++group_;
      enter(in);
    }
  }
  SMSR_DEVICE bool done(const StagedInputs& in) const {
    return kCollect ? group_ > in.groups : half_ == halves_;
  }
  SMSR_DEVICE int group() const { return group_; }
  SMSR_DEVICE int half() const { return half_; }
  SMSR_DEVICE bool is_residual(const StagedInputs& in) const { return kCollect && group_ == in.groups; }
  SMSR_DEVICE int steps() const { return smaller(steps_ - kChunkSteps * half_, kChunkSteps); }
  // The number of the first step, of all groups' steps.
  SMSR_DEVICE int first_step(const StagedInputs& in) const {
    return group_ * divide_up(in.channels, StagedTile::kDepth) + kChunkSteps * half_;
  }

 private:
  SMSR_DEVICE int channels(const StagedInputs& in) const {  // of the group, in this unit
    return active_ || is_residual(in) ? in.channels : dense_of(in.dense, kCollect ? group_ : 0);
  }
  SMSR_DEVICE void enter(const StagedInputs& in) {
    if (kCollect)
      while (group_ < in.groups && channels(in) == 0) ++group_;
    steps_ = divide_up(channels(in), StagedTile::kDepth);
    halves_ = divide_up(steps_, kChunkSteps);
    // The fewest chunks of a unit, on which StagedCopies relies: a convolution's has its taps, whether or not
    // they have steps; the collect's the residual's two halves.
    if (!kCollect && halves_ == 0) halves_ = 1;
    if (is_residual(in)) halves_ = 2;
  }
  bool active_;
  int group_, half_, halves_, steps_;
};

// A warp's ring of kStages chunks of 16 * kPairs pixels, and the units that it copies.
template <int kPairs, int kStages, bool kCollect>
class StagedCopies {
 public:
  static constexpr int kRows = 16 * kPairs, kLaneRows = kRows / 8;
  static_assert(kStages >= 2 && kStages <= (kCollect ? 3 : kTaps), "begin() relies on the chunks of a unit");
  static constexpr int kChunkBytes = kRows * kRowBytes;
  static constexpr int kWarpBytes = kStages * kChunkBytes + kEntrySlots * kRows * static_cast<int>(sizeof(Entry));

  // memory: kWarpBytes. first: the warp's first unit; `last`: behind the last one. The counter hands out the
  // units from `taken` on.
  SMSR_DEVICE StagedCopies(const StagedInputs& in, const Lists& lists, char* memory, int first, int taken, int end)
      : in_(in), lists_(lists), memory_(memory), lane_(thread_index() % kWarpSize), taken_from_(taken), end_(end) {
    take();
    next_ = unit_at(first);
    copy_entries(0);
    commit_copies();
    wait_for_copies<0>();
    sync_warp();
    begin();
#pragma unroll
    for (int i = 0; i < kStages - 1; ++i) {
      prepare();
      copy_rows<1>(0);
      commit();
    }
  }

  // The unit that is copied: that of the next chunk to wait for, whenever the unit before has no chunk left.
  SMSR_DEVICE const Unit& unit() const { return unit_; }
  SMSR_DEVICE const Entry* entries() const { return slot(slot_); }

  // Waits for the next chunk and returns its address for rows(). Then all its rows must be read and all of
  // copy_rows() be called, before commit() ends the turn.
  SMSR_DEVICE uint32 next_chunk() {
    wait_for_copies<kStages - 2>();
    sync_warp();
    prepare();
    const uint32 at = shared_address(memory_) + static_cast<uint32>(read_ * kChunkBytes);
    if (++read_ == kStages) read_ = 0;
    const int row = lane_ % 8 + 8 * (lane_ / 16);
    return at + static_cast<uint32>(row * kRowBytes + (lane_ / 8 % 2 ^ row / 2 % 4) * 16);
  }
  // Step 0 or 1 of a chunk.
  static SMSR_DEVICE void rows(uint32 chunk, int step, StepInputs<kPairs>* to) {
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair)
      load_matrices((*to)[pair], (chunk ^ static_cast<uint32>(32 * step)) + pair * 16 * kRowBytes);
  }
  // Copies part `part` of `parts` of the rows of the chunk that takes the place of the one before: little by
  // little, so that products hide the time that this takes.
  template <int kParts>
  SMSR_DEVICE void copy_rows(int part) const {
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i)
      if (i * kParts / kLaneRows == part)
        copy_or_zero(copies_, to_ + i * 8 * kRowBytes, from_ + (offsets_[i] + ahead_), (bits_[i] & bit_) != 0);
  }
  SMSR_DEVICE void commit() const { commit_copies(); }

 private:
  SMSR_DEVICE void take() {
    taken_ = lane_ == 0 ? atomic_add(lists_.counters, 1u) : 0u;
  }
  SMSR_DEVICE Unit unit_at(int index) const {
    Unit none = {};
    return index < end_ ? find_unit<kRows, kRows>(lists_, index, 0) : none;
  }
  SMSR_DEVICE Entry* slot(int index) const {
    return reinterpret_cast<Entry*>(memory_ + kStages * kChunkBytes) + index * kRows;
  }
  // Of next_; no pixel past its end.
  SMSR_DEVICE void copy_entries(int to) const {
#pragma unroll
    for (int row = lane_; row < kRows; row += kWarpSize)
      copy_8_or_zero(slot(to) + row, lists_.entries + (next_.first + next_.step * row), row < next_.rows);
  }
  // The next unit becomes the one that is copied, and the one after it the next. Its entries are there: the
  // copies of the first chunk of the unit before have been waited for.
  SMSR_DEVICE void begin() {
    unit_ = next_;
    if (++slot_ == kEntrySlots) slot_ = 0;
    const Entry* entries = slot(slot_);
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) {
      const Entry entry = entries[lane_ / 4 + 8 * i];
      offsets_[i] = static_cast<uint32>(entry.pixel * in_.channels) * 2;
      bits_[i] = entry.bits;
    }
    next_ = unit_at(taken_from_ + static_cast<int>(shuffle(taken_, 0)));
    if (next_.rows > 0) take();
    copy_entries(slot_ + 1 == kEntrySlots ? 0 : slot_ + 1);
    chunks_.start(in_, unit_.active);
  }

  // Where the next chunk's rows come from and go to. The lane copies piece lane % 4 of rows lane / 4, lane / 4 +
  // 8, ...
  SMSR_DEVICE void prepare() {
    if (unit_.rows > 0 && chunks_.done(in_) && next_.rows > 0) begin();
    copies_ = false;
    if (unit_.rows <= 0 || chunks_.done(in_)) return;
    const int piece = lane_ % 4, row = lane_ / 4, group = chunks_.group();
    const int channel = chunks_.half() * kChunkChannels + piece * kPiece;
    if (kCollect) {
      const bool is_residual = chunks_.is_residual(in_);
      const int dense = is_residual ? in_.channels : round_up(dense_of(in_.dense, group), kPiece);
      bit_ = 1u << (channel < dense ? kCentre : kCentre + kTaps);
      from_ = reinterpret_cast<const char*>(is_residual ? in_.residual : in_.sources + group * in_.stride);
      ahead_ = static_cast<uint32>(2 * channel);
    } else if (group > 0) {  // the next tap
      const bool next_row = group == 3 || group == 6;
      bit_ <<= 1;
      ahead_ += static_cast<uint32>(2 * in_.channels * (next_row ? in_.width - 2 : 1));
    } else {
      bit_ = channel < round_up(dense_of(in_.dense, 0), kPiece) ? 1u : 1u << kTaps;
      from_ = reinterpret_cast<const char*>(in_.sources);
      ahead_ = static_cast<uint32>(2 * (channel - (in_.width + 1) * in_.channels));
    }
    copies_ = piece < 2 * chunks_.steps();
    to_ = shared_address(memory_) +
          static_cast<uint32>(write_ * kChunkBytes + row * kRowBytes + (piece ^ row / 2 % 4) * 16);
    if (++write_ == kStages) write_ = 0;
    chunks_.next(in_);
  }

  const StagedInputs& in_;
  const Lists& lists_;
  char* memory_;
  const int lane_, taken_from_, end_;
  Unit unit_ = {}, next_ = {};
  Chunks<kCollect> chunks_;
  uint32 taken_ = 0;
  int slot_ = kEntrySlots - 1, write_ = 0, read_ = 0;
  uint32 offsets_[kLaneRows];  // of the rows' pixels, in bytes
  uint32 bits_[kLaneRows];     // Entry::bits
  // Of the chunk that is copied: the bit of bits_ that is set where its channels exist; addresses.
  bool copies_ = false;
  uint32 bit_ = 0, to_ = 0, ahead_ = 0;
  const char* from_ = nullptr;
};

}  // namespace smsr::cuda
