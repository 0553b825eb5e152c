// All loops of a variant, and its table.
// Needs from the includer: an unnamed namespace with the types Wide and Narrow (isa/register.h); kernels.h;
// layout.h.

// Each fragment needs those above it.
// clang-format off
#include "isa/tile-inl.h"
#include "isa/views-inl.h"
#include "module/loops-inl.h"
#include "winograd/points-inl.h"
#include "winograd/loops-inl.h"
#include "dense/loops-inl.h"
// clang-format on

static_assert(is_register<Wide>() && is_register<Narrow>());

// `reduced`: where the variant has such kernels.
constexpr Kernels make_kernels(const char* name, const ReducedKernels* reduced = nullptr) {
  constexpr LayerKernels<float, float> layer = {convolve_active<Single<Wide>>,
                                                convolve_inactive<Single<Narrow>>,
                                                convolve_tiles<Single<Wide>, Single<Narrow>>};
  return {name,
          {layer, layer, collect<Single<Wide>>},
          {convolve_pixels, convolve_pooled, {layer.tiles, convolve_pooled_tiles<Single<Wide>>}},
          sum_row,
          scale_add_row,
          peak,
          reduced};
}
