// Winograd's F(4x4, 3x3) over tiles; see winograd.h. Included by loops.h. Channels are the lanes, so the
// transforms are sums of whole registers.

// Points 0, 1, -1, 1/2, -2 and infinity: the least rounding in float32 (docs/adr/0004-winograd.md).
struct FloatPoints {
  // One line of B^T d.
  template <class V>
  static inline void input_line(const typename V::Register d[kWindowSize],
                                   typename V::Register out[kWindowSize]) {
    static constexpr float kHalf = 0.5f, kOneHalf = 1.5f, kTwo = 2.0f, kTwoHalf = 2.5f;
    static constexpr float kMinusHalf = -0.5f, kMinusTwo = -2.0f, kMinusTwoHalf = -2.5f;
    using Register = typename V::Register;
    const Register u = V::subtract(d[4], d[2]), v = V::subtract(d[3], d[1]);
    out[0] = V::multiply_add(v, V::broadcast(&kOneHalf),
                             V::multiply_add(d[2], V::broadcast(&kMinusTwo), V::add(d[0], d[4])));
    out[1] = V::multiply_add(d[3], V::broadcast(&kTwoHalf),
                             V::multiply_add(d[2], V::broadcast(&kHalf), V::subtract(d[4], d[1])));
    out[2] = V::multiply_add(d[2], V::broadcast(&kMinusTwoHalf),
                             V::multiply_add(d[3], V::broadcast(&kHalf), V::add(d[4], d[1])));
    out[3] = V::multiply_add(v, V::broadcast(&kTwo), u);
    out[4] = V::multiply_add(v, V::broadcast(&kMinusHalf), u);
    out[5] = V::multiply_add(u, V::broadcast(&kOneHalf),
                             V::multiply_add(d[3], V::broadcast(&kMinusTwo), V::add(d[1], d[5])));
  }

  // One line of A^T m.
  template <class V>
  static inline void output_line(const typename V::Register m[kWindowSize],
                                    typename V::Register out[kTileSize]) {
    static constexpr float kHalf = 0.5f, kQuarter = 0.25f, kEighth = 0.125f;
    static constexpr float kMinusTwo = -2.0f, kFour = 4.0f, kMinusEight = -8.0f;
    using Register = typename V::Register;
    const Register sum = V::add(m[1], m[2]), difference = V::subtract(m[1], m[2]);
    out[0] = V::add(V::add(m[0], sum), V::add(m[3], m[4]));
    out[1] = V::multiply_add(m[4], V::broadcast(&kMinusTwo),
                             V::multiply_add(m[3], V::broadcast(&kHalf), difference));
    out[2] = V::multiply_add(m[4], V::broadcast(&kFour), V::multiply_add(m[3], V::broadcast(&kQuarter), sum));
    out[3] = V::add(m[5], V::multiply_add(m[4], V::broadcast(&kMinusEight),
                                          V::multiply_add(m[3], V::broadcast(&kEighth), difference)));
  }
};

// Points 0, 2/3, -2/3, 3/2, -3/2 and infinity: the least rounding where the multiplicands are reduced, the
// transforms float32 (docs/adr/0005-reduced-precision.md). Squares p, q with p * q = 1, p + q = s.
struct ReducedPoints {
  static constexpr float kA = 2.0f / 3.0f, kB = 1.5f, kP = 4.0f / 9.0f, kQ = 2.25f;
  static constexpr float kMinusA = -kA, kMinusB = -kB, kMinusP = -kP, kMinusQ = -kQ, kMinusS = -97.0f / 36.0f;
  static constexpr float kA3 = 8.0f / 27.0f, kB3 = 3.375f;

  // One line of B^T d.
  template <class V>
  static inline void input_line(const typename V::Register d[kWindowSize],
                                typename V::Register out[kWindowSize]) {
    using Register = typename V::Register;
    const Register even_a = V::multiply_add(d[2], V::broadcast(&kMinusQ), d[4]);
    const Register odd_a = V::multiply_add(d[1], V::broadcast(&kMinusQ), d[3]);
    const Register even_b = V::multiply_add(d[2], V::broadcast(&kMinusP), d[4]);
    const Register odd_b = V::multiply_add(d[1], V::broadcast(&kMinusP), d[3]);
    out[0] = V::multiply_add(d[2], V::broadcast(&kMinusS), V::add(d[0], d[4]));
    out[1] = V::multiply_add(odd_a, V::broadcast(&kA), even_a);
    out[2] = V::multiply_add(odd_a, V::broadcast(&kMinusA), even_a);
    out[3] = V::multiply_add(odd_b, V::broadcast(&kB), even_b);
    out[4] = V::multiply_add(odd_b, V::broadcast(&kMinusB), even_b);
    out[5] = V::multiply_add(d[3], V::broadcast(&kMinusS), V::add(d[1], d[5]));
  }

  // One line of A^T m.
  template <class V>
  static inline void output_line(const typename V::Register m[kWindowSize],
                                 typename V::Register out[kTileSize]) {
    using Register = typename V::Register;
    const Register even_a = V::add(m[1], m[2]), odd_a = V::subtract(m[1], m[2]);
    const Register even_b = V::add(m[3], m[4]), odd_b = V::subtract(m[3], m[4]);
    const Register zero = V::zero();
    out[0] = V::add(m[0], V::add(even_a, even_b));
    out[1] = V::multiply_add(odd_a, V::broadcast(&kA), V::multiply_add(odd_b, V::broadcast(&kB), zero));
    out[2] = V::multiply_add(even_a, V::broadcast(&kP), V::multiply_add(even_b, V::broadcast(&kQ), zero));
    out[3] = V::multiply_add(odd_a, V::broadcast(&kA3), V::multiply_add(odd_b, V::broadcast(&kB3), m[5]));
  }
};

template <class Weight>
struct PointsOf {
  using Type = ReducedPoints;
};
template <>
struct PointsOf<float> {
  using Type = FloatPoints;
};

// The 6x6 pixels `window` to 36 points of `channels` floats. Asks for those of `next` that a tile to the left
// would not share: tiles of a mask break up the runs that the hardware could foresee.
template <class V, class In, class Weight>
void transform_input(const In* const window[kWinogradPoints], const In* const next[kWinogradPoints],
                     int64_t channels, Weight* points) {
  using Register = typename V::Register;
  using Points = typename PointsOf<Weight>::Type;
  for (int64_t c = 0; c < channels; c += V::kLanes) {
    Register rows[kWindowSize][kWindowSize];
#pragma GCC unroll 6
    for (int y = 0; y < kWindowSize; ++y) {
      Register line[kWindowSize];
#pragma GCC unroll 6
      for (int x = 0; x < kWindowSize; ++x) line[x] = V::load(window[y * kWindowSize + x] + c);
      Points::template input_line<V>(line, rows[y]);
#pragma GCC unroll 6
      for (int x = 2; x < kWindowSize; ++x) __builtin_prefetch(next[y * kWindowSize + x] + c);
    }
#pragma GCC unroll 6
    for (int x = 0; x < kWindowSize; ++x) {
      Register line[kWindowSize], out[kWindowSize];
#pragma GCC unroll 6
      for (int y = 0; y < kWindowSize; ++y) line[y] = rows[y][x];
      Points::template input_line<V>(line, out);
#pragma GCC unroll 6
      for (int y = 0; y < kWindowSize; ++y) V::store(points + (y * kWindowSize + x) * channels + c, out[y]);
    }
  }
}

// Where the 16 pixels of a tile go, and what is added to them. Pixels not written go to a dump.
template <class Out>
struct TileOutputs {
  Out* leading[16];  // outputs [0, leading)
  Out* full[16];     // the others
  const float* addend[16];
};

// Outputs [0, channels) of one tile from its 36 points.
template <class V, class In, class Out, class Weight>
void transform_output(const TileConvolutionOf<In, Out, Weight>& c, const TileOutputs<Out>& to,
                      int64_t channels, const float* points) {
  using Register = typename V::Register;
  using Points = typename PointsOf<Weight>::Type;
  for (int64_t channel = 0; channel < channels; channel += V::kLanes) {
    Register columns[kWindowSize][kTileSize];
#pragma GCC unroll 6
    for (int x = 0; x < kWindowSize; ++x) {
      Register line[kWindowSize];
#pragma GCC unroll 6
      for (int y = 0; y < kWindowSize; ++y)
        line[y] = V::load(points + (y * kWindowSize + x) * c.outputs + channel);
      Points::template output_line<V>(line, columns[x]);
    }
    const Register bias = c.bias != nullptr ? V::load(c.bias + channel) : V::zero();
    Out* const* const out = channel < c.leading ? to.leading : to.full;
#pragma GCC unroll 4
    for (int y = 0; y < kTileSize; ++y) {
      Register line[kWindowSize], pixels[kTileSize];
#pragma GCC unroll 6
      for (int x = 0; x < kWindowSize; ++x) line[x] = columns[x][y];
      Points::template output_line<V>(line, pixels);
#pragma GCC unroll 4
      for (int x = 0; x < kTileSize; ++x) {
        Register value = V::add(pixels[x], bias);
        if (c.addend.data != nullptr) value = V::add(value, V::load(to.addend[y * kTileSize + x] + channel));
        if (c.relu) value = V::relu(value);
        V::store(out[y * kTileSize + x] + channel, value);
      }
    }
  }
}

// Top left pixel of a tile.
struct TilePlace {
  int64_t y, x;
  template <class AnyConvolution>
  TilePlace(const AnyConvolution& c, Tiles tiles, int64_t i) {
    const int64_t along = tiles_along(c.width);
    const int64_t index = tiles.list != nullptr ? static_cast<int64_t>(tiles.list[i].index) : tiles.first + i;
    y = index / along * kTileSize;
    x = index % along * kTileSize;
  }
};

template <class In, class Out, class Weight>
inline void point_at_window(const TileConvolutionOf<In, Out, Weight>& c, TilePlace at,
                            const In* window[kWinogradPoints]) {
  for (int64_t ky = 0; ky < kWindowSize; ++ky) {
    const int64_t y = at.y + ky - 1;
    const bool inside = y >= 0 && y < c.height;
    const In* row = inside ? c.in.row(y) : nullptr;
    for (int64_t kx = 0; kx < kWindowSize; ++kx) {
      const int64_t x = at.x + kx - 1;
      window[ky * kWindowSize + kx] = inside && x >= 0 && x < c.width ? row + x * c.inputs : c.zeros;
    }
  }
}

template <class In, class Out, class Weight>
inline void point_at_outputs(const TileConvolutionOf<In, Out, Weight>& c, TilePlace at, const Tile& tile,
                             float* dump, TileOutputs<Out>* to) {
  Out* const nowhere = reinterpret_cast<Out*>(dump);
  for (int64_t i = 0; i < 16; ++i) {
    const int64_t y = at.y + i / kTileSize, x = at.x + i % kTileSize;
    const bool inside = y < c.height && x < c.width;
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
  for (int64_t i = 0; i < 16; ++i)
    if (tile.zero >> i & 1)
      for (int64_t k = c.leading; k < c.outputs; ++k) to.leading[i][k] = 0;
}

// Sums over input channels, point by point: [tiles x inputs] x [inputs x outputs].
template <class V, class AnyConvolution>
void multiply_points(const AnyConvolution& c, int64_t outputs, int tiles, const typename V::Input* from,
                     float* to) {
  BlockFor<V> block;
  block.segments = 1;
  block.depth[0] = c.inputs;
  block.weights_stride = c.outputs;
  block.segment_stride = 0;
  block.bias = nullptr;
  block.resume = block.relu = false;
  for (int64_t point = 0; point < kWinogradPoints; ++point) {
    for (int tile = 0; tile < tiles; ++tile) {
      block.in[0][tile] = from + tile * tile_stride(c.inputs) + point * c.inputs;
      block.out[tile] = to + tile * tile_stride(c.outputs) + point * c.outputs;
    }
    fill_up(tiles, &block);
    block.weights = c.weights + point * c.inputs * c.outputs;
    multiply_block<V>(block, outputs);
  }
}

// The scratch memory of one block; transformed inputs are of the weights' type.
template <class Weight>
struct TileScratch {
  Weight* inputs;
  float *products, *dump;
  template <class AnyConvolution>
  TileScratch(const AnyConvolution& c, float* scratch)
      : inputs(reinterpret_cast<Weight*>(scratch)),
        products(scratch + kTilesPerBlock * tile_stride(c.inputs)),
        dump(products + kTilesPerBlock * tile_stride(c.outputs)) {}
};

// Products of tiles [first, first + count), at most a block of them. R: registers for the transforms, V: for
// the products.
template <class R, class V, class In, class Out, class Weight>
void multiply_tiles(const TileConvolutionOf<In, Out, Weight>& c, Tiles tiles, int64_t first, int64_t count,
                    int64_t outputs, const TileScratch<Weight>& scratch) {
  const In* windows[2][kWinogradPoints];
  point_at_window(c, TilePlace(c, tiles, first), windows[0]);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t next = i + 1 < count ? i + 1 : i;
    point_at_window(c, TilePlace(c, tiles, first + next), windows[(i + 1) % 2]);
    transform_input<R>(windows[i % 2], windows[(i + 1) % 2], c.inputs,
                       scratch.inputs + i * tile_stride(c.inputs));
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
    point_at_outputs(c, TilePlace(c, tiles, first + i), tile, scratch.dump, &to);
    transform_output<V>(c, to, outputs, scratch.products + i * tile_stride(c.outputs));
    zero_outputs(c, tile, to);
  }
}

// W and N: wide and narrow registers as the products' multiplicands want them.
template <class W, class N, class In, class Out, class Weight>
void convolve_tile_list(const TileConvolutionOf<In, Out, Weight>& c, Tiles tiles, float* memory) {
  const TileScratch<Weight> scratch(c, memory);
  for (int64_t first = 0; first < tiles.count; first += kTilesPerBlock) {
    const int64_t left = tiles.count - first, count = left < kTilesPerBlock ? left : kTilesPerBlock;
    if (c.leading_only)
      convolve_tile_block<W, N>(c, tiles, first, count, c.leading, scratch);
    else
      convolve_tile_block<W, W>(c, tiles, first, count, c.outputs, scratch);
  }
}

void convolve_tiles(const TileConvolution& c, Tiles tiles, float* memory) {
  convolve_tile_list<Single<Wide>, Single<Narrow>>(c, tiles, memory);
}
