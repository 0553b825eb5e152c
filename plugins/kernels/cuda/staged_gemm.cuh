// Convolution and collect of sm_80 and newer: every warp takes units of listed pixels from a counter, whose
// inputs it copies to shared memory ahead of its products (staged_copies.cuh). A unit's result does not depend
// on which warp computes it.
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/grid_barrier.cuh"
#include "cuda/staged_copies.cuh"

namespace smsr::cuda {

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

// The next products copy the rows of another chunk, all within the first kCopyParts of them.
constexpr int kCopyParts = 8;

// Adds kSteps steps of a chunk to the first 16 * kTiles output channels, while another is copied. Inputs and
// weights are loaded one step and one product ahead. left: dense channels of the chunk; used where kTrim.
template <int kTiles, int kSteps, bool kTrim, class Weights, class Copies, int kPairs>
SMSR_DEVICE void multiply_chunk(const Weights& weights, int at, uint32 chunk, int left, const Copies& copies,
                                StagedSums<kTiles, kPairs>* sums) {
  constexpr int kProducts = kSteps * kTiles, kParts = kProducts < kCopyParts ? kProducts : kCopyParts;
  StepInputs<kPairs> inputs[2];
  Copies::rows(chunk, 0, &inputs[0]);
  Vector ahead = weights.load(at, 0, 0);
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    if (step + 1 < kSteps) Copies::rows(chunk, step + 1, &inputs[(step + 1) % 2]);
    if (kTrim) trim<kPairs>(left - 16 * step, &inputs[step % 2]);
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      const int product = step * kTiles + m, next = product + 1;
      const Vector now = ahead;
      if (next < kProducts) ahead = weights.load(at, next / kTiles, next % kTiles);
      sums->multiply(m, now, inputs[step % 2]);
      if (product < kParts) copies.template copy_rows<kParts>(product);
    }
  }
}

// The rest of a collect's unit: the residual is added to the scaled sums, each channel to the same one.
template <int kSteps, class Copies, int kPairs>
SMSR_DEVICE void add_residual(const CollectOutputs& to, const StagedInputs& in, int image, Copies* copies,
                              StagedSums<4, kPairs>* sums) {
  scale_sums(to, in, image, sums);
  const Vector identity = sums->identity();
#pragma unroll
  for (int first = 0; first < 4; first += kSteps) {
    const uint32 chunk = copies->next_chunk();
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      StepInputs<kPairs> inputs;
      Copies::rows(chunk, step, &inputs);
      sums->multiply(first + step, identity, inputs);
      copies->template copy_rows<kSteps>(step);
    }
    copies->commit();
  }
}
template <int kSteps, class Copies, class Sums>
SMSR_DEVICE void add_residual(const ConvolutionOutputs&, const StagedInputs&, int, Copies*, Sums*) {}

// The first 16 * kTiles output channels of a unit, from the first kSteps steps of its chunks; what is left out
// would add zeros.
template <int kTiles, int kSteps, bool kTrim, bool kResident, class Outputs, class Copies>
SMSR_DEVICE void run_staged_unit(const StagedInputs& in, const Outputs& to, const ChunkWeights<kResident>& weights,
                                 const StagedChunks& chunks, Copies* copies) {
  const Unit unit = copies->unit();
  const Entry* const entries = copies->entries();
  const StagedPiece* piece = chunks.pieces[0];
  StagedSums<kTiles, Copies::kRows / 16> sums;
  const int count = Outputs::kCollect ? chunks.count - 4 / kSteps : kTaps, dense = dense_of(in.dense, 0);
  int at = piece->weights;
#pragma unroll 1
  for (int i = 0; i < count; ++i) {
    const uint32 chunk = copies->next_chunk();
    piece += kWidePieces;
    const int next = piece->weights;
    multiply_chunk<kTiles, kSteps, kTrim>(weights, at, chunk, dense, *copies, &sums);
    copies->commit();
    at = next;
  }
  add_residual<kSteps>(to, in, unit.image, copies, &sums);
  finish_unit(to, in, unit, entries, &sums);
}

// All units of a kind that the block's warps take from the counter.
struct StagedPass {
  const StagedChunks& chunks;
  char* ring;  // the warp's
  Entry* entries;
  int first, taken, end;  // see StagedCopies
  uint32* counter;
};

template <int kTiles, int kPairs, int kStages, int kPieces, int kSteps, bool kTrim, bool kResident, class Outputs>
SMSR_DEVICE void run_pass(const StagedInputs& in, const Outputs& to, const Lists& lists,
                          const ChunkWeights<kResident>& weights, const StagedPass& pass, int sparse_from) {
  static_assert(kStages >= 2 && kStages <= (Outputs::kCollect ? 3 : kTaps), "see StagedCopies");
  using Copies = StagedCopies<kPairs, kStages, kPieces>;
  if (pass.first >= pass.end) return;
  Copies copies(lists, pass.counter, pass.chunks, pass.ring, pass.entries, 2 * in.channels, sparse_from,
                pass.first, pass.taken, pass.end);
  while (copies.unit().rows > 0)
    run_staged_unit<kTiles, kSteps, kTrim>(in, to, weights, pass.chunks, &copies);
  wait_for_copies<0>();
}

// How a kernel is compiled: units of 16 * kPairs pixels, kRing bytes of shared memory for each warp's copies,
// weights in shared memory or not.
template <int kPairs_, int kRing_, bool kResident_>
struct StagedKind {
  static constexpr int kPairs = kPairs_, kRing = kRing_, kRows = 16 * kPairs;
  static constexpr bool kResident = kResident_;
  static constexpr int kWarpBytes = kRing + kEntrySlots * kRows * static_cast<int>(sizeof(Entry));
};

// Chunks in a ring.
template <class Kind, class Outputs, int kPieces>
constexpr int kFitting = Kind::kRing / (Kind::kRows * 16 * kPieces);
template <class Kind, class Outputs, int kPieces>
constexpr int kStagesOf = kFitting<Kind, Outputs, kPieces> < (Outputs::kCollect ? 3 : 6)
                              ? kFitting<Kind, Outputs, kPieces>
                              : (Outputs::kCollect ? 3 : 6);

template <class Kind, int kTiles, int kPieces, int kSteps, bool kTrim, class Outputs>
SMSR_DEVICE void run_kind(const StagedInputs& in, const Outputs& to, const Lists& lists,
                          const ChunkWeights<Kind::kResident>& weights, const StagedPass& pass, int sparse_from) {
  constexpr int kStages = kStagesOf<Kind, Outputs, kPieces>;
  run_pass<kTiles, Kind::kPairs, kStages, kPieces, kSteps, kTrim>(in, to, lists, weights, pass, sparse_from);
}

template <class Kind, class Outputs>
SMSR_DEVICE void run_active(const StagedInputs& in, const Outputs& to, const Lists& lists,
                            const ChunkWeights<Kind::kResident>& weights, const StagedPass& pass) {
  const int sparse_from = Outputs::kCollect ? in.channels : round_up(dense_of(in.dense, 0), kPiece);
  if (in.channels > StagedTile::kDepth)
    run_kind<Kind, 4, kWidePieces, 4, false>(in, to, lists, weights, pass, sparse_from);
  else
    run_kind<Kind, 4, kNarrowPieces, 2, false>(in, to, lists, weights, pass, sparse_from);
}

template <class Kind>
SMSR_DEVICE void run_inactive(const StagedInputs& in, const ConvolutionOutputs& to, const Lists& lists,
                              const ChunkWeights<Kind::kResident>& weights, const StagedPass& pass) {
  const int dense = dense_of(in.dense, 0), all = kMaxChannels;  // what exists does so of all pixels
  if (dense > StagedTile::kDepth) {
    if (to.dense > 32)
      run_kind<Kind, 4, kWidePieces, 4, true>(in, to, lists, weights, pass, all);
    else if (to.dense > 16)
      run_kind<Kind, 2, kWidePieces, 4, true>(in, to, lists, weights, pass, all);
    else
      run_kind<Kind, 1, kWidePieces, 4, true>(in, to, lists, weights, pass, all);
  } else if (to.dense > 32) {
    run_kind<Kind, 4, kNarrowPieces, 2, true>(in, to, lists, weights, pass, all);
  } else if (to.dense > 16) {
    run_kind<Kind, 2, kNarrowPieces, 2, true>(in, to, lists, weights, pass, all);
  } else if (dense > 16) {
    run_kind<Kind, 1, kNarrowPieces, 2, true>(in, to, lists, weights, pass, all);
  } else {
    run_kind<Kind, 1, kNarrowPieces, 1, true>(in, to, lists, weights, pass, all);
  }
}
template <class Kind>
SMSR_DEVICE void run_inactive(const StagedInputs& in, const CollectOutputs& to, const Lists& lists,
                              const ChunkWeights<Kind::kResident>& weights, const StagedPass& pass) {
  run_kind<Kind, 4, kNarrowPieces, 2, false>(in, to, lists, weights, pass, kMaxChannels);
}

// Active units first; warps that have no more of them go on with the smaller products of inactive ones.
template <class Kind, class Outputs>
SMSR_DEVICE void run_staged_units(const StagedInputs& in, const Outputs& to, const Lists& lists,
                                  const Vector* packed, const StagedChunks* chunks, char* rings) {
  const int warp = thread_index() / kWarpSize, warps = kStagedWarps * blocks_x();
  const ChunkWeights<Kind::kResident> weights(packed);
  char* const ring = rings + warp * Kind::kRing;
  Entry* const entries = reinterpret_cast<Entry*>(rings + kStagedWarps * Kind::kRing) + warp * kEntrySlots * Kind::kRows;
  // The first units are spread over blocks before warps, so that small images use all multiprocessors.
  const int active = lists.active_units[lists.batch], first = warp * blocks_x() + block_x();
  run_active<Kind>(in, to, lists, weights, {chunks[1], ring, entries, first, warps, active, lists.counters});
  if (to.inactive_channels(in.channels) == 0) return;
  uint32* const counter = lists.counters + 1;
  const uint32 taken = thread_index() % kWarpSize == 0 ? atomic_add(counter, 1u) : 0u;
  run_inactive<Kind>(in, to, lists, weights,
                     {chunks[0], ring, entries, active + static_cast<int>(shuffle(taken, 0)), active,
                      active + lists.inactive_units[lists.batch], counter});
}

// A convolution or the collect, by all blocks. Begins once the grid's phase before has ended, and ends one.
// weights_bytes: room for the weights in shared memory, 0: they stay in global memory.
template <class Kind, class Outputs>
SMSR_DEVICE void run_product(const StagedInputs& in, const Outputs& to, const Lists& lists, int weights_bytes,
                             GridBarrier* grid) {
  const Vector* weights = in.weights;
  char* const shared = static_cast<char*>(shared_memory());
  if (Kind::kResident) {
    Vector* const copied = reinterpret_cast<Vector*>(shared);
    const int vectors = in.groups * divide_up(in.channels, StagedTile::kDepth) * StagedTile::kVectors;
    for (int i = thread_index(); i < vectors; i += kStagedThreads) copy_to_shared(copied + i, weights + i);
    weights = copied;
  }
  StagedChunks* const chunks = reinterpret_cast<StagedChunks*>(shared + weights_bytes);
  const int piece = thread_index() % kWidePieces, active = thread_index() / kWidePieces;
  if (active < 2)
    ChunkWriter<Outputs::kCollect>(in, active != 0, piece, chunks + active)
        .write(is_wide(in.channels, Outputs::kCollect ? 0 : dense_of(in.dense, 0), active != 0));
  grid->wait();
  copies_arrive();
  sync_block();
  run_staged_units<Kind>(in, to, lists, weights, chunks, shared + weights_bytes + kChunksBytes);
  grid->arrive();
}

}  // namespace smsr::cuda
