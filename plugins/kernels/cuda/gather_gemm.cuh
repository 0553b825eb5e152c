// Convolution and collect as a matrix product whose left rows are gathered (gather.cuh) and whose sums are
// finished in registers (epilogue.cuh). One launch computes active pixels (all channels) and inactive ones
// (dense channels only). Warps take units of pixels from a counter and never wait for each other; a unit's
// result does not depend on which warp computes it.
#pragma once

#include "cuda/epilogue.cuh"

namespace smsr::cuda {

// Whether a tile can leave out output channels: then it has code for all of them and code for some. A
// convolution's inactive units always take the latter, so that the former is compiled for active units only.
template <class Tile>
constexpr bool kSkips = Tile::kSkip < Tile::kColumns;

template <class Tile, bool kCollect, bool kAll>
SMSR_DEVICE void sum_steps(const GemmInputs& in, const Rows<Tile>& rows, bool active, const Vector* weights,
                           int columns, Tile* tile) {
  constexpr bool kActive = kAll && !kCollect && kSkips<Tile>;
  Steps<Tile, kCollect> steps(in, kActive || active);
  Vector ahead[Tile::kInputs];
  steps.load(*tile, rows, ahead);
#pragma unroll 2
  while (!steps.done()) {
    Vector now[Tile::kInputs];
#pragma unroll
    for (int j = 0; j < Tile::kInputs; ++j) now[j] = ahead[j];
    const Vector* at = weights + steps.weights();
    const int kept = steps.kept(*tile);
    steps.next();
    steps.load(*tile, rows, ahead);
    if (!kActive && steps.trims()) {  // after the next step's loads, which then need not wait for this one's
#pragma unroll
      for (int j = 0; j < Tile::kInputs; ++j) keep_leading(&now[j], kept, typename Tile::Type());
    }
    tile->template multiply<kAll>(now, at, columns);
  }
}

template <class Tile, class Outputs, bool kAll>
SMSR_DEVICE void run_unit(const GemmInputs& in, const Outputs& to, const Lists& lists, const Unit& unit,
                          const Vector* weights, int slice, int columns) {
  Tile tile;
  const Rows<Tile> rows(tile, lists, unit, in.channels);
  sum_steps<Tile, Outputs::kCollect, kAll>(in, rows, unit.active, weights, columns, &tile);
  finish(to, in, unit, rows, slice, &tile);
}

// One thread block fills a multiprocessor: a convolution's tile takes all registers with 8 warps, the smaller
// one of the collect with 12.
template <class Tile>
constexpr int kGemmThreads = Tile::kRows < kUnitRows ? 384 : 256;

// Blocks (any number, slices). kResident: the slice's weights, `weights_bytes` of them, are copied to shared
// memory.
template <class Tile, class Outputs, bool kResident>
SMSR_KERNEL(kGemmThreads<Tile>, 1)
void gather_gemm(GemmInputs in, Outputs to, Lists lists, int weights_bytes) {
  static_assert(CheckTile<Tile>::kPassed, "");
  constexpr int kParts = kUnitRows / Tile::kRows, kThreads = kGemmThreads<Tile>;
  const int slice = block_y(), lane = thread_index() % kWarpSize, warp = thread_index() / kWarpSize;
  const int columns = smaller(Tile::kColumns, in.channels - slice * Tile::kColumns);
  const int inactive = smaller(columns, to.inactive_channels(in.channels) - slice * Tile::kColumns);
  const int units = lists.active_units[lists.batch] + (inactive > 0 ? lists.inactive_units[lists.batch] : 0);
  const int end = units * kParts, first = blocks_x() * (kThreads / kWarpSize);
  if (block_x() >= end) return;  // the block's first warp has no unit, so the others have none either
  const Vector* weights = in.weights + static_cast<long long>(slice) * (weights_bytes / 16);
  if (kResident) {
    Vector* resident = static_cast<Vector*>(shared_memory());
    for (int i = thread_index(); i < weights_bytes / 16; i += kThreads)
      copy_to_shared(resident + i, weights + i);
    copies_arrive();
    sync_block();
    weights = resident;
  }
  // The first units are spread over blocks before warps, so that small images use all multiprocessors.
  int index = warp * blocks_x() + block_x();
  while (index < end) {
    uint32 next = 0;
    if (lane == 0) next = atomic_add(lists.counters + slice, 1u);
    const Unit unit = find_unit<Tile::kRows>(lists, index / kParts, index % kParts);
    if (unit.rows > 0) {
      const int needed = unit.active ? columns : inactive;
      const bool may_all = unit.active || Outputs::kCollect;
      const bool all = may_all && needed + Tile::kSkip > Tile::kColumns;
      if (!kSkips<Tile> || all)
        run_unit<Tile, Outputs, true>(in, to, lists, unit, weights, slice, needed);
      else
        run_unit<Tile, Outputs, !kSkips<Tile>>(in, to, lists, unit, weights, slice, needed);
    }
    index = first + static_cast<int>(shuffle(next, 0));
  }
}

}  // namespace smsr::cuda
