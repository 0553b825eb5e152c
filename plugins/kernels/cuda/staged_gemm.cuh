// Convolution and collect of sm_80 and newer: every warp takes units of pixels from a counter, whose inputs
// it copies to shared memory ahead of its products. A unit's result does not depend on which warp computes
// it.
#pragma once

#include "cuda/grid_barrier.cuh"
#include "cuda/staged_collect.cuh"
#include "cuda/staged_convolution.cuh"

namespace smsr::cuda {

// How a kernel is compiled: its units, and whether weights are in shared memory.
template <class Record_, bool kResident_>
struct StagedKind {
  using Record = Record_;
  static constexpr bool kResident = kResident_;
  static constexpr int kRing = kRingBytes<Record>;
  static constexpr int kListing = RecordWriter<Record>::kSharedBytes;
  static constexpr int kWarpBytes = kRing + UnitQueue<Record>::kBytes;
  static_assert(kListing <= kWarpBytes, "the same shared memory");
};

constexpr int kStagedWarps = 8, kStagedThreads = kStagedWarps * kWarpSize;

template <int kValue>
struct Number {
  static constexpr int value = kValue;
};

template <class Kind>
SMSR_DEVICE void run_units(const StagedInputs& in, const ConvolutionOutputs& to,
                           const ChunkWeights<Kind::kResident>& weights, const StagedChunks*, bool active,
                           int, const UnitRange& range, char* ring, char* records) {
  using Record = typename Kind::Record;
  using Weights = ChunkWeights<Kind::kResident>;
  const int channels = active ? in.channels : dense_of(in.dense, 0);
  const int halves = channels > StagedTile::kDepth ? 2 : 1;
  const auto run = [&](auto tiles, auto steps, auto trim) {
    convolve_units<tiles.value, steps.value, trim.value != 0, Weights, Record>(in, to, weights, active,
                                                                               halves, range, ring, records);
  };
  // Tiles and steps, and whether inputs are trimmed: whole pieces need not be, for what lies behind them is
  // copied as zeros.
  if (active) return run(Number<4>(), Number<2>(), Number<0>());
  if (to.dense > 32) return run(Number<4>(), Number<2>(), Number<1>());
  const bool whole = channels % kPiece == 0, two = to.dense > 16;
  if (two)
    return whole ? run(Number<2>(), Number<2>(), Number<0>()) : run(Number<2>(), Number<2>(), Number<1>());
  if (channels <= 16) return run(Number<1>(), Number<1>(), Number<1>());
  return whole ? run(Number<1>(), Number<2>(), Number<0>()) : run(Number<1>(), Number<2>(), Number<1>());
}
template <class Kind>
SMSR_DEVICE void run_units(const StagedInputs& in, const CollectOutputs& to,
                           const ChunkWeights<Kind::kResident>& weights, const StagedChunks* chunks,
                           bool active, int pixels, const UnitRange& range, char* ring, char* records) {
  collect_units<ChunkWeights<Kind::kResident>, typename Kind::Record>(in, to, weights, chunks[active], pixels,
                                                                      range, ring, records);
}

// Active units first; warps that have no more of them go on with the smaller products of inactive ones.
template <class Kind, class Outputs>
SMSR_DEVICE void run_all_units(const StagedInputs& in, const Outputs& to, const UnitPlan& plan, int batch,
                               int pixels, uint32* counters, const Vector* packed, const StagedChunks* chunks,
                               char* memory) {
  const int warp = thread_index() / kWarpSize, warps = kStagedWarps * blocks_x();
  const ChunkWeights<Kind::kResident> weights(packed);
  char* const ring = memory + warp * Kind::kRing;
  char* const records = memory + kStagedWarps * Kind::kRing + warp * UnitQueue<typename Kind::Record>::kBytes;
  // The first units are spread over blocks before warps, so that small images use all multiprocessors.
  const int active = plan.active_units[batch], first = warp * blocks_x() + block_x();
  if (first < active) {
    const UnitRange range = {plan.units, plan.records, counters, first, warps, active};
    run_units<Kind>(in, to, weights, chunks, true, pixels, range, ring, records);
  }
  if (to.inactive_channels(in.channels) == 0) return;
  const uint32 taken = thread_index() % kWarpSize == 0 ? atomic_add(counters + 1, 1u) : 0u;
  const int end = active + plan.inactive_units[batch], begin = active + static_cast<int>(shuffle(taken, 0));
  if (begin >= end) return;
  const UnitRange range = {plan.units, plan.records, counters + 1, begin, active, end};
  run_units<Kind>(in, to, weights, chunks, false, pixels, range, ring, records);
}

SMSR_DEVICE void write_chunks(const StagedInputs&, const ConvolutionOutputs&, StagedChunks*) {}
SMSR_DEVICE void write_chunks(const StagedInputs& in, const CollectOutputs&, StagedChunks* chunks) {
  const int piece = thread_index() % kChunkPieces, active = thread_index() / kChunkPieces;
  if (active < 2) ChunkWriter(in, active != 0, piece, chunks + active).write();
}

// A convolution or the collect, by all blocks. Begins once the grid's phase before has ended, and ends one.
// weights_bytes: room for the weights in shared memory, 0: they stay in global memory.
template <class Kind, class Outputs>
SMSR_DEVICE void run_product(const StagedInputs& in, const Outputs& to, const UnitPlan& plan, int batch,
                             int pixels, uint32* counters, int weights_bytes, GridBarrier* grid) {
  const Vector* weights = in.weights;
  char* const shared = static_cast<char*>(shared_memory());
  if (Kind::kResident) {
    Vector* const copied = reinterpret_cast<Vector*>(shared);
    const int vectors = in.groups * divide_up(in.channels, StagedTile::kDepth) * StagedTile::kVectors;
    for (int i = thread_index(); i < vectors; i += kStagedThreads) copy_to_shared(copied + i, weights + i);
    weights = copied;
  }
  StagedChunks* const chunks = reinterpret_cast<StagedChunks*>(shared + weights_bytes);
  write_chunks(in, to, chunks);
  grid->wait();
  copies_arrive();
  sync_block();
  run_all_units<Kind>(in, to, plan, batch, pixels, counters, weights, chunks,
                      shared + weights_bytes + kChunksBytes);
  grid->arrive();
}

}  // namespace smsr::cuda
