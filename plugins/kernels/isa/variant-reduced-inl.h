// The table of a variant's kernels with multiplicands of reduced precision.
// Needs from the includer: as isa/variant-inl.h, which stands before it; Wide and Narrow that also meet the
// second half of isa/register.h.

static_assert(is_reduced_register<Wide>() && is_reduced_register<Narrow>());

using WideProducts = ReducedProducts<Wide, float>;
using NarrowProducts = ReducedProducts<Narrow, float>;

constexpr ReducedKernels make_reduced_kernels(const char* type, Reduced (*round)(float)) {
  return {
      type,
      Wide::kReducedStep,
      round,
      {{convolve_active<FloatProducts<Wide, Reduced>>, convolve_inactive<FloatProducts<Narrow, Reduced>>,
        convolve_tiles<WideProducts, NarrowProducts>},
       {convolve_active<ReducedProducts<Wide, Reduced>>, convolve_inactive<ReducedProducts<Narrow, Reduced>>,
        convolve_tiles<WideProducts, NarrowProducts>},
       collect<WideProducts>},
      {convolve_tiles<WideProducts, NarrowProducts>, convolve_pooled_tiles<WideProducts>}};
}
