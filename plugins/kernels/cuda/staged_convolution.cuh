// Convolutions of the staged kernel: units of one kind, each from its set of pixels (staged_sets.cuh).
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/staged_sets.cuh"

namespace smsr::cuda {

// A convolution of inactive pixels uses dense channels only, whatever else an active neighbour has in the
// same 16 bytes: the inputs of a step that lie behind them become zeros. left: dense channels from the step's
// first on.
template <int kPairs>
SMSR_DEVICE void trim(int left, StepInputs<kPairs>* inputs) {
  const int first = thread_index() % kWarpSize % 4 * 2;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const uint32 mask = pair_mask(left - first - 8 * r);
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      (*inputs)[pair][r] &= mask;
      (*inputs)[pair][2 + r] &= mask;
    }
  }
}

template <class Record, int kTiles, int kPairs>
SMSR_DEVICE void finish_unit(const ConvolutionOutputs& to, const StagedInputs& in, const StagedUnit& unit,
                             bool active, const Record& record, const StagedSums<kTiles, kPairs>& sums) {
  ChannelSums of_channels[kTiles];
  const int end = active ? in.channels : to.dense, written = round_up(end, kPiece);
  uint32 masks[kTiles];  // past the end: zeros
#pragma unroll
  for (int m = 0; m < kTiles; ++m) masks[m] = pair_mask(end - sums.channel(m));
#pragma unroll
  for (int n = 0; n < 2 * kPairs; ++n) {
    const OutputRows<Record, StagedSums<kTiles, kPairs>> rows(to.out, in.channels, record, sums, n);
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      uint32 halves[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        halves[i] = sums.positive_halves(m, n, i) & masks[m];
        if (sums.pixel(n) + i < unit.rows && sums.channel(m) < written)
          store_word(rows.at[i] + 8 * m, halves[i]);
      }
      of_channels[m].add(halves[0], halves[1]);  // rows past the end of the unit are zeros
    }
  }
  float* const unit_sums = to.unit_sums + static_cast<long long>(unit.index) * in.channels;
  if (thread_index() % kWarpSize >= 8) return;
#pragma unroll
  for (int m = 0; m < kTiles; ++m)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int channel = 16 * m + ChannelSums::channel(i);
      if (channel < end) unit_sums[channel] = of_channels[m].sum(i);
    }
}

// A chunk of a convolution: kSteps times 16 input channels of nine taps, added to the first 16 * kTiles
// output channels. Inputs are loaded one step, weights one product ahead. at: of the weights of the first
// tap; left: dense channels of the chunk, used where kTrim.
template <int kTiles, int kSteps, bool kTrim, class Weights, class Record>
SMSR_DEVICE void multiply_set(const Weights& weights, int at, int tap_vectors, uint32 chunk,
                              const Record& record, int left, StagedSums<kTiles, Record::kPairs>* sums) {
  constexpr int kPairs = Record::kPairs, kProducts = kSteps * kTiles;
  [[maybe_unused]] constexpr int kTogether = kTiles == 4 ? 3 : 1;  // taps in straight-line code
  StepInputs<kPairs> inputs[2];
  TapRows<Record> rows(chunk, record.taps);
  rows.load(0, &inputs[0]);
  Vector ahead = weights.load(at, 0, 0);
#pragma unroll kTogether
  for (int tap = 0; tap < kTaps; ++tap) {
    // Behind the last tap its own inputs and weights again, which are not used.
    const int next = tap + 1 < kTaps ? tap + 1 : tap, next_at = tap + 1 < kTaps ? at + tap_vectors : at;
    const TapRows<Record> next_rows(chunk, record.taps + next * Record::kRows);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int other = kSteps == 1 ? 1 : (step + 1) % 2;
      if (step + 1 < kSteps)
        rows.load(step + 1, &inputs[other]);
      else
        next_rows.load(0, &inputs[other]);
      if (kTrim) trim<kPairs>(left - 16 * step, &inputs[step]);
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        const int product = step * kTiles + m + 1;
        const Vector now = ahead;
        ahead = product < kProducts ? weights.load(at, product / kTiles, product % kTiles)
                                    : weights.load(next_at, 0, 0);
        sums->multiply(m, now, inputs[step]);
      }
    }
    if (kSteps == 1) copy_inputs<kPairs>(inputs[1], &inputs[0]);
    rows = next_rows;
    at = next_at;
  }
}

template <int kTiles, int kSteps, bool kTrim, class Weights, class Record>
SMSR_DEVICE void convolve_units(const StagedInputs& in, const ConvolutionOutputs& to, const Weights& weights,
                                bool active, int halves, const UnitRange& range, char* ring, char* records) {
  const int all_halves = divide_up(in.channels, StagedTile::kDepth), dense = dense_of(in.dense, 0);
  SetCopies<Record> copies(in, active, halves, range, ring, records);
  while (copies.unit().rows > 0) {
    const StagedUnit unit = copies.unit();
    const Record& record = copies.record();
    StagedSums<kTiles, Record::kPairs> sums;
    for (int half = 0; half < halves; ++half) {
      const uint32 chunk = copies.next_chunk();
      multiply_set<kTiles, kSteps, kTrim>(weights, half * StagedTile::kVectors,
                                          all_halves * StagedTile::kVectors, chunk, record,
                                          dense - half * StagedTile::kDepth, &sums);
    }
    finish_unit(to, in, unit, active, record, sums);
  }
  wait_for_copies<0>();
}

}  // namespace smsr::cuda
