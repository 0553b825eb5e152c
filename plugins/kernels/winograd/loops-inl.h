// Winograd's convolutions over tiles; see winograd.h.
// Needs from the includer: an unnamed namespace; kernels.h; winograd/points-inl.h; isa/tile-inl.h; fill_up()
// of module/loops-inl.h.

// Top left pixel of a tile.
struct TilePlace {
  int64_t y, x;
  TilePlace(int64_t width, Tiles tiles, int64_t i) {
    const int64_t along = tiles_along(width);
    const int64_t index = tiles.list != nullptr ? static_cast<int64_t>(tiles.list[i].index) : tiles.first + i;
    y = index / along * kTileSize;
    x = index % along * kTileSize;
  }
};

// The window of a tile. At the image's left and right border it is put together in `copy` [6][6][channels],
// zeros outside; above and below, its rows are of zeros.
template <class In>
inline Window<In> window_of(const PaddedImageOf<In>& image, TilePlace at, In* copy) {
  Window<In> window;
  const int64_t left = at.x - 1, channels = image.channels;
  const bool within = left >= 0 && left + kWindowSize <= image.width;
  for (int64_t ky = 0; ky < kWindowSize; ++ky) {
    const int64_t y = at.y + ky - 1;
    const bool inside = y >= 0 && y < image.height;
    window.row[ky] = inside ? image.rows.row(y) + left * channels : image.zeros;
    window.step[ky] = inside ? channels : 0;
    if (within || !inside) continue;
    In* const row = copy + ky * kWindowSize * channels;
    for (int64_t kx = 0; kx < kWindowSize; ++kx) {
      const bool here = left + kx >= 0 && left + kx < image.width;
      const In* const from = here ? window.row[ky] + kx * channels : image.zeros;
      __builtin_memcpy(row + kx * channels, from, static_cast<size_t>(channels) * sizeof(In));
    }
    window.row[ky] = row;
  }
  return window;
}

// Where the pixels of a tile go, and what is added to them.
template <class Out>
struct TileOutputs {
  Out* row[kTileSize];  // the tile's first pixel in each row of the image
  const float* addend[kTileSize];
  uint16_t full, leading;  // pixels of the image that get all outputs, or at least those below `leading`
};

// Bits of the pixels of a tile that lie in the image.
template <class In>
inline unsigned inside(const PaddedImageOf<In>& image, TilePlace at) {
  const int64_t rows = image.height - at.y, columns = image.width - at.x;
  const unsigned row = columns < kTileSize ? (1u << columns) - 1 : 0xf;
  const unsigned all = row * 0x1111u;
  return rows < kTileSize ? all & ((1u << rows * kTileSize) - 1) : all;
}

template <class In, class Out, class Weight>
inline TileOutputs<Out> outputs_of(const TileConvolutionOf<In, Out, Weight>& c, TilePlace at,
                                   const Tile& tile) {
  TileOutputs<Out> to;
  const unsigned pixels = inside(c.in, at);
  to.full = static_cast<uint16_t>(tile.full & pixels);
  to.leading = static_cast<uint16_t>((tile.full | tile.leading) & pixels);
  for (int64_t y = 0; y < kTileSize; ++y) {
    const int64_t row = at.y + y < c.in.height ? at.y + y : at.y;
    to.row[y] = c.out.row(row) + at.x * c.outputs;
    to.addend[y] = c.addend.data != nullptr ? c.addend.row(row) + at.x * c.outputs : nullptr;
  }
  return to;
}

// A pointer for each pixel of a tile: those without their bit point at `nowhere`.
template <class T>
inline void point_at_pixels(T* const row[kTileSize], int64_t step, unsigned pixels, T* nowhere,
                            T* to[kTilePixels]) {
  for (int y = 0; y < kTileSize; ++y)
    for (int x = 0; x < kTileSize; ++x)
      to[y * kTileSize + x] = pixels >> (y * kTileSize + x) & 1 ? row[y] + x * step : nowhere;
}

// Outputs [first, end) of one tile from its points, `stride` floats apart.
template <class V, class In, class Out, class Weight>
void transform_output(const TileConvolutionOf<In, Out, Weight>& c, const TileOutputs<Out>& to, int64_t first,
                      int64_t end, const float* points, int64_t stride, float* dump) {
  using Register = typename V::Register;
  Out* out[kTilePixels];
  const float* addend[kTilePixels] = {};
  if (c.addend.data != nullptr) point_at_pixels<const float>(to.addend, c.outputs, to.leading, dump, addend);
  bool leading = first < c.leading;
  point_at_pixels(to.row, c.outputs, leading ? to.leading : to.full, reinterpret_cast<Out*>(dump), out);
  for (int64_t channel = first; channel < end; channel += V::kLanes, points += V::kLanes) {
    if (leading && channel >= c.leading) {
      leading = false;
      point_at_pixels(to.row, c.outputs, to.full, reinterpret_cast<Out*>(dump), out);
    }
    const Register bias = c.bias != nullptr ? V::load(c.bias + channel) : V::zero();
    PointsOf<Weight>::Type::template output<V>(points, stride, [&](int y, const Register pixels[kTileSize]) {
#pragma GCC unroll 4
      for (int x = 0; x < kTileSize; ++x) {
        Register value = V::add(pixels[x], bias);
        if (c.addend.data != nullptr) value = V::add(value, V::load(addend[y * kTileSize + x] + channel));
        if (c.relu) value = V::relu(value);
        V::store(out[y * kTileSize + x] + channel, value);
      }
    });
  }
}

// Prefetches the outputs of a tile from `channel` on, and what is added to them: one cache line of each
// pixel, which the hardware does not foresee.
template <class Out>
inline void prefetch_outputs(const TileOutputs<Out>& to, int64_t outputs, int64_t channel) {
  for (int y = 0; y < kTileSize; ++y)
#pragma GCC unroll 4
    for (int x = 0; x < kTileSize; ++x) {
      __builtin_prefetch(to.row[y] + x * outputs + channel, 1);
      if (to.addend[y] != nullptr) __builtin_prefetch(to.addend[y] + x * outputs + channel);
    }
}

// After all outputs are stored: the last leading vector may have spilled into the others.
template <class In, class Out, class Weight>
inline void zero_outputs(const TileConvolutionOf<In, Out, Weight>& c, const Tile& tile,
                         const TileOutputs<Out>& to) {
  for (int64_t i = 0; i < kTilePixels; ++i) {
    if (!((tile.zero & to.leading) >> i & 1)) continue;
    Out* const out = to.row[i / kTileSize] + i % kTileSize * c.outputs;
    for (int64_t k = c.leading; k < c.outputs; ++k) out[k] = 0;
  }
}

// Values between the transformed inputs, or outputs, of a block's tiles.
template <class Weight>
constexpr int64_t stride_of_tiles(int64_t channels) {
  return PointsOf<Weight>::Type::kParts * tile_stride(PointsOf<Weight>::Type::kMatrices, channels);
}

// Outputs that are multiplied and transformed together: one pass of the micro-kernel.
template <class V>
constexpr int64_t kPanel = V::kVectors * V::kLanes;

// Products of the outputs [first, first + panel): sums over input channels, one matrix after the other,
// [tiles * parts][inputs] x [inputs][panel]. from: [tile][part][matrix][inputs]; to: [tile][part]
// [matrix][panel].
template <class V, class AnyConvolution>
void multiply_points(const AnyConvolution& c, int64_t first, int64_t panel, int tiles,
                     const typename V::Input* from, float* to) {
  using Points = typename PointsOf<typename V::Input>::Type;
  const int64_t inputs = c.in.channels;
  RowsProduct<V> product;
  product.in_stride = tile_stride(Points::kMatrices, inputs);
  product.out_stride = tile_stride(Points::kMatrices, panel);
  product.depth = inputs;
  const typename V::Input* weights = c.weights + first * V::kStep;
  product.weights_stride = c.outputs;
  product.rows = tiles * Points::kParts;
  for (int64_t matrix = 0; matrix < Points::kMatrices; ++matrix) {
    product.in = from + matrix * inputs;
    product.out = to + matrix * panel;
    product.weights = weights + matrix * inputs * product.weights_stride;
    multiply_rows<V>(product, static_cast<int>(panel / V::kLanes));
  }
}

// The scratch memory of one block; transformed inputs are of the weights' type.
template <class Weight>
struct TileScratch {
  Weight* inputs;
  float *products, *dump, *windows[2];
  template <class AnyConvolution>
  TileScratch(const AnyConvolution& c, float* scratch)
      : inputs(reinterpret_cast<Weight*>(scratch)),
        products(scratch + kTilesPerBlock * stride_of_tiles<Weight>(c.in.channels)),
        dump(products + kTilesPerBlock * stride_of_tiles<Weight>(c.outputs)),
        windows{dump + c.outputs, dump + c.outputs + kWinogradPoints * c.in.channels} {}
};

// The points of tiles [first, first + count), at most a block of them.
template <class V, class In, class Out, class Weight>
void transform_inputs(const TileConvolutionOf<In, Out, Weight>& c, Tiles tiles, int64_t first, int64_t count,
                      const TileScratch<Weight>& scratch) {
  const auto window = [&](int64_t i) {
    return window_of(c.in, TilePlace(c.in.width, tiles, first + i),
                     reinterpret_cast<In*>(scratch.windows[i % 2]));
  };
  Window<In> here = window(0);
  for (int64_t i = 0; i < count; ++i) {
    const Window<In> next = i + 1 < count ? window(i + 1) : here;
    PointsOf<Weight>::Type::template input<V>(here, next, c.in.channels,
                                              scratch.inputs + i * stride_of_tiles<Weight>(c.in.channels));
    here = next;
  }
}

// Products of `count` tiles whose inputs were transformed, some outputs at a time so that they stay in the
// first-level cache: finish(tile, first output, outputs, points of them).
template <class V, class In, class Out, class Weight, class Finish>
void multiply_panels(const TileConvolutionOf<In, Out, Weight>& c, int64_t count, int64_t outputs,
                     const TileScratch<Weight>& scratch, const Finish& finish) {
  for (int64_t first = 0; first < outputs; first += kPanel<V>) {
    const int64_t left = divide_up(outputs - first, V::kLanes) * V::kLanes;
    const int64_t panel = left < kPanel<V> ? left : kPanel<V>;
    multiply_points<V>(c, first, panel, static_cast<int>(count), scratch.inputs, scratch.products);
    for (int64_t i = 0; i < count; ++i)
      finish(i, first, panel, scratch.products + i * stride_of_tiles<Weight>(panel));
  }
}

// R: registers of the input's transform; V: of the products and the output's.
template <class R, class V, class In, class Out, class Weight>
void convolve_tile_block(const TileConvolutionOf<In, Out, Weight>& c, Tiles tiles, int64_t first,
                         int64_t count, int64_t outputs, const TileScratch<Weight>& scratch) {
  constexpr Tile kWhole{0, 0xffff, 0xffff, 0};
  TileOutputs<Out> to[kTilesPerBlock];
  for (int64_t i = 0; i < count; ++i)
    to[i] = outputs_of(c, TilePlace(c.in.width, tiles, first + i),
                       tiles.list != nullptr ? tiles.list[first + i] : kWhole);
  transform_inputs<R>(c, tiles, first, count, scratch);
  const auto finish = [&](int64_t i, int64_t output, int64_t panel, const float* points) {
    if (i + 1 < count) prefetch_outputs(to[i + 1], c.outputs, output);
    transform_output<V>(c, to[i], output, output + panel, points, panel, scratch.dump);
  };
  multiply_panels<V>(c, count, outputs, scratch, finish);
  if (tiles.list == nullptr) return;
  for (int64_t i = 0; i < count; ++i) zero_outputs(c, tiles.list[first + i], to[i]);
}

// W and N: the views of wide and narrow registers for the products.
template <class W, class N, class In, class Out, class Weight>
void convolve_tiles(const TileConvolutionOf<In, Out, Weight>& c, Tiles tiles, float* memory) {
  const TileScratch<Weight> scratch(c, memory);
  for (int64_t first = 0; first < tiles.count; first += kTilesPerBlock) {
    const int64_t left = tiles.count - first, count = left < kTilesPerBlock ? left : kTilesPerBlock;
    if (c.leading_only)
      convolve_tile_block<W, N>(c, tiles, first, count, c.leading, scratch);
    else
      convolve_tile_block<W, W>(c, tiles, first, count, c.outputs, scratch);
  }
}
