// A convolution's inputs in shared memory: a warp brings the set of a unit's pixels there, 32 channels at a
// time, and the nine taps read it at the places that the unit's record names. While it multiplies one such
// chunk, the next one is copied.
//
// Piece p (8 channels, 16 bytes) of place s lies at piece p ^ (s / 2 % 4) of its 64 bytes: eight neighbouring
// places, the rows of an ldmatrix, then lie in different banks.
#pragma once

#include "cuda/staged_queue.cuh"
#include "cuda/tile_staged.cuh"

namespace smsr::cuda {

constexpr int kStagedChannels = 64;  // most of a module
constexpr int kChunkPieces = StagedTile::kDepth / kPiece, kRowBytes = 16 * kChunkPieces;

// The sources are [N, H, W, channels]: one for all taps, or one per layer. Of an inactive pixel they hold the
// first `dense` channels, then zeros up to the next multiple of 8; what lies behind is undefined.
struct StagedInputs {
  const Half* sources;    // [groups or 1] tensors, `stride` numbers apart
  long long stride;       // collect only
  const Half* residual;   // collect only: [N, H, W, channels], behind all layers, without weights
  DenseChannels dense;    // of each source
  const Vector* weights;  // [groups, channels / 32, StagedTile::kVectors] packed
  int groups;             // taps, or layers
  int channels;
};

// Of a piece in a chunk, in bytes.
SMSR_DEVICE uint32 place_of_piece(uint32 row, uint32 piece) {
  return row * kRowBytes + ((row >> 1 & 3u) ^ piece) * 16;
}

// Units of one kind. halves: chunks of a unit.
template <class Record>
class SetCopies {
 public:
  static constexpr int kPairs = Record::kPairs, kStages = 2;
  static constexpr int kChunkBytes = Record::kSet * kRowBytes, kBytes = kStages * kChunkBytes;

  // ring: kBytes; records: UnitQueue's.
  SMSR_DEVICE SetCopies(const StagedInputs& in, bool active, int halves, const UnitRange& range, char* ring,
                        char* records)
      : in_(in),
        ring_(ring),
        lane_(thread_index() % kWarpSize),
        halves_(halves),
        dense_(round_up(dense_of(in.dense, 0), kPiece)),
        end_(active ? in.channels : dense_),
        queue_(range, records) {
    copy_chunk();
  }
  SMSR_DEVICE const StagedUnit& unit() const { return queue_.unit(); }
  SMSR_DEVICE const Record& record() const { return queue_.record(); }

  // Waits for the next chunk, lets the copy of another begin, and returns its address for rows().
  SMSR_DEVICE uint32 next_chunk() {
    wait_for_copies<0>();
    sync_warp();
    const uint32 at = shared_address(ring_) + static_cast<uint32>((stage_ ^ 1) * kChunkBytes);
    copy_chunk();
    return at;
  }

 private:
  // 32 channels of the current unit's set, or of the next one's first. The lane copies piece lane % 4 of
  // places lane / 4, lane / 4 + 8, ...
  SMSR_DEVICE void copy_chunk() {
    if (half_ == halves_) {
      queue_.advance();
      half_ = 0;
    }
    const uint32 piece = static_cast<uint32>(lane_ % kChunkPieces),
                 first = static_cast<uint32>(lane_ / kChunkPieces);
    const int channel = half_ * StagedTile::kDepth + lane_ % kChunkPieces * kPiece;
    const char* const from = reinterpret_cast<const char*>(in_.sources + channel);
    // Which pixels have it: none, active ones, all.
    const uint32 least = channel >= end_ ? 2u : channel < dense_ ? 0u : 1u;
    const uint32 to =
        shared_address(ring_) + static_cast<uint32>(stage_ * kChunkBytes) + place_of_piece(first, piece);
    const Record& record = queue_.record();
    const int places = queue_.unit().set;
#pragma unroll
    for (int i = 0; i < Record::kSet / 8; ++i) {
      if (8 * i >= places) break;
      const uint32 pixel = record.set[first + 8 * i];
      const uint32 offset = (pixel >> 1) * static_cast<uint32>(2 * in_.channels);
      copy_or_zero(to + static_cast<uint32>(8 * i * kRowBytes), from + offset,
                   pixel != kNoPixel && (pixel & 1u) >= least);
    }
    commit_copies();
    stage_ ^= 1;
    ++half_;
  }
  const StagedInputs& in_;
  char* ring_;
  const int lane_, halves_, dense_, end_;  // end_: behind the unit's last channel
  UnitQueue<Record> queue_;
  int stage_ = 0, half_ = 0;
};

// Addresses of the lane's rows of one tap's inputs.
template <class Record>
class TapRows {
  static constexpr int kPairs = Record::kPairs;

 public:
  // taps: the record's, of the tap.
  SMSR_DEVICE TapRows(uint32 chunk, const uint8* taps) {
    const int lane = thread_index() % kWarpSize, row = lane % 8 + 8 * (lane / 16);
    const uint32 piece = static_cast<uint32>(lane / 8 % 2);
    uint32 places;
    if (kPairs == 4)
      places = *reinterpret_cast<const uint32*>(taps + row * kPairs);
    else
      places = *reinterpret_cast<const uint16*>(taps + row * kPairs);
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      const uint32 place = places >> (8 * pair) & 0xffu;
      check_emulated(place < Record::kSet);
      at_[pair] = chunk + place_of_piece(place, piece);
    }
  }
  // 16 channels, `step` 0 or 1.
  SMSR_DEVICE void load(int step, StepInputs<kPairs>* to) const {
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair)
      load_matrices((*to)[pair], at_[pair] ^ static_cast<uint32>(32 * step));
  }

 private:
  uint32 at_[kPairs];
};

}  // namespace smsr::cuda
