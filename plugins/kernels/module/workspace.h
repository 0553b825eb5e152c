// How the scratch memory is laid out, and how many rows one step computes.
#pragma once

#include "module/mask_index.h"
#include "module/module_kernels.h"
#include "module/sparse_mask_module.h"
#include "scratch.h"
#include "winograd/winograd.h"

namespace smsr {

// The module runs down the image in steps of step_rows() rows, whole tiles. In a step every stage (layer 0 ..
// L - 1, then the collect) does its next rows, so far behind the stage before it that what it reads was
// written in earlier steps: one barrier per step, no row computed twice, and a layer's output lives in a ring
// of a few rows that stay in cache.
int64_t step_rows(const Shape& shape);

// First row of a stage in a step; may lie above or below the image. Layers read one row below their own, and
// keep to whole tiles; the collect reads its own rows only.
inline int64_t stage_row(const Shape& shape, int64_t step, int64_t stage) {
  const int64_t halo = kTileSize * (stage < shape.layers ? stage : stage - 1);
  return (step - stage) * step_rows(shape) - halo;
}

// Rows of a layer's ring: from the first row the collect reads to the last one the layer writes.
int64_t ring_rows(const Shape& shape, int64_t layer);

// Pixels or tiles of one stage in one step, done in the same way, cut into tasks.
struct Work {
  enum Kind { kActive, kInactive, kTiles, kLeadingTiles } kind;
  Pixels pixels;
  Tiles tiles;
  int64_t tasks;
};
struct Stage {
  int64_t y0, y1;  // rows
  Work work[3];
};

struct ModuleWorkspace {
  MaskIndex index;
  float* zeros;      // [C]
  float* scale;      // [C] channel attention
  float* squeezed;   // [C / kChannelAttentionReduction]
  float* row_sums;   // [H, C]
  float* rings;      // [sum of ring rows, W, C] outputs of the layers, float or Reduced
  void* ring_views;  // [L] RowsOf<float> or RowsOf<Reduced>
  Stage* stages;     // [L]
  int64_t* full;     // [L] all C
  ScratchSlots scratch;

  template <class Element>
  RowsOf<Element>* rings_of() const {
    return static_cast<RowsOf<Element>*>(ring_views);
  }
};

// Lays the parts out from `base` on (which may be null to learn the size); returns the bytes needed.
size_t lay_out(const Shape& shape, void* base, ModuleWorkspace* workspace);

}  // namespace smsr
