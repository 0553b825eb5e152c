// How the scratch memory is laid out, and how many rows are worked on at a time.
#pragma once

#include "kernels.h"
#include "mask_index.h"
#include "sparse_mask_module.h"

namespace smsr {

// Layers run one after another over bands of rows, each layer one row behind the one before it, so that no
// row is computed twice; a layer's output lives in a ring of rows until the next layer and the collect have
// read it.
int64_t band_rows(const Shape& shape);
int64_t ring_rows(const Shape& shape);

struct Workspace {
  MaskIndex index;
  float* zeros;      // [C]
  float* scale;      // [C] channel attention
  float* squeezed;   // [C / 16]
  float* row_sums;   // [H, C]
  float* rings;      // [L, ring rows, W, C]
  Rows* ring_views;  // [L]
  int64_t* full;     // [L] all C
};

// Lays the parts out from `base` on (which may be null to learn the size); returns the end of the last.
size_t lay_out(const Shape& shape, void* base, Workspace* workspace);

}  // namespace smsr
