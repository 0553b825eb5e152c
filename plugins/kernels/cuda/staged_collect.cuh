// The collect of the staged kernel, with scale and residual: units of one kind (staged_copies.cuh).
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/staged_copies.cuh"

namespace smsr::cuda {

// Bias and scale of an image in a warp's shared memory, of channels 2 i and 2 i + 1: two of each.
class ImageScale {
 public:
  static constexpr int kBytes = kStagedChannels / 2 * 16;
  SMSR_DEVICE explicit ImageScale(char* shared) : pairs_(reinterpret_cast<Vector*>(shared)) {}
  SMSR_DEVICE void load(const CollectOutputs& to, int channels, int image) {
    if (image == image_) return;
    image_ = image;
    sync_warp();
    const int lane = thread_index() % kWarpSize, channel = 2 * lane;
    Vector v = {{0, 0, 0, 0}};
    if (channel < channels) {
      const Half* const bias = static_cast<const Half*>(to.bias) + channel;
      const float* const scale = to.scale + image * channels + channel;
      v = {{float_bits(to_float(bias[0])), float_bits(to_float(bias[1])), float_bits(scale[0]),
            float_bits(scale[1])}};
    }
    pairs_[lane] = v;
    sync_warp();
  }
  // Before the residual is added.
  template <int kPairs>
  SMSR_DEVICE void apply(StagedSums<4, kPairs>* sums) const {
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      const Vector v = pairs_[sums->channel(m) / 2];
      sums->scale(m, {bits_float(v.word[0]), bits_float(v.word[1])},
                  {bits_float(v.word[2]), bits_float(v.word[3])});
    }
  }

 private:
  Vector* pairs_;
  int image_ = -1;
};

// Shared memory of a warp's copies, and of the image's scale behind the collect's.
template <class Record>
constexpr int kCollectRing = StagedCopies<Record>::kBytes + ImageScale::kBytes;
template <class Record>
constexpr int kRingBytes =
    SetCopies<Record>::kBytes > kCollectRing<Record> ? SetCopies<Record>::kBytes : kCollectRing<Record>;

template <class Weights, class Record>
SMSR_DEVICE void collect_units(const StagedInputs& in, const CollectOutputs& to, const Weights& weights,
                               const StagedChunks& chunks, int pixels, const UnitRange& range, char* ring,
                               char* records) {
  ImageScale scale(ring + StagedCopies<Record>::kBytes);
  using Copies = StagedCopies<Record>;
  constexpr int kPairs = Record::kPairs;
  Copies copies(chunks, 2 * in.channels, range, ring, records);
  while (copies.unit().rows > 0) {
    const StagedUnit unit = copies.unit();
    const Record& record = copies.record();
    scale.load(to, in.channels, static_cast<int>(pixel_of_row(record, 0) >> 1) / pixels);
    StagedSums<4, kPairs> sums;
    const StagedPiece* piece = chunks.pieces[0];
#pragma unroll 1
    for (int left = chunks.count - 2; left > 0; --left) {
      const uint32 chunk = copies.next_chunk();
      StepInputs<kPairs> inputs[2];
      Copies::rows(chunk, 0, &inputs[0]);
      Copies::rows(chunk, 1, &inputs[1]);
      const int at = piece->weights;
      piece += kChunkPieces;
      Vector ahead = weights.load(at, 0, 0);
#pragma unroll
      for (int product = 0; product < 8; ++product) {
        const Vector now = ahead;
        if (product < 7) ahead = weights.load(at, (product + 1) / 4, (product + 1) % 4);
        sums.multiply(product % 4, now, inputs[product / 4]);
      }
    }
    scale.apply(&sums);
    const Vector identity = sums.identity();  // the residual: each channel is added to the same one
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint32 chunk = copies.next_chunk();
#pragma unroll
      for (int step = 0; step < StagedTile::kSteps; ++step) {
        StepInputs<kPairs> inputs;
        Copies::rows(chunk, step, &inputs);
        sums.multiply(StagedTile::kSteps * half + step, identity, inputs);
      }
    }
#pragma unroll
    for (int n = 0; n < 2 * kPairs; ++n) {
      const OutputRows<Record, StagedSums<4, kPairs>> rows(to.out, in.channels, record, sums, n);
#pragma unroll
      for (int m = 0; m < 4; ++m)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          if (sums.pixel(n) + i < unit.rows && 16 * m < in.channels)
            store_word(rows.at[i] + 8 * m, sums.halves(m, n, i));
    }
  }
  wait_for_copies<0>();
}

}  // namespace smsr::cuda
