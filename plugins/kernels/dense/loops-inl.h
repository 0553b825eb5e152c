// Convolutions of every pixel, see dense_kernels.h.
// Needs from the includer: an unnamed namespace with the type Wide; kernels.h; isa/views-inl.h;
// winograd/loops-inl.h.

using DenseBlock = BlockFor<Single<Wide>>;

inline DenseBlock describe_block(const PixelConvolution& c) {
  DenseBlock block;
  block.segments = c.taps;
  for (int s = 0; s < c.taps; ++s) block.depth[s] = c.in.channels;
  block.weights = c.weights;
  block.weights_stride = c.outputs;
  block.segment_stride = c.in.channels * c.outputs;
  block.bias = c.bias;
  block.adds = false;
  block.relu = c.relu;
  block.stream = c.taps == 1;
  return block;
}

void convolve_pixels(const PixelConvolution& c, int64_t first, int64_t count, const float* addend,
                     float* out) {
  DenseBlock block = describe_block(c);
  const PaddedImageOf<float>& in = c.in;
  int64_t y = first / in.width, x = first - y * in.width;
  NeighboursOf<float> near;
  near.move(in, y);
  block.adds = addend != nullptr;
  for (int64_t i = 0; i < count; i += kBlockPixels) {
    const int used = static_cast<int>(count - i < kBlockPixels ? count - i : kBlockPixels);
    float* const to = out + i * c.outputs;
    for (int slot = 0; slot < used; ++slot, ++x) {
      if (x == in.width) {
        x = 0;
        near.move(in, ++y);
      }
      if (c.taps == 9)
        point_at_taps(in, near, x, slot, &block);
      else
        block.in[0][slot] = in.rows.data + (first + i + slot) * in.channels;
      block.out[slot] = to + slot * c.outputs;
      if (block.adds) block.addend[slot] = addend + (i + slot) * c.outputs;
    }
    fill_up(used, &block);
    multiply_block<Single<Wide>>(block, c.outputs);
  }
}

// Outputs are computed in groups that are one or more whole registers of any instruction set.
constexpr int kPooledGroup = contract::kLanePadding;
constexpr int kPooledPixels = kBlockPixels / 4;

// out = average of four pixels, kPooledGroup values each.
inline void average(const float* four, float* out) {
  static constexpr float kQuarter = 0.25f;
  typename Wide::Register factor = Wide::broadcast(&kQuarter), zero = Wide::zero();
  for (int k = 0; k < kPooledGroup; k += Wide::kLanes) {
    const typename Wide::Register upper =
        Wide::add(Wide::load(four + k), Wide::load(four + kPooledGroup + k));
    const typename Wide::Register lower =
        Wide::add(Wide::load(four + 2 * kPooledGroup + k), Wide::load(four + 3 * kPooledGroup + k));
    Wide::store(out + k, Wide::multiply_add(Wide::add(upper, lower), factor, zero));
  }
}

// The two rows below each other that row y of the pooled image is made of.
struct RowPair {
  NeighboursOf<float> near[2];
  void move(const PaddedImageOf<float>& in, int64_t y) {
    near[0].move(in, 2 * y);
    near[1].move(in, 2 * y + 1 < in.height ? 2 * y + 1 : 2 * y);
  }
};

// Four slots for every pooled pixel; at odd borders some pixels are computed twice.
void convolve_pooled(const PixelConvolution& c, int64_t first, int64_t count, float* out) {
  DenseBlock block = describe_block(c);
  const PaddedImageOf<float>& in = c.in;
  const int64_t width = pooled_size(in.width);
  float full[kBlockPixels * kPooledGroup];
  for (int slot = 0; slot < kBlockPixels; ++slot) block.out[slot] = full + slot * kPooledGroup;
  int64_t y = first / width, x = first - y * width;
  RowPair rows;
  rows.move(in, y);
  for (int64_t i = 0; i < count; i += kPooledPixels) {
    const int used = static_cast<int>(count - i < kPooledPixels ? count - i : kPooledPixels);
    for (int p = 0; p < used; ++p, ++x) {
      if (x == width) {
        x = 0;
        rows.move(in, ++y);
      }
      const int64_t left = 2 * x, right = left + 1 < in.width ? left + 1 : left;
      for (int k = 0; k < 4; ++k)
        point_at_taps(in, rows.near[k / 2], k % 2 == 0 ? left : right, 4 * p + k, &block);
    }
    fill_up(4 * used, &block);
    for (int64_t group = 0; group < c.outputs; group += kPooledGroup) {
      block.weights = c.weights + group;
      block.bias = c.bias + group;
      multiply_block<Single<Wide>>(block, kPooledGroup);
      for (int p = 0; p < used; ++p) average(full + 4 * p * kPooledGroup, out + (i + p) * c.outputs + group);
    }
  }
}

// Two rows of a tile, ReLU applied, pooled to two pixels.
template <class V>
inline void pool_rows(const typename V::Register upper[kTileSize],
                      const typename V::Register lower[kTileSize], typename V::Register out[2]) {
  static constexpr float kQuarter = 0.25f;
  for (int x = 0; x < 2; ++x)
    out[x] = V::multiply_add(
        V::add(V::add(upper[2 * x], upper[2 * x + 1]), V::add(lower[2 * x], lower[2 * x + 1])),
        V::broadcast(&kQuarter), V::zero());
}

// Outputs [first, first + panel) of one tile from its points, as its four pooled pixels. The image ends after
// `rows` rows and `columns` columns of the tile, where the last ones are repeated.
template <class V, class Weight>
void transform_output_pooled(const TileConvolutionOf<float, float, Weight>& c, int64_t first, int64_t panel,
                             const float* points, int64_t rows, int64_t columns, float* const out[4]) {
  using Register = typename V::Register;
  for (int64_t channel = first; channel < first + panel; channel += V::kLanes, points += V::kLanes) {
    const Register bias = V::load(c.bias + channel);
    Register above[kTileSize];
    const auto take_row = [&](int y, Register pixels[kTileSize]) {
#pragma GCC unroll 4
      for (int x = 0; x < kTileSize; ++x) pixels[x] = V::relu(V::add(pixels[x], bias));
      if (columns == 1) pixels[1] = pixels[0];
      if (columns == 3) pixels[3] = pixels[2];
      if (y % 2 == 0) {
#pragma GCC unroll 4
        for (int x = 0; x < kTileSize; ++x) above[x] = pixels[x];
        return;
      }
      Register pooled[2];
      pool_rows<V>(above, y < rows ? pixels : above, pooled);
      V::store(out[y - 1] + channel, pooled[0]);
      V::store(out[y] + channel, pooled[1]);
    };
    PointsOf<Weight>::Type::template output<V>(points, panel, take_row);
  }
}

template <class V, class Weight>
void convolve_pooled_tiles(const TileConvolutionOf<float, float, Weight>& c, Tiles tiles, float* memory) {
  const TileScratch<Weight> scratch(c, memory);
  const int64_t height = pooled_size(c.in.height), width = pooled_size(c.in.width);
  for (int64_t first = 0; first < tiles.count; first += kTilesPerBlock) {
    const int64_t left = tiles.count - first, count = left < kTilesPerBlock ? left : kTilesPerBlock;
    transform_inputs<V>(c, tiles, first, count, scratch);
    const auto finish = [&](int64_t i, int64_t output, int64_t panel, const float* points) {
      const TilePlace at(c.in.width, tiles, first + i);
      float* out[4];
      for (int64_t k = 0; k < 4; ++k) {
        const int64_t y = at.y / 2 + k / 2, x = at.x / 2 + k % 2;
        out[k] = y < height && x < width ? c.out.row(y) + x * c.outputs : scratch.dump;
      }
      transform_output_pooled<V>(c, output, panel, points, c.in.height - at.y, c.in.width - at.x, out);
    };
    multiply_panels<V>(c, count, c.outputs, scratch, finish);
  }
}
