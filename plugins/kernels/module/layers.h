// The tasks of one image's layers and of the collect, for layers whose outputs are stored as Element: float
// or Reduced.
#pragma once

#include "image.h"
#include "module/sparse_mask_module.h"
#include "module/workspace.h"

namespace smsr {

// Pixels per task: multiples of every tile's rows, small enough to balance within a step.
constexpr int64_t kActivePerTask = 48, kInactivePerTask = 192;

struct ModuleImage : ImageOf<Params, ModuleWorkspace> {
  const float* margin;  // [H, W]
  bool reduced() const { return params.reduced_weights != nullptr; }
  bool tiles() const { return reduced() ? params.reduced_tiles : params.prepared_weights != nullptr; }
};

// Task `task` of some work of a layer.
template <class Element>
void run_work(const ModuleImage& image, int64_t layer, const Work& work, int64_t task);

// The collect of a whole row: the pooling sums must not depend on how pixels are grouped.
template <class Element>
void collect_row(const ModuleImage& image, int64_t y);

}  // namespace smsr
