// The left rows of a product, gathered: for each pixel of a unit its neighbours (convolution, one group of
// channels per tap) or the outputs of all layers (collect, one group of channels per layer).
#pragma once

#include "cuda/tile.cuh"
#include "cuda/units.cuh"

namespace smsr::cuda {

// The sources are [N, H, W, channels]: one for all taps, or one per layer. Of an inactive pixel they hold the
// first `dense` channels, then zeros up to the next multiple of 8; what lies behind is undefined.
struct GemmInputs {
  const void* sources;    // [groups or 1] tensors, `stride` numbers apart
  long long stride;       // collect only
  DenseChannels dense;    // of each source
  const Vector* weights;  // [slices, groups, steps per group, kDepth, kColumns] packed, see pack.cuh
  int groups;             // taps, or layers
  int channels, width;
};

// Where a lane's pixels are: one for each of the vectors that it loads per step.
template <class Tile>
struct Rows {
  uint32 offsets[Tile::kInputs];  // pixel * channels
  uint32 bits[Tile::kInputs];     // Entry::bits; 0 past the end of the unit

  SMSR_DEVICE Rows(const Tile& tile, const Lists& lists, const Unit& unit, int channels) {
#pragma unroll
    for (int j = 0; j < Tile::kInputs; ++j) {
      const int row = tile.input_row(j);
      Entry entry = {0, 0};
      if (row < unit.rows) entry = lists.entries[unit.first + unit.step * row];
      offsets[j] = static_cast<uint32>(entry.pixel * channels);
      bits[j] = entry.bits;
    }
  }
};

// Iterates over the steps of the sum: group by group, kDepth input channels at a time, without the steps
// whose inputs are all zero.
template <class Tile, bool kCollect>
class Steps {
 public:
  SMSR_DEVICE Steps(const GemmInputs& in, bool active) : in_(in), active_(active), group_(0), step_(0) {
    enter_group();
  }
  SMSR_DEVICE bool done() const { return group_ == in_.groups; }
  SMSR_DEVICE void next() {
    if (++step_ < end_) return;
    step_ = 0;
    ++group_;
    enter_group();
  }
  // Offset of the step's weights within a slice, in vectors.
  SMSR_DEVICE int weights() const {
    constexpr int kVectors =
        Tile::kDepth * Tile::kColumns * static_cast<int>(sizeof(typename Tile::Type)) / 16;
    return (group_ * divide_up(in_.channels, Tile::kDepth) + step_) * kVectors;
  }

  // Loads this step's 16 bytes of each of the lane's pixels; zeros past the last step.
  SMSR_DEVICE void load(const Tile& tile, const Rows<Tile>& rows, Vector (&to)[Tile::kInputs]) const {
    using T = typename Tile::Type;
    // Past the last layer there are no dense channels.
    const int channel = first_channel(tile), dense = done() ? 0 : dense_channels();
    const int tap = kCollect ? kCentre : group_;
    // The bit of Entry::bits that is set where these channels exist; bit 31 is never set.
    int bit = 31;
    if (channel < round_up(dense, kPiece))
      bit = tap;
    else if (!done() && active_ && channel < in_.channels)
      bit = tap + kTaps;
    const int neighbour = kCollect ? 0 : (tap / 3 - 1) * in_.width + tap % 3 - 1;
    const T* source = static_cast<const T*>(in_.sources) + (kCollect ? group_ * in_.stride : 0);
    const uint32 ahead = static_cast<uint32>(neighbour * in_.channels + channel);
#pragma unroll
    for (int j = 0; j < Tile::kInputs; ++j)
      to[j] = load_or_zero(source + (rows.offsets[j] + ahead), (rows.bits[j] >> bit & 1u) != 0);
  }

  // A convolution of inactive pixels uses dense channels only, whatever else an active neighbour has in the
  // same 16 bytes. kept(): how many of the numbers that load() brought are dense; below 8 and above 0 only
  // where trims().
  SMSR_DEVICE int kept(const Tile& tile) const { return dense_channels() - first_channel(tile); }
  SMSR_DEVICE bool trims() const { return !kCollect && !active_ && dense_of(in_.dense, 0) % kPiece != 0; }

 private:
  SMSR_DEVICE int first_channel(const Tile& tile) const {
    return step_ * Tile::kDepth + tile.input_channel();
  }
  SMSR_DEVICE int dense_channels() const { return dense_of(in_.dense, kCollect ? group_ : 0); }
  SMSR_DEVICE void enter_group() {
    for (; group_ < in_.groups; ++group_) {
      end_ = divide_up(active_ ? in_.channels : round_up(dense_channels(), kPiece), Tile::kDepth);
      if (end_ > 0) return;
    }
  }

  const GemmInputs& in_;
  const bool active_;
  int group_, step_, end_ = 0;
};

}  // namespace smsr::cuda
