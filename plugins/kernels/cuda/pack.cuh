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

template <class T>
struct PackParams {
  const T* conv;     // [layers, kTaps, channels, channels]
  const T* collect;  // [layers, channels, channels]
  int layers, channels, conv_size, collect_size;
  T* packed;  // conv_size numbers per layer, then collect_size
};

// One row of blocks: the weights of a layer, or, behind all layers, of the collect.
template <class Tile, class CollectTile>
SMSR_DEVICE void pack_layer(const PackParams<typename Tile::Type>& p, int layer) {
  const int size = layer < p.layers ? p.conv_size : p.collect_size;
  auto* to = p.packed + static_cast<long long>(layer) * p.conv_size;
  const auto* conv = p.conv + static_cast<long long>(layer) * kTaps * p.channels * p.channels;
  for (int at = block_x() * kPackThreads + thread_index(); at < size; at += blocks_x() * kPackThreads) {
    if (layer < p.layers)
      pack_one<Tile>(conv, kTaps, p.channels, at, to);
    else
      pack_one<CollectTile>(p.collect, p.layers, p.channels, at, to);
  }
}

// Blocks (any number, layers + 1).
template <class Tile, class CollectTile>
SMSR_KERNEL(kPackThreads, 1)
void pack_weights(PackParams<typename Tile::Type> p) {
  pack_layer<Tile, CollectTile>(p, block_y());
}

}  // namespace smsr::cuda
