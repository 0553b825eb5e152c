// The module's weights by the type that the layers' outputs are stored in.
#pragma once

#include "module/sparse_mask_module.h"
#include "rows.h"
#include "winograd/winograd.h"

namespace smsr {

template <class Element>
struct ModuleWeights {
  const Element* taps;     // [L][tap 9][C in][C out]
  const Element* collect;  // [L * C in][C out]
  const Element* tiles;    // [L][point][C in][C out], for Winograd; may be null
  int64_t layer_tiles;     // numbers of one layer in `tiles`
};

// Those of Params for Element float or Reduced.
template <class Element>
ModuleWeights<Element> weights_of(const Params& params);

}  // namespace smsr
