// How the staged kernel's inputs come to shared memory. Every warp has a ring of its own there and copies
// ahead of its products, from one unit of pixels to the next: warps never wait for each other.
//
// A chunk is 32 channels of a unit's pixels: of the neighbours of one tap (convolution), or of one layer or
// the residual (collect). Piece p (8 channels, 16 bytes) of row r lies at piece p ^ (r / 2 % 4) of its 64
// bytes: the eight rows of an ldmatrix then lie in different banks.
#pragma once

#include "cuda/tile_staged.cuh"
#include "cuda/units.cuh"

namespace smsr::cuda {

constexpr int kStagedWarps = 8, kStagedThreads = kStagedWarps * kWarpSize;
constexpr int kStagedChannels = 64;  // most of a module
constexpr int kChunkPieces = StagedTile::kDepth / kPiece, kRowBytes = 2 * StagedTile::kDepth;
// Entries of units in shared memory: of the one whose sums are finished, of the one that is copied, of the
// next.
constexpr int kEntrySlots = 3;

// The sources are [N, H, W, channels]: one for all taps, or one per layer. Of an inactive pixel they hold the
// first `dense` channels, then zeros up to the next multiple of 8; what lies behind is undefined.
struct StagedInputs {
  const Half* sources;    // [groups or 1] tensors, `stride` numbers apart
  long long stride;       // collect only
  const Half* residual;   // collect only: [N, H, W, channels], behind all layers, without weights
  DenseChannels dense;    // of each source
  const Vector* weights;  // [groups, channels / 32, StagedTile::kVectors] packed
  int groups;             // taps, or layers
  int channels, width;
};

// What a lane copies of a chunk: its piece of the unit's pixels.
struct alignas(16) StagedPiece {
  const char* from;  // of a pixel at offset 0
  uint32 bit;        // of Entry::bits, set where the piece exists; 0: nowhere
  int weights;       // the chunk's, in vectors; residual: none
};

// The chunks of units of active and of inactive pixels, in their order; in shared memory. An inactive unit
// has dense channels only.
struct StagedChunks {
  static constexpr int kMost = 2 * (kMaxLayers + 1) > 2 * kTaps ? 2 * (kMaxLayers + 1) : 2 * kTaps;
  StagedPiece pieces[2][kMost + 1][kChunkPieces];  // [inactive, active]; one more, which is never copied
  int count[2];
};

// A chunk: half `half` of a convolution's tap, of a layer, or of the residual.
struct ChunkPlace {
  int group, half;
};

// Writes a chunk's pieces, each by one thread.
template <bool kCollect>
SMSR_DEVICE void write_piece(const StagedInputs& in, const ChunkPlace& place, bool active, int piece,
                             StagedPiece* to) {
  const bool is_residual = kCollect && place.group == in.groups;
  const int channel = place.half * StagedTile::kDepth + piece * kPiece;
  const int dense = is_residual ? in.channels : round_up(dense_of(in.dense, kCollect ? place.group : 0), kPiece);
  const int tap = kCollect ? kCentre : place.group;
  const int neighbour = kCollect ? 0 : (tap / 3 - 1) * in.width + tap % 3 - 1;
  const Half* from = is_residual ? in.residual : in.sources + (kCollect ? place.group * in.stride : 0);
  to->from = reinterpret_cast<const char*>(from) + 2LL * (neighbour * in.channels + channel);
  to->bit = 0;
  if (channel < dense)
    to->bit = 1u << tap;
  else if (active && channel < in.channels)
    to->bit = 1u << (tap + kTaps);
  to->weights = (place.group * divide_up(in.channels, StagedTile::kDepth) + place.half) * StagedTile::kVectors;
}

// One block. Inactive units of a convolution whose inputs have no dense channels copy zeros: no unit may have
// fewer than two chunks, see StagedCopies.
template <bool kCollect>
SMSR_DEVICE void write_chunks(const StagedInputs& in, StagedChunks* chunks) {
  const int thread = thread_index(), piece = thread % kChunkPieces, active = thread / kChunkPieces % 2;
  if (thread >= 2 * kChunkPieces) return;
  int count = 0;
  const auto write = [&](int group, int half) {
    write_piece<kCollect>(in, {group, half}, active != 0, piece, &chunks->pieces[active][count++][piece]);
  };
  const auto halves = [&](int group) {
    return divide_up(active != 0 ? in.channels : dense_of(in.dense, kCollect ? group : 0), StagedTile::kDepth);
  };
  if (kCollect) {
    for (int group = 0; group < in.groups; ++group)
      for (int half = 0; half < halves(group); ++half) write(group, half);
    for (int half = 0; half < 2; ++half) write(in.groups, half);
  } else {
    for (int half = 0; half < (halves(0) > 1 ? 2 : 1); ++half)
      for (int tap = 0; tap < kTaps; ++tap) write(tap, half);
  }
  chunks->pieces[active][count][piece].weights = 0;
  if (piece == 0) chunks->count[active] = count;
}

// A warp's ring of kStages chunks of 16 * kPairs pixels, and the units that it copies.
template <int kPairs, int kStages>
class StagedCopies {
 public:
  static constexpr int kRows = 16 * kPairs, kLaneRows = kRows / 8;
  static constexpr int kChunkBytes = kRows * kRowBytes;
  static constexpr int kWarpBytes =
      kStages * kChunkBytes + kEntrySlots * kRows * static_cast<int>(sizeof(Entry));

  // memory: kWarpBytes. first: the warp's first unit; `end`: behind the last one. The counter hands out the
  // units from `taken` on.
  SMSR_DEVICE StagedCopies(const StagedInputs& in, const Lists& lists, const StagedChunks& chunks, char* memory,
                           int first, int taken, int end)
      : lists_(lists),
        chunks_(chunks),
        memory_(memory),
        pixel_bytes_(2 * in.channels),
        lane_(thread_index() % kWarpSize),
        taken_from_(taken),
        end_(end),
        to_(shared_address(memory) +
            static_cast<uint32>(lane_ / 4 * kRowBytes + (lane_ % 4 ^ lane_ / 8 % 4) * 16)) {
    take();
    next_ = unit_at(first);
    copy_entries(0);
    commit_copies();
    wait_for_copies<0>();
    sync_warp();
    begin();
#pragma unroll
    for (int i = 0; i < kStages - 1; ++i) {
      enter_chunk();
      copy_rows<1>(0);
      commit();
    }
  }

  // The unit that is copied: that of the next chunk to wait for, whenever the unit before has no chunk left.
  // rows 0: there are no more.
  SMSR_DEVICE const Unit& unit() const { return unit_; }
  SMSR_DEVICE const Entry* entries() const { return slot(slot_); }

  // Waits for the next chunk and returns its address for rows(). Then all its rows must be read and all of
  // copy_rows() be called, before commit() ends the turn.
  SMSR_DEVICE uint32 next_chunk() {
    wait_for_copies<kStages - 2>();
    sync_warp();
    enter_chunk();
    const int row = lane_ % 8 + 8 * (lane_ / 16);
    const uint32 at = shared_address(memory_) + static_cast<uint32>(read_ * kChunkBytes + row * kRowBytes +
                                                                    (lane_ / 8 % 2 ^ row / 2 % 4) * 16);
    if (++read_ == kStages) read_ = 0;
    return at;
  }
  // Step 0 or 1 of a chunk.
  static SMSR_DEVICE void rows(uint32 chunk, int step, StepInputs<kPairs>* to) {
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair)
      load_matrices((*to)[pair], (chunk ^ static_cast<uint32>(32 * step)) + pair * 16 * kRowBytes);
  }
  // Copies part `part` of kParts of the rows of the chunk that takes the place of the one before: little by
  // little, between products. The lane copies piece lane % 4 of rows lane / 4, lane / 4 + 8, ...
  template <int kParts>
  SMSR_DEVICE void copy_rows(int part) const {
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i)
      if (i * kParts / kLaneRows == part)
        copy_or_zero(into_ + i * 8 * kRowBytes, piece_.from + offsets_[i], (bits_[i] & piece_.bit) != 0);
  }
  SMSR_DEVICE void commit() const { commit_copies(); }

 private:
  SMSR_DEVICE void take() { taken_ = lane_ == 0 ? atomic_add(lists_.counters, 1u) : 0u; }
  SMSR_DEVICE Unit unit_at(int index) const {
    const Unit none = {};
    return index < end_ ? find_unit<kRows, kRows>(lists_, index, 0) : none;
  }
  SMSR_DEVICE Entry* slot(int index) const {
    return reinterpret_cast<Entry*>(memory_ + kStages * kChunkBytes) + index * kRows;
  }
  // Of next_; past its end no pixel, of which nothing exists.
  SMSR_DEVICE void copy_entries(int to) const {
#pragma unroll
    for (int row = lane_; row < kRows; row += kWarpSize)
      copy_8_or_zero(slot(to) + row, lists_.entries + (next_.first + next_.step * row), row < next_.rows);
  }
  // The next unit becomes the one that is copied, and the one after it the next. Its entries are there: the
  // first chunk of the unit before has been waited for, as long as a unit has kStages - 1 chunks.
  SMSR_DEVICE void begin() {
    unit_ = next_;
    if (++slot_ == kEntrySlots) slot_ = 0;
    const Entry* entries = slot(slot_);
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) {
      const Entry entry = entries[lane_ / 4 + 8 * i];
      offsets_[i] = static_cast<uint32>(entry.pixel) * static_cast<uint32>(pixel_bytes_);
      bits_[i] = entry.bits;
    }
    next_ = unit_at(taken_from_ + static_cast<int>(shuffle(taken_, 0)));
    if (next_.rows > 0) take();
    copy_entries(slot_ + 1 == kEntrySlots ? 0 : slot_ + 1);
    chunk_ = 0;
    count_ = chunks_.count[unit_.active];
    pieces_ = &chunks_.pieces[unit_.active][0][lane_ % 4];
  }
  // Where the rows of the next chunk come from and go to.
  SMSR_DEVICE void enter_chunk() {
    if (chunk_ == count_) begin();
    piece_ = pieces_[chunk_ * kChunkPieces];
    ++chunk_;
    into_ = to_ + static_cast<uint32>(write_ * kChunkBytes);
    if (++write_ == kStages) write_ = 0;
  }

  const Lists& lists_;
  const StagedChunks& chunks_;
  char* memory_;
  const int pixel_bytes_, lane_, taken_from_, end_;
  const uint32 to_;
  Unit unit_ = {}, next_ = {};
  uint32 taken_ = 0;
  int slot_ = kEntrySlots - 1, write_ = 0, read_ = 0, chunk_ = 0, count_ = 0;
  const StagedPiece* pieces_ = nullptr;
  StagedPiece piece_ = {};  // of the chunk that is copied
  uint32 into_ = 0;
  uint32 offsets_[kLaneRows];  // of the rows' pixels, in bytes
  uint32 bits_[kLaneRows];     // Entry::bits
};

}  // namespace smsr::cuda
