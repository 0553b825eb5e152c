// Winograd's convolutions over tiles; see winograd.h.
// Needs from the includer: an unnamed namespace; kernels.h; winograd/points-inl.h; isa/tile-inl.h; fill_up()
// of module/loops-inl.h.

// Where the 16 pixels of a tile go, and what is added to them. Pixels not written go to a dump.
template <class Out>
struct TileOutputs {
  Out* leading[kTilePixels];  // outputs [0, leading)
  Out* full[kTilePixels];     // the others
  const float* addend[kTilePixels];
};

// Outputs [0, channels) of one tile from its points.
template <class V, class In, class Out, class Weight>
void transform_output(const TileConvolutionOf<In, Out, Weight>& c, const TileOutputs<Out>& to,
                      int64_t channels, const float* points) {
  using Register = typename V::Register;
  for (int64_t channel = 0; channel < channels; channel += V::kLanes) {
    const Register bias = c.bias != nullptr ? V::load(c.bias + channel) : V::zero();
    Out* const* const out = channel < c.leading ? to.leading : to.full;
    PointsOf<Weight>::Type::template output<V>(
        points + channel, c.outputs, [&](int y, const Register pixels[kTileSize]) {
#pragma GCC unroll 4
          for (int x = 0; x < kTileSize; ++x) {
            Register value = V::add(pixels[x], bias);
            if (c.addend.data != nullptr)
              value = V::add(value, V::load(to.addend[y * kTileSize + x] + channel));
            if (c.relu) value = V::relu(value);
            V::store(out[y * kTileSize + x] + channel, value);
          }
        });
  }
}

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

template <class In, class Out, class Weight>
inline void point_at_outputs(const TileConvolutionOf<In, Out, Weight>& c, TilePlace at, const Tile& tile,
                             float* dump, TileOutputs<Out>* to) {
  Out* const nowhere = reinterpret_cast<Out*>(dump);
  for (int64_t i = 0; i < kTilePixels; ++i) {
    const int64_t y = at.y + i / kTileSize, x = at.x + i % kTileSize;
    const bool inside = y < c.in.height && x < c.in.width;
    Out* const out = inside ? c.out.row(y) + x * c.outputs : nowhere;
    to->full[i] = tile.full >> i & 1 ? out : nowhere;
    to->leading[i] = (tile.full | tile.leading) >> i & 1 ? out : nowhere;
    to->addend[i] = inside && c.addend.data != nullptr ? c.addend.row(y) + x * c.outputs : dump;
  }
}

// After all outputs are stored: the last leading vector may have spilled into the others.
template <class In, class Out, class Weight>
inline void zero_outputs(const TileConvolutionOf<In, Out, Weight>& c, const Tile& tile,
                         const TileOutputs<Out>& to) {
  for (int64_t i = 0; i < kTilePixels; ++i)
    if (tile.zero >> i & 1)
      for (int64_t k = c.leading; k < c.outputs; ++k) to.leading[i][k] = 0;
}

// Values between the transformed inputs, or outputs, of a block's tiles.
template <class Weight>
constexpr int64_t stride_of_tiles(int64_t channels) {
  return tile_stride(PointsOf<Weight>::Type::kMatrices * PointsOf<Weight>::Type::kParts, channels);
}

// Sums over input channels, one matrix after the other: [tiles * parts][inputs] x [inputs][outputs]. from:
// [tile] [part][matrix][inputs]; to: [tile][part][matrix][outputs].
template <class V, class AnyConvolution>
void multiply_points(const AnyConvolution& c, int64_t outputs, int tiles, const typename V::Input* from,
                     float* to) {
  using Points = typename PointsOf<typename V::Input>::Type;
  static_assert(kTilesPerBlock * Points::kParts <= kBlockPixels);
  const int64_t in_stride = stride_of_tiles<typename V::Input>(c.in.channels);
  const int64_t out_stride = stride_of_tiles<typename V::Input>(c.outputs);
  BlockFor<V> block;
  block.segments = 1;
  block.depth[0] = c.in.channels;
  block.weights_stride = c.outputs;
  block.segment_stride = 0;
  block.bias = nullptr;
  block.resume = block.relu = false;
  for (int64_t matrix = 0; matrix < Points::kMatrices; ++matrix) {
    for (int slot = 0; slot < tiles * Points::kParts; ++slot) {
      const int64_t tile = slot / Points::kParts, part = slot % Points::kParts;
      const int64_t point = part * Points::kMatrices + matrix;
      block.in[0][slot] = from + tile * in_stride + point * c.in.channels;
      block.out[slot] = to + tile * out_stride + point * c.outputs;
    }
    fill_up(tiles * Points::kParts, &block);
    block.weights = c.weights + matrix * c.in.channels * c.outputs;
    multiply_block<V>(block, outputs);
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

// Products of tiles [first, first + count), at most a block of them. R: registers for the transforms, V: for
// the products.
template <class R, class V, class In, class Out, class Weight>
void multiply_tiles(const TileConvolutionOf<In, Out, Weight>& c, Tiles tiles, int64_t first, int64_t count,
                    int64_t outputs, const TileScratch<Weight>& scratch) {
  const auto window = [&](int64_t i) {
    return window_of(c.in, TilePlace(c.in.width, tiles, first + i),
                     reinterpret_cast<In*>(scratch.windows[i % 2]));
  };
  Window<In> here = window(0);
  for (int64_t i = 0; i < count; ++i) {
    const Window<In> next = i + 1 < count ? window(i + 1) : here;
    PointsOf<Weight>::Type::template input<R>(here, next, c.in.channels,
                                              scratch.inputs + i * stride_of_tiles<Weight>(c.in.channels));
    here = next;
  }
  multiply_points<V>(c, outputs, static_cast<int>(count), scratch.inputs, scratch.products);
}

// R: registers of the input's transform; V: of the products and the output's.
template <class R, class V, class In, class Out, class Weight>
void convolve_tile_block(const TileConvolutionOf<In, Out, Weight>& c, Tiles tiles, int64_t first,
                         int64_t count, int64_t outputs, const TileScratch<Weight>& scratch) {
  multiply_tiles<R, V>(c, tiles, first, count, outputs, scratch);
  for (int64_t i = 0; i < count; ++i) {
    const Tile whole{0, 0xffff, 0xffff, 0}, &tile = tiles.list != nullptr ? tiles.list[first + i] : whole;
    TileOutputs<Out> to;
    point_at_outputs(c, TilePlace(c.in.width, tiles, first + i), tile, scratch.dump, &to);
    transform_output<V>(c, to, outputs, scratch.products + i * stride_of_tiles<Weight>(c.outputs));
    zero_outputs(c, tile, to);
  }
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
