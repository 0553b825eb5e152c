// The loops of ReducedKernels, see reduced_kernels.h. Included after loops.h by instruction sets whose Wide
// and Narrow also multiply values of reduced precision.

// Multiplicands float32, results rounded: the first layer pixel by pixel.
template <class R>
struct RoundedOutput : R {
  using Input = float;
  using Output = Reduced;
  using Weight = float;
  static constexpr int kStep = 1;
  static typename R::Register load_weights(const float* p) { return R::load(p); }
};

// Multiplicands reduced, sums float32.
template <class R, class Out>
struct ReducedProducts : R {
  using Input = Reduced;
  using Output = Out;
  using Weight = Reduced;
  static constexpr int kStep = R::kReducedStep;
};
using WideProducts = ReducedProducts<Wide, float>;
using NarrowProducts = ReducedProducts<Narrow, float>;

void first_active(const ConvolutionOf<float, Reduced, float>& c, Pixels pixels) {
  convolve<RoundedOutput<Wide>>(c, pixels, c.channels, c.channels);
}

void first_inactive(const ConvolutionOf<float, Reduced, float>& c, Pixels pixels) {
  convolve<RoundedOutput<Narrow>>(c, pixels, c.dense_in, c.dense_out);
  if (c.zero_sparse) zero_sparse_channels(c, pixels);
}

void first_tiles(const TileConvolutionOf<float, Reduced, Reduced>& c, Tiles tiles, float* memory) {
  convolve_tile_list<WideProducts, NarrowProducts>(c, tiles, memory);
}

void reduced_active(const ConvolutionOf<Reduced, Reduced, Reduced>& c, Pixels pixels) {
  convolve<ReducedProducts<Wide, Reduced>>(c, pixels, c.channels, c.channels);
}

void reduced_inactive(const ConvolutionOf<Reduced, Reduced, Reduced>& c, Pixels pixels) {
  convolve<ReducedProducts<Narrow, Reduced>>(c, pixels, c.dense_in, c.dense_out);
  if (c.zero_sparse) zero_sparse_channels(c, pixels);
}

void reduced_tiles(const TileConvolutionOf<Reduced, Reduced, Reduced>& c, Tiles tiles, float* memory) {
  convolve_tile_list<WideProducts, NarrowProducts>(c, tiles, memory);
}

void reduced_collect(const CollectOf<Reduced, Reduced>& c, Pixels pixels) {
  collect_pixels<WideProducts>(c, pixels);
}

void reduced_dense_tiles(const TileConvolutionOf<float, float, Reduced>& c, Tiles tiles, float* memory) {
  convolve_tile_list<WideProducts, NarrowProducts>(c, tiles, memory);
}

void reduced_pooled_tiles(const TileConvolutionOf<float, float, Reduced>& c, int64_t first, int64_t count,
                          float* pooled, float* memory) {
  convolve_pooled_tile_list<WideProducts>(c, first, count, pooled, memory);
}

constexpr ReducedKernels reduced_kernels(const char* type, Reduced (*round)(float)) {
  return {type,
          Wide::kReducedStep,
          round,
          first_active,
          first_inactive,
          first_tiles,
          reduced_active,
          reduced_inactive,
          reduced_tiles,
          reduced_collect,
          reduced_dense_tiles,
          reduced_pooled_tiles};
}
