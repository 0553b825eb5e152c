// Weights in the order in which a tile reads them, packed by every call of the module:
// [slices, groups, steps per group, kDepth * kColumns], zeros where a step or a slice goes past the channels.
#pragma once

#include "cuda/tile.cuh"

namespace smsr::cuda {

constexpr int kPackThreads = 256;

// Writes number `at` of packed. weights [groups, channels in, channels out].
template <class Tile>
SMSR_DEVICE void pack_one(const typename Tile::Type* weights, int groups, int channels, int at,
                          typename Tile::Type* packed) {
  constexpr int kStep = Tile::kDepth * Tile::kColumns;
  const int steps = divide_up(channels, Tile::kDepth), step = at / kStep;
  const int slice = step / (groups * steps), group = step / steps % groups;
  int depth, column;
  Tile::packed_place(at % kStep, &depth, &column);
  depth += step % steps * Tile::kDepth;
  column += slice * Tile::kColumns;
  typename Tile::Type value;
  from_float(0.0f, &value);
  if (depth < channels && column < channels) value = weights[(group * channels + depth) * channels + column];
  packed[at] = value;
}

// Blocks (any number, layers + 1), the last for the collect. conv [layers, kTaps, channels, channels],
// collect [layers, channels, channels]; packed: conv_size numbers per layer, then collect_size.
template <class Tile, class CollectTile>
SMSR_KERNEL(kPackThreads, 1)
void pack_weights(const typename Tile::Type* conv, const typename Tile::Type* collect, int layers,
                  int channels, int conv_size, int collect_size, typename Tile::Type* packed) {
  const int layer = block_y();
  const int size = layer < layers ? conv_size : collect_size;
  typename Tile::Type* to = packed + static_cast<long long>(layer) * conv_size;
  for (int at = block_x() * kPackThreads + thread_index(); at < size; at += blocks_x() * kPackThreads) {
    if (layer < layers)
      pack_one<Tile>(conv + static_cast<long long>(layer) * kTaps * channels * channels, kTaps, channels, at,
                     to);
    else
      pack_one<CollectTile>(collect, layers, channels, at, to);
  }
}

}  // namespace smsr::cuda
