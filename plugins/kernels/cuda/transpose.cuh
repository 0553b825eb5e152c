// N C H W to N H W C and back, through a tile of 32 x 32 numbers in shared memory.
#pragma once

#include "cuda/types.cuh"

namespace smsr::cuda {

constexpr int kTransposeThreads = 256, kTransposeTile = 32;

// [N, rows, columns] -> [N, columns, rows]. Blocks (any number): each takes tiles of all images in turn.
template <class T>
SMSR_KERNEL(kTransposeThreads, 1)
void transpose(const T* from, T* to, int batch, int rows, int columns) {
  T* tile = static_cast<T*>(shared_memory());  // [kTransposeTile][kTransposeTile + 1]
  const int x = thread_index() % kTransposeTile, first_y = thread_index() / kTransposeTile;
  constexpr int kStep = kTransposeThreads / kTransposeTile, kRow = kTransposeTile + 1;
  const int across = divide_up(columns, kTransposeTile), down = divide_up(rows, kTransposeTile);
  const int tiles = across * down * batch;  // fewer than numbers, so it fits
  for (int at = block_x(); at < tiles; at += blocks_x()) {
    const int row = at / across % down * kTransposeTile, column = at % across * kTransposeTile;
    const long long image = static_cast<long long>(at / across / down) * rows * columns;
    for (int y = first_y; y < kTransposeTile; y += kStep)
      if (row + y < rows && column + x < columns)
        tile[y * kRow + x] = from[image + static_cast<long long>(row + y) * columns + column + x];
    sync_block();
    for (int y = first_y; y < kTransposeTile; y += kStep)
      if (column + y < columns && row + x < rows)
        to[image + static_cast<long long>(column + y) * rows + row + x] = tile[x * kRow + y];
    sync_block();
  }
}

}  // namespace smsr::cuda
