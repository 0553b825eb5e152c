// The collect's inputs in shared memory. Every warp has a ring of its own there and copies ahead of its
// products, from one unit of pixels to the next.
//
// A chunk is 32 channels of a unit's pixels, of one layer or of the residual. Piece p (8 channels, 16 bytes)
// of row r lies at piece p ^ (r / 2 % 4) of its 64 bytes: the eight rows of an ldmatrix then lie in different
// banks.
#pragma once

#include "cuda/staged_sets.cuh"

namespace smsr::cuda {

// What a lane copies of a chunk: its piece of the unit's pixels.
struct alignas(16) StagedPiece {
  const char* from;  // of a pixel at offset 0
  uint32 exists;
  int weights;  // the chunk's, in vectors; residual: none
};

// The chunks of units of one kind in their order, in shared memory. An inactive unit has dense channels only.
struct StagedChunks {
  static constexpr int kMost = 2 * (kMaxLayers + 1);
  StagedPiece pieces[kMost + 1][kChunkPieces];  // one more, which is never copied
  int count;
};
// Of both kinds: inactive, active.
constexpr int kChunksBytes = (2 * static_cast<int>(sizeof(StagedChunks)) + 127) / 128 * 128;

// Writes them; one thread for each piece. No unit has fewer than two: see StagedCopies.
class ChunkWriter {
 public:
  SMSR_DEVICE ChunkWriter(const StagedInputs& in, bool active, int piece, StagedChunks* to)
      : in_(in), active_(active), piece_(piece), to_(to) {}

  SMSR_DEVICE void write() {
    for (int layer = 0; layer < in_.groups; ++layer)
      for (int half = 0; half < divide_up(channels(layer), StagedTile::kDepth); ++half)
        write_piece(layer, half);
    for (int half = 0; half < 2; ++half) write_piece(in_.groups, half);
    to_->pieces[count_][piece_].weights = 0;
    if (piece_ == 0) to_->count = count_;
  }

 private:
  SMSR_DEVICE int channels(int layer) const {
    return active_ || layer == in_.groups ? in_.channels : dense_of(in_.dense, layer);
  }
  SMSR_DEVICE void write_piece(int layer, int half) {
    const int channel = half * StagedTile::kDepth + piece_ * kPiece;
    const Half* from = layer == in_.groups ? in_.residual : in_.sources + layer * in_.stride;
    to_->pieces[count_++][piece_] = {
        reinterpret_cast<const char*>(from + channel), channel < channels(layer) ? 1u : 0u,
        (layer * divide_up(in_.channels, StagedTile::kDepth) + half) * StagedTile::kVectors};
  }
  const StagedInputs& in_;
  const bool active_;
  const int piece_;
  StagedChunks* to_;
  int count_ = 0;
};

// A warp's ring of kStages chunks, and the units of one kind that it copies.
template <class Record>
class StagedCopies {
 public:
  static constexpr int kPairs = Record::kPairs, kRows = Record::kRows, kLaneRows = kRows / 8;
  static constexpr int kChunkBytes = kRows * kRowBytes, kStages = 3, kBytes = kStages * kChunkBytes;

  // ring: kBytes; records: UnitQueue's.
  SMSR_DEVICE StagedCopies(const StagedChunks& chunks, int pixel_bytes, const UnitRange& range, char* ring,
                           char* records)
      : pieces_(&chunks.pieces[0][thread_index() % kChunkPieces]),
        count_(chunks.count),
        ring_(ring),
        pixel_bytes_(static_cast<uint32>(pixel_bytes)),
        lane_(thread_index() % kWarpSize),
        queue_(range, records) {
    enter_unit();
#pragma unroll
    for (int i = 0; i < kStages - 1; ++i) copy_chunk();
  }

  // The unit that is copied: that of the next chunk to wait for, whenever the unit before has no chunk left.
  SMSR_DEVICE const StagedUnit& unit() const { return queue_.unit(); }
  SMSR_DEVICE const Record& record() const { return queue_.record(); }

  // Waits for the next chunk, lets the copy of another begin, and returns its address for rows().
  SMSR_DEVICE uint32 next_chunk() {
    wait_for_copies<kStages - 2>();
    sync_warp();
    copy_chunk();
    const uint32 at =
        shared_address(ring_) + static_cast<uint32>(read_ * kChunkBytes) +
        place_of_piece(static_cast<uint32>(lane_ % 8 + 8 * (lane_ / 16)), static_cast<uint32>(lane_ / 8 % 2));
    if (++read_ == kStages) read_ = 0;
    return at;
  }
  // 16 channels of a chunk.
  static SMSR_DEVICE void rows(uint32 chunk, int step, StepInputs<kPairs>* to) {
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair)
      load_matrices((*to)[pair], (chunk ^ static_cast<uint32>(32 * step)) + pair * 16 * kRowBytes);
  }

 private:
  SMSR_DEVICE void enter_unit() {
    exist_ = 0;
    chunk_ = 0;
    if (queue_.unit().rows == 0) return;
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) {
      const uint32 pixel = pixel_of_row(queue_.record(), lane_ / 4 + 8 * i);
      offsets_[i] = (pixel >> 1) * pixel_bytes_;
      if (pixel != kNoPixel) exist_ |= 1u << i;
    }
  }
  // Where a unit has two chunks at least, the first of the unit before has been waited for, and with it the
  // next one's record.
  SMSR_DEVICE void copy_chunk() {
    if (chunk_ == count_) {
      queue_.advance();
      enter_unit();
    }
    const StagedPiece piece = pieces_[chunk_ * kChunkPieces];
    const uint32 to = shared_address(ring_) + static_cast<uint32>(write_ * kChunkBytes) +
                      place_of_piece(static_cast<uint32>(lane_ / 4), static_cast<uint32>(lane_ % 4));
    const uint32 exist = piece.exists != 0 ? exist_ : 0u;
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i)
      copy_or_zero(to + static_cast<uint32>(i * 8 * kRowBytes), piece.from + offsets_[i],
                   (exist >> i & 1u) != 0);
    commit_copies();
    ++chunk_;
    if (++write_ == kStages) write_ = 0;
  }

  const StagedPiece* pieces_;
  const int count_;
  char* ring_;
  const uint32 pixel_bytes_;
  const int lane_;
  UnitQueue<Record> queue_;
  int write_ = 0, read_ = 0, chunk_ = 0;
  uint32 offsets_[kLaneRows] = {};  // of the rows' pixels, in bytes
  uint32 exist_ = 0;
};

}  // namespace smsr::cuda
