// How the staged kernel's inputs come to shared memory. Every warp has a ring of its own there and copies
// ahead of its products, from one unit of pixels to the next: warps never wait for each other.
//
// A chunk is what a unit's products need of one tap (convolution), or of one layer or the residual (collect):
// wide, 64 channels of every pixel, where most of them exist, else 32. One instruction then copies whole lines
// of memory (4 pixels) or halves of 8: the cache does a line per clock.
// Piece p (8 channels, 16 bytes) of row r lies at piece p ^ (r % 8) of its 128 bytes, or p ^ (r / 2 % 4) of its
// 64: the eight rows of an ldmatrix then lie in different banks.
#pragma once

#include "cuda/tile_staged.cuh"
#include "cuda/units.cuh"

namespace smsr::cuda {

constexpr int kStagedWarps = 8, kStagedThreads = kStagedWarps * kWarpSize;
constexpr int kStagedChannels = 64;  // most of a module
constexpr int kWidePieces = kStagedChannels / kPiece, kNarrowPieces = StagedTile::kDepth / kPiece;
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
  uint32 bit;        // 1 << tap where the piece exists of some pixel, else 0
  int weights;       // the chunk's, in vectors; residual: none
};

// The chunks of units of one kind in their order, in shared memory.
struct StagedChunks {
  static constexpr int kMost = 2 * (kMaxLayers + 1) > kTaps ? 2 * (kMaxLayers + 1) : kTaps;
  StagedPiece pieces[kMost + 1][kWidePieces];  // one more, which is never copied
  int count;
};
// Of both kinds: inactive, active.
constexpr int kChunksBytes = (2 * static_cast<int>(sizeof(StagedChunks)) + 127) / 128 * 128;

// Whether units of a kind have wide chunks. `dense`: channels that inactive pixels have.
SMSR_DEVICE bool is_wide(int channels, int dense, bool active) {
  return (active ? channels : dense) > StagedTile::kDepth;
}

// Writes the chunks of active or of inactive units; one thread for each piece. An inactive unit has dense
// channels only. No unit has fewer than two chunks: see StagedCopies.
template <bool kCollect>
class ChunkWriter {
 public:
  SMSR_DEVICE ChunkWriter(const StagedInputs& in, bool active, int piece, StagedChunks* to)
      : in_(in), active_(active), piece_(piece), to_(to) {}

  SMSR_DEVICE void write(bool wide) {
    if (piece_ >= (wide ? kWidePieces : kNarrowPieces)) return;
    for (int group = 0; group < in_.groups; ++group) {
      const int halves = !kCollect || wide ? 1 : divide_up(channels(group), StagedTile::kDepth);
      for (int half = 0; half < halves; ++half) write_piece(group, half);
    }
    if (kCollect)
      for (int half = 0; half < (wide ? 1 : 2); ++half) write_piece(in_.groups, half);
    to_->pieces[count_][piece_].weights = 0;
    if (piece_ == 0) to_->count = count_;
  }

 private:
  SMSR_DEVICE int channels(int group) const {
    return active_ || group == in_.groups ? in_.channels : dense_of(in_.dense, kCollect ? group : 0);
  }
  SMSR_DEVICE void write_piece(int group, int half) {
    const bool is_residual = kCollect && group == in_.groups;
    const int channel = half * StagedTile::kDepth + piece_ * kPiece, tap = kCollect ? kCentre : group;
    const int neighbour = kCollect ? 0 : (tap / 3 - 1) * in_.width + tap % 3 - 1;
    const Half* from = is_residual ? in_.residual : in_.sources + (kCollect ? group * in_.stride : 0);
    StagedPiece* const to = &to_->pieces[count_++][piece_];
    to->from = reinterpret_cast<const char*>(from) + 2LL * (neighbour * in_.channels + channel);
    to->bit = channel < channels(group) ? 1u << tap : 0u;
    to->weights = (group * divide_up(in_.channels, StagedTile::kDepth) + half) * StagedTile::kVectors;
  }
  const StagedInputs& in_;
  const bool active_;
  const int piece_;
  StagedChunks* to_;
  int count_ = 0;
};

// A warp's ring of kStages chunks of 16 * kPairs pixels, and the units of one kind that it copies.
template <int kPairs, int kStages, int kPieces>
class StagedCopies {
 public:
  static constexpr int kRows = 16 * kPairs, kRowBytes = 16 * kPieces, kChunkBytes = kRows * kRowBytes;
  static constexpr int kRowsAtOnce = kWarpSize / kPieces, kLaneRows = kRows / kRowsAtOnce;

  // memory: the ring, and behind it kEntrySlots * kRows entries. first: the warp's first unit; end: behind the
  // last one. The counter hands out the units from `taken` on. sparse_from: channels from here on exist of
  // active pixels only.
  SMSR_DEVICE StagedCopies(const Lists& lists, uint32* counter, const StagedChunks& chunks, char* memory,
                           Entry* entries, int pixel_bytes, int sparse_from, int first, int taken, int end)
      : lists_(lists),
        counter_(counter),
        pieces_(&chunks.pieces[0][thread_index() % kPieces]),
        count_(chunks.count),
        memory_(memory),
        entries_(entries),
        pixel_bytes_(pixel_bytes),
        lane_(thread_index() % kWarpSize),
        taken_from_(taken),
        end_(end),
        set_(lane_ % kPieces * kPiece < sparse_from ? 0 : kTaps) {
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
  SMSR_DEVICE const Entry* entries() const { return entries_ + slot_ * kRows; }

  // Waits for the next chunk and returns its address for rows(). Then all its rows must be read and all of
  // copy_rows() be called, before commit() ends the turn.
  SMSR_DEVICE uint32 next_chunk() {
    wait_for_copies<kStages - 2>();
    sync_warp();
    enter_chunk();
    const int row = lane_ % 8 + 8 * (lane_ / 16);
    const uint32 at = shared_address(memory_) +
                      static_cast<uint32>(read_ * kChunkBytes + row * kRowBytes + place(lane_ / 8 % 2, row));
    if (++read_ == kStages) read_ = 0;
    return at;
  }
  // 16 channels of a chunk.
  static SMSR_DEVICE void rows(uint32 chunk, int step, StepInputs<kPairs>* to) {
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair)
      load_matrices((*to)[pair], (chunk ^ static_cast<uint32>(32 * step)) + pair * 16 * kRowBytes);
  }
  // Copies part `part` of kParts of the rows of the chunk that takes the place of the one before: little by
  // little, between products. The lane copies its piece of every kRowsAtOnce-th row.
  template <int kParts>
  SMSR_DEVICE void copy_rows(int part) const {
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i)
      if (i * kParts / kLaneRows == part)
        copy_or_zero(to_row(i), piece_.from + offsets_[i],
                     (sets_[i / kSets] & piece_.bit << (kTaps * (i % kSets))) != 0);
  }
  SMSR_DEVICE void commit() const { commit_copies(); }

 private:
  static constexpr int kSets = 3;  // in a register

  static SMSR_DEVICE int place(int piece, int row) {
    return 16 * (kPieces == kWidePieces ? piece ^ row % 8 : piece ^ row / 2 % 4);
  }
  // The place of the lane's piece in its i-th row, from the chunk on: but for the row itself, it depends on
  // i % 2 only, and not even on that in narrow chunks.
  SMSR_DEVICE uint32 to_row(int i) const {
    const uint32 first = into_ ^ (kPieces == kWidePieces && i % 2 != 0 ? 64u : 0u);
    return first + static_cast<uint32>(i * kRowsAtOnce * kRowBytes);
  }

  SMSR_DEVICE void take() { taken_ = lane_ == 0 ? atomic_add(counter_, 1u) : 0u; }
  SMSR_DEVICE Unit unit_at(int index) const {
    const Unit none = {};
    return index < end_ ? find_unit<kRows, kRows>(lists_, index, 0) : none;
  }
  // Of next_; past its end no pixel, of which nothing exists.
  SMSR_DEVICE void copy_entries(int slot) const {
#pragma unroll
    for (int row = lane_; row < kRows; row += kWarpSize)
      copy_8_or_zero(entries_ + slot * kRows + row, lists_.entries + (next_.first + next_.step * row),
                     row < next_.rows);
  }
  // The next unit becomes the one that is copied, and the one after it the next. Its entries are there: the
  // first chunk of the unit before has been waited for, as long as a unit has kStages - 1 chunks.
  SMSR_DEVICE void begin() {
    unit_ = next_;
    if (++slot_ == kEntrySlots) slot_ = 0;
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) {
      const Entry entry = entries()[lane_ / kPieces + kRowsAtOnce * i];
      offsets_[i] = static_cast<uint32>(entry.pixel) * static_cast<uint32>(pixel_bytes_);
      const uint32 set = (entry.bits >> set_ & ((1u << kTaps) - 1u)) << (kTaps * (i % kSets));
      sets_[i / kSets] = i % kSets == 0 ? set : sets_[i / kSets] | set;
    }
    next_ = unit_at(taken_from_ + static_cast<int>(shuffle(taken_, 0)));
    if (next_.rows > 0) take();
    copy_entries(slot_ + 1 == kEntrySlots ? 0 : slot_ + 1);
    chunk_ = 0;
  }
  // Where the rows of the next chunk come from and go to.
  SMSR_DEVICE void enter_chunk() {
    if (chunk_ == count_) begin();
    piece_ = pieces_[chunk_ * kWidePieces];
    ++chunk_;
    const int row = lane_ / kPieces;
    into_ = shared_address(memory_) +
            static_cast<uint32>(write_ * kChunkBytes + row * kRowBytes + place(lane_ % kPieces, row));
    if (++write_ == kStages) write_ = 0;
  }

  const Lists& lists_;
  uint32* counter_;
  const StagedPiece* pieces_;
  const int count_;
  char* memory_;
  Entry* entries_;
  const int pixel_bytes_, lane_, taken_from_, end_, set_;
  Unit unit_ = {}, next_ = {};
  uint32 taken_ = 0;
  int slot_ = kEntrySlots - 1, write_ = 0, read_ = 0, chunk_ = 0;
  StagedPiece piece_ = {};  // of the chunk that is copied
  uint32 into_ = 0;
  uint32 offsets_[kLaneRows];  // of the rows' pixels, in bytes
  uint32 sets_[(kLaneRows + kSets - 1) / kSets];  // taps of which the lane's piece exists, 9 bits a row
};

}  // namespace smsr::cuda
