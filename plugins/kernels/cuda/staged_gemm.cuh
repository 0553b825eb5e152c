// Convolution and collect of sm_80 and newer: every warp takes units of listed pixels from a counter, whose
// inputs it copies to shared memory ahead of its products (staged_copies.cuh). A unit's result does not depend
// on which warp computes it.
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/grid_barrier.cuh"
#include "cuda/staged_copies.cuh"

namespace smsr::cuda {

constexpr int kChunksBytes = (static_cast<int>(sizeof(StagedChunks)) + 127) / 128 * 128;

// Packed weights of chunks, in shared or in global memory.
template <bool kShared>
class ChunkWeights {
 public:
  explicit SMSR_DEVICE ChunkWeights(const Vector* weights)
      : from_(weights + thread_index() % kWarpSize), at_(kShared ? shared_address(from_) : 0u) {}
  // chunk: StagedPiece::weights. Of output channels 16 m to 16 m + 15.
  SMSR_DEVICE Vector load(int chunk, int step, int m) const {
    const int index = chunk + step * StagedTile::kStepVectors + m * kWarpSize;
    return kShared ? load_shared(at_ + static_cast<uint32>(16 * index)) : load_weights(from_ + index);
  }

 private:
  const Vector* from_;
  uint32 at_;
};

// A convolution of inactive pixels uses dense channels only, whatever else an active neighbour has in the
// same 16 bytes: the inputs of a step that lie behind them become zeros. left: dense channels from the step's
// first on.
template <int kPairs>
SMSR_DEVICE void trim(int left, StepInputs<kPairs>* inputs) {
  const int first = thread_index() % kWarpSize % 4 * 2;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int keep = left - first - 8 * r;
    const uint32 mask = keep > 1 ? 0xffffffffu : keep > 0 ? 0x0000ffffu : 0u;
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

// Adds kSteps steps of a chunk to the first 16 * kTiles output channels, while another is copied. Weights are
// loaded one product ahead.
template <int kTiles, int kSteps, class Weights, class Copies, int kPairs>
SMSR_DEVICE void multiply_chunk(const Weights& weights, int chunk, const StepInputs<kPairs> (&inputs)[kSteps],
                                const Copies& copies, StagedSums<kTiles, kPairs>* sums) {
  Vector ahead = weights.load(chunk, 0, 0);
#pragma unroll
  for (int i = 0; i < kSteps * kTiles; ++i) {
    const Vector now = ahead;
    if (i + 1 < kSteps * kTiles) ahead = weights.load(chunk, (i + 1) / kTiles, (i + 1) % kTiles);
    sums->multiply(i % kTiles, now, inputs[i / kTiles]);
    copies.template copy_rows<kSteps * kTiles>(i);
  }
}

// The rest of a collect's unit: its two chunks of the residual are added to the scaled sums, each to the same
// channels.
template <int kTiles, class Copies, int kPairs>
SMSR_DEVICE void add_residual(const CollectOutputs& to, const StagedInputs& in, int image, Copies* copies,
                              StagedSums<kTiles, kPairs>* sums) {
  scale_sums(to, in, image, sums);
  const Vector identity = sums->identity();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint32 chunk = copies->next_chunk();
#pragma unroll
    for (int step = 0; step < StagedTile::kSteps; ++step) {
      StepInputs<kPairs> inputs;
      Copies::rows(chunk, step, &inputs);
      sums->multiply(StagedTile::kSteps * half + step, identity, inputs);
      copies->template copy_rows<StagedTile::kSteps>(step);
    }
    copies->commit();
  }
}
template <int kTiles, class Copies, int kPairs>
SMSR_DEVICE void add_residual(const ConvolutionOutputs&, const StagedInputs&, int, Copies*,
                              StagedSums<kTiles, kPairs>*) {}

// The first 16 * kTiles output channels of a unit, from the first kSteps steps of its chunks; the others
// would add zeros.
template <int kTiles, int kSteps, bool kTrim, bool kResident, class Outputs, class Copies>
SMSR_DEVICE void run_staged_unit(const StagedInputs& in, const Outputs& to, const ChunkWeights<kResident>& weights,
                                 const StagedChunks& chunks, Copies* copies) {
  constexpr int kPairs = Copies::kRows / 16;
  const Unit unit = copies->unit();
  const Entry* const entries = copies->entries();
  const StagedPiece* piece = chunks.pieces[unit.active][0];
  StagedSums<kTiles, kPairs> sums;
  const int count = chunks.count[unit.active] - (Outputs::kCollect ? 2 : 0);
  int left = dense_of(in.dense, 0), at = piece->weights;
#pragma unroll 1
  for (int i = 0; i < count; ++i) {
    const uint32 chunk = copies->next_chunk();
    StepInputs<kPairs> inputs[kSteps];
#pragma unroll
    for (int step = 0; step < kSteps; ++step) Copies::rows(chunk, step, &inputs[step]);
    piece += kChunkPieces;
    const int next = piece->weights;
    if (kTrim) {
#pragma unroll
      for (int step = 0; step < kSteps; ++step) trim<kPairs>(left - 16 * step, &inputs[step]);
      if (i + 1 == kTaps) left -= StagedTile::kDepth;  // the second half
    }
    multiply_chunk<kTiles, kSteps>(weights, at, inputs, *copies, &sums);
    copies->commit();
    at = next;
  }
  add_residual(to, in, unit.image, copies, &sums);
  finish_unit(to, in, unit, entries, &sums);
}

// An inactive unit of a convolution with `outputs` dense output channels.
template <bool kResident, class Copies>
SMSR_DEVICE void run_inactive_unit(const StagedInputs& in, const ConvolutionOutputs& to,
                                   const ChunkWeights<kResident>& weights, const StagedChunks& chunks,
                                   Copies* copies) {
  const bool one_step = dense_of(in.dense, 0) <= 16;
  if (to.dense > 32)
    run_staged_unit<4, 2, true>(in, to, weights, chunks, copies);
  else if (to.dense > 16)
    run_staged_unit<2, 2, true>(in, to, weights, chunks, copies);
  else if (!one_step)
    run_staged_unit<1, 2, true>(in, to, weights, chunks, copies);
  else
    run_staged_unit<1, 1, true>(in, to, weights, chunks, copies);
}
template <bool kResident, class Copies>
SMSR_DEVICE void run_inactive_unit(const StagedInputs& in, const CollectOutputs& to,
                                   const ChunkWeights<kResident>& weights, const StagedChunks& chunks,
                                   Copies* copies) {
  run_staged_unit<4, 2, false>(in, to, weights, chunks, copies);
}

// Units of the block's warp, until there are none. kStages, kPairs: see StagedCopies.
template <int kPairs, int kStages, bool kResident, class Outputs>
SMSR_DEVICE void run_staged_units(const StagedInputs& in, const Outputs& to, const Lists& lists,
                                  const Vector* packed, const StagedChunks& chunks, char* rings) {
  // The collect's units may have two chunks only, see StagedCopies.
  constexpr int kAhead = Outputs::kCollect && kStages > 3 ? 3 : kStages;
  static_assert(kStages >= 2 && kStages <= kTaps, "StagedCopies relies on the chunks of a unit");
  using Copies = StagedCopies<kPairs, kAhead>;
  const int warp = thread_index() / kWarpSize, inactive = to.inactive_channels(in.channels);
  const int end = lists.active_units[lists.batch] + (inactive > 0 ? lists.inactive_units[lists.batch] : 0);
  // The first units are spread over blocks before warps, so that small images use all multiprocessors.
  const int first = warp * blocks_x() + block_x();
  if (first >= end) return;
  const ChunkWeights<kResident> weights(packed);
  Copies copies(in, lists, chunks, rings + warp * Copies::kWarpBytes, first, kStagedWarps * blocks_x(), end);
  while (copies.unit().rows > 0) {
    if (Outputs::kCollect || copies.unit().active)
      run_staged_unit<4, 2, false>(in, to, weights, chunks, &copies);
    else
      run_inactive_unit(in, to, weights, chunks, &copies);
  }
  wait_for_copies<0>();
}

// A convolution or the collect, by all blocks. Begins once the grid's phase before has ended, and ends one.
// weights_bytes: room for the weights in shared memory, 0: they stay in global memory.
template <int kPairs, int kStages, bool kResident, class Outputs>
SMSR_DEVICE void run_product(const StagedInputs& in, const Outputs& to, const Lists& lists, int weights_bytes,
                             GridBarrier* grid) {
  const Vector* weights = in.weights;
  char* const shared = static_cast<char*>(shared_memory());
  StagedChunks* const chunks = reinterpret_cast<StagedChunks*>(shared + weights_bytes);
  if (kResident) {
    Vector* const copied = reinterpret_cast<Vector*>(shared);
    const int vectors = in.groups * divide_up(in.channels, StagedTile::kDepth) * StagedTile::kVectors;
    for (int i = thread_index(); i < vectors; i += kStagedThreads) copy_to_shared(copied + i, weights + i);
    weights = copied;
  }
  write_chunks<Outputs::kCollect>(in, chunks);
  grid->wait();
  copies_arrive();
  sync_block();
  run_staged_units<kPairs, kStages, kResident>(in, to, lists, weights, *chunks,
                                               shared + weights_bytes + kChunksBytes);
  grid->arrive();
}

}  // namespace smsr::cuda
