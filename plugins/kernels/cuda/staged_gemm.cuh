// Convolution and collect of sm_80 and newer: every warp takes units of listed pixels from a counter, whose
// inputs it copies to shared memory ahead of its products (staged_copies.cuh). A unit's result does not depend
// on which warp computes it.
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/grid_barrier.cuh"
#include "cuda/staged_copies.cuh"

namespace smsr::cuda {

// Packed weights from a step on, in shared or in global memory.
template <bool kShared>
class StepWeights {
 public:
  SMSR_DEVICE StepWeights(const Vector* weights, int step)
      : from_(weights + step * StagedTile::kStepVectors + thread_index() % kWarpSize),
        at_(kShared ? shared_address(from_) : 0u) {}
  // Of output channels 16 m to 16 m + 15.
  SMSR_DEVICE Vector load(int step, int m) const {
    const int index = step * StagedTile::kStepVectors + m * kWarpSize;
    return kShared ? load_shared(at_ + static_cast<uint32>(16 * index)) : load_weights(from_ + index);
  }

 private:
  const Vector* from_;
  uint32 at_;
};

// A convolution of inactive pixels uses dense channels only, whatever else an active neighbour has in the
// same 16 bytes: the last step's inputs behind them become zeros.
template <int kPairs>
SMSR_DEVICE void trim(int dense, StepInputs<kPairs>* inputs) {
  const int keep = dense % StagedTile::kDepth, first = thread_index() % kWarpSize % 4 * 2;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int left = keep - first - 8 * r;
    const uint32 mask = left > 1 ? 0xffffffffu : left > 0 ? 0x0000ffffu : 0u;
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      (*inputs)[pair][r] &= mask;
      (*inputs)[pair][2 + r] &= mask;
    }
  }
}

template <int kTiles, int kPairs>
SMSR_DEVICE void finish_unit(const ConvolutionOutputs& to, const StagedInputs& in, const Unit& unit,
                             const Entry* entries, StagedSums<kTiles, kPairs>* sums) {
  ChannelSums of_channels[kTiles];
  const int end = unit.active ? in.channels : to.dense, written = round_up(end, kPiece);
  uint32 masks[kTiles];  // past the end: zeros
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
    const int left = end - sums->channel(m);
    masks[m] = left > 1 ? 0xffffffffu : left > 0 ? 0x0000ffffu : 0u;
  }
#pragma unroll
  for (int n = 0; n < 2 * kPairs; ++n) {
    const int row = sums->pixel(n);
    const Entry first = entries[row], second = entries[row + 1];
    Half* const out = static_cast<Half*>(to.out) + sums->channel(0);
    uint32* const at[2] = {reinterpret_cast<uint32*>(out + static_cast<uint32>(first.pixel * in.channels)),
                           reinterpret_cast<uint32*>(out + static_cast<uint32>(second.pixel * in.channels))};
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      uint32 halves[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        halves[i] = sums->positive_halves(m, n, i) & masks[m];
        if (row + i < unit.rows && sums->channel(m) < written) store_word(at[i] + 8 * m, halves[i]);
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

template <int kTiles, int kPairs>
SMSR_DEVICE void finish_unit(const CollectOutputs& to, const StagedInputs& in, const Unit& unit,
                             const Entry* entries, StagedSums<kTiles, kPairs>* sums) {
#pragma unroll
  for (int n = 0; n < 2 * kPairs; ++n) {
    const int row = sums->pixel(n);
    const Entry first = entries[row], second = entries[row + 1];
    Half* const out = static_cast<Half*>(to.out) + sums->channel(0);
    uint32* const at[2] = {reinterpret_cast<uint32*>(out + static_cast<uint32>(first.pixel * in.channels)),
                           reinterpret_cast<uint32*>(out + static_cast<uint32>(second.pixel * in.channels))};
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int i = 0; i < 2; ++i)
        if (row + i < unit.rows && 16 * m < in.channels) store_word(at[i] + 8 * m, sums->halves(m, n, i));
  }
}

// Before the residual is added.
template <int kTiles, int kPairs>
SMSR_DEVICE void scale_sums(const CollectOutputs& to, const StagedInputs& in, int image,
                            StagedSums<kTiles, kPairs>* sums) {
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
    const int channel = sums->channel(m);
    float bias[2] = {0.0f, 0.0f}, scale[2] = {0.0f, 0.0f};
    if (channel < in.channels) {
      const Half* const from = static_cast<const Half*>(to.bias) + channel;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        bias[i] = to_float(from[i]);
        scale[i] = to.scale[image * in.channels + channel + i];
      }
    }
    sums->scale(m, bias, scale);
  }
}
template <int kTiles, int kPairs>
SMSR_DEVICE void scale_sums(const ConvolutionOutputs&, const StagedInputs&, int,
                            StagedSums<kTiles, kPairs>*) {}

// Adds half of the residual to the sums of the same channels.
template <int kTiles, int kPairs>
SMSR_DEVICE void add_residual(int half, int steps, const StepInputs<kPairs> (&inputs)[kChunkSteps],
                              StagedSums<kTiles, kPairs>* sums) {
  const Vector identity = sums->identity();
#pragma unroll
  for (int m = 0; m < kTiles; ++m)
    if (m / kChunkSteps == half && m % kChunkSteps < steps) sums->multiply(m, identity, inputs[m % kChunkSteps]);
}

// Adds a chunk to the first 16 * kTiles output channels, while another is copied. Weights are loaded one
// product ahead.
template <int kTiles, class Weights, class Copies, int kPairs>
SMSR_DEVICE void multiply_chunk(const Weights& weights, int steps, const StepInputs<kPairs> (&inputs)[kChunkSteps],
                                const Copies& copies, StagedSums<kTiles, kPairs>* sums) {
  constexpr int kParts = kChunkSteps * kTiles;
  Vector now, ahead = steps > 0 ? weights.load(0, 0) : Vector{};
#pragma unroll
  for (int step = 0; step < kChunkSteps; ++step) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      if (step < steps) {
        now = ahead;
        if (m + 1 < kTiles)
          ahead = weights.load(step, m + 1);
        else if (step + 1 < steps)
          ahead = weights.load(step + 1, 0);
        sums->multiply(m, now, inputs[step]);
      }
      copies.template copy_rows<kParts>(step * kTiles + m);
    }
  }
}

// The first 16 * kTiles output channels of a unit.
template <int kTiles, bool kResident, class Outputs, class Copies>
SMSR_DEVICE void run_staged_unit(const StagedInputs& in, const Outputs& to, const Vector* weights,
                                 const Unit& unit, const Entry* entries, Copies* copies) {
  constexpr int kPairs = Copies::kRows / 16;
  const int dense = dense_of(in.dense, 0);
  const bool trims = !Outputs::kCollect && !unit.active && dense % StagedTile::kDepth != 0;
  StagedSums<kTiles, kPairs> sums;
  Chunks<Outputs::kCollect> chunks;
  chunks.start(in, unit.active);
  do {
    const uint32 chunk = copies->next_chunk();
    const int steps = chunks.steps(), half = chunks.half();
    StepInputs<kPairs> inputs[kChunkSteps];
#pragma unroll
    for (int step = 0; step < kChunkSteps; ++step) {
      if (step < steps) Copies::rows(chunk, step, &inputs[step]);
      if (trims && kChunkSteps * half + step == dense / StagedTile::kDepth) trim<kPairs>(dense, &inputs[step]);
    }
    if (chunks.is_residual(in)) {
      if (half == 0) scale_sums(to, in, unit.image, &sums);
      add_residual(half, steps, inputs, &sums);
      copies->template copy_rows<1>(0);
    } else {
      multiply_chunk<kTiles>(StepWeights<kResident>(weights, chunks.first_step(in)), steps, inputs, *copies, &sums);
    }
    copies->commit();
    chunks.next(in);
  } while (!chunks.done(in));
  finish_unit(to, in, unit, entries, &sums);
}

// Units of the block's warp, until there are none. kStages, kPairs: see StagedCopies.
template <int kPairs, int kStages, bool kResident, class Outputs>
SMSR_DEVICE void run_staged_units(const StagedInputs& in, const Outputs& to, const Lists& lists,
                                  const Vector* weights, char* rings) {
  // The collect's units may have two chunks only, and no copy may be two units ahead.
  constexpr int kAhead = Outputs::kCollect && kStages > 3 ? 3 : kStages;
  using Copies = StagedCopies<kPairs, kAhead, Outputs::kCollect>;
  const int warp = thread_index() / kWarpSize, inactive = to.inactive_channels(in.channels);
  const int end = lists.active_units[lists.batch] + (inactive > 0 ? lists.inactive_units[lists.batch] : 0);
  // The first units are spread over blocks before warps, so that small images use all multiprocessors.
  const int first = warp * blocks_x() + block_x();
  if (first >= end) return;
  Copies copies(in, lists, rings + warp * Copies::kWarpBytes, first, kStagedWarps * blocks_x(), end);
  for (int before = -1; copies.unit().index != before;) {
    const Unit unit = copies.unit();
    const Entry* const entries = copies.entries();
    if (Outputs::kCollect || unit.active || inactive > 32)
      run_staged_unit<4, kResident>(in, to, weights, unit, entries, &copies);
    else if (inactive > 16)
      run_staged_unit<2, kResident>(in, to, weights, unit, entries, &copies);
    else
      run_staged_unit<1, kResident>(in, to, weights, unit, entries, &copies);
    before = unit.index;
  }
  wait_for_copies<0>();
}

// A convolution or the collect, by all blocks. Begins once the grid's phase before has ended, and ends one.
template <int kPairs, int kStages, bool kResident, class Outputs>
SMSR_DEVICE void run_product(const StagedInputs& in, const Outputs& to, const Lists& lists, int weights_bytes,
                             GridBarrier* grid) {
  const Vector* weights = in.weights;
  char* const shared = static_cast<char*>(shared_memory());
  if (kResident) {
    Vector* const copied = reinterpret_cast<Vector*>(shared);
    const int vectors = in.groups * divide_up(in.channels, StagedTile::kDepth) * StagedTile::kStepVectors;
    for (int i = thread_index(); i < vectors; i += kStagedThreads) copy_to_shared(copied + i, weights + i);
    weights = copied;
  }
  grid->wait();
  copies_arrive();
  sync_block();
  run_staged_units<kPairs, kStages, kResident>(in, to, lists, weights, shared + (kResident ? weights_bytes : 0));
  grid->arrive();
}

}  // namespace smsr::cuda
