// The module's loops around the micro-kernel, over lists of pixels.
// Needs from the includer: an unnamed namespace with the types Wide and Narrow (isa/register.h); kernels.h;
// isa/tile-inl.h.

// The row of each pixel of a list: the list is in raster order, so rows are counted along the way.
struct Walk {
  int64_t width, y, row_begin, row_end;
  Walk(int64_t w, Pixel first)
      : width(w), y((first & ~kBesideActive) / w), row_begin(y * w), row_end(row_begin + w) {}
  bool new_row(Pixel pixel) {
    const int64_t before = y;
    while (static_cast<int64_t>(pixel) >= row_end) ++y, row_begin = row_end, row_end += width;
    return y != before;
  }
};

// The three input rows around a row of pixels; rows outside the image are one zero pixel (step 0).
template <class In>
struct NeighboursOf {
  const In* row[3];
  int64_t step[3];
  void move(const PaddedImageOf<In>& image, int64_t y) {
    for (int64_t k = 0; k < 3; ++k) {
      const int64_t from = y + k - 1;
      const bool inside = from >= 0 && from < image.height;
      row[k] = inside ? image.rows.row(from) : image.zeros;
      step[k] = inside ? image.channels : 0;
    }
  }
};

// The nine inputs of the pixel in column x, for slot `slot` of a block.
template <class In, class Out>
inline void point_at_taps(const PaddedImageOf<In>& image, const NeighboursOf<In>& near, int64_t x, int slot,
                          BlockOf<In, Out>* block) {
  for (int ky = 0; ky < 3; ++ky) {
    const In* centre = near.row[ky] + x * near.step[ky];
    block->in[3 * ky][slot] = x > 0 ? centre - near.step[ky] : image.zeros;
    block->in[3 * ky + 1][slot] = centre;
    block->in[3 * ky + 2][slot] = x + 1 < image.width ? centre + near.step[ky] : image.zeros;
  }
}

// Slots past the last pixel repeat it, so that every tile is full; they store the same values to the same
// place.
template <class AnyBlock>
inline void fill_up(int used, AnyBlock* block) {
  block->pixels = used;
  for (int slot = used; slot < used + kMaxTilePixels - 1; ++slot) {
    for (int s = 0; s < block->segments; ++s) block->in[s][slot] = block->in[s][used - 1];
    block->out[slot] = block->out[used - 1];
    if (block->adds) block->addend[slot] = block->addend[used - 1];
  }
}

// Output channels [0, outputs) of a 3x3 convolution for a list of pixels, from `depth` input channels.
template <class V>
void convolve(const ConvolutionOf<typename V::Input, typename V::Output>& c, Pixels pixels, int64_t depth,
              int64_t outputs) {
  if (outputs == 0) return;
  const int64_t channels = c.in.channels;
  BlockFor<V> block;
  block.segments = 9;
  for (int s = 0; s < 9; ++s) block.depth[s] = depth;
  block.weights = c.weights;
  block.weights_stride = channels;
  block.segment_stride = channels * channels;
  block.bias = nullptr;
  block.adds = false;
  block.relu = true;
  Walk walk(c.in.width, pixels.first[0]);
  NeighboursOf<typename V::Input> near;
  near.move(c.in, walk.y);
  typename V::Output* out = c.out.row(walk.y);
  for (int64_t i = 0; i < pixels.count; i += kBlockPixels) {
    const int used = static_cast<int>(pixels.count - i < kBlockPixels ? pixels.count - i : kBlockPixels);
    for (int slot = 0; slot < used; ++slot) {
      const Pixel pixel = pixels.first[i + slot] & ~kBesideActive;
      if (walk.new_row(pixel)) {
        near.move(c.in, walk.y);
        out = c.out.row(walk.y);
      }
      const int64_t x = static_cast<int64_t>(pixel) - walk.row_begin;
      point_at_taps(c.in, near, x, slot, &block);
      block.out[slot] = out + x * channels;
    }
    fill_up(used, &block);
    multiply_block<V>(block, outputs);
  }
}

template <class V>
void convolve_active(const ConvolutionOf<typename V::Input, typename V::Output>& c, Pixels pixels) {
  convolve<V>(c, pixels, c.in.channels, c.in.channels);
}

template <class In, class Out>
void zero_sparse_channels(const ConvolutionOf<In, Out>& c, Pixels pixels) {
  const int64_t width = c.in.width, channels = c.in.channels;
  for (int64_t i = 0; i < pixels.count; ++i) {
    if (!(pixels.first[i] & kBesideActive)) continue;
    const int64_t pixel = pixels.first[i] & ~kBesideActive, y = pixel / width;
    Out* const out = c.out.row(y) + (pixel - y * width) * channels;
    for (int64_t k = c.dense_out; k < channels; ++k) out[k] = 0;
  }
}

template <class V>
void convolve_inactive(const ConvolutionOf<typename V::Input, typename V::Output>& c, Pixels pixels) {
  convolve<V>(c, pixels, c.dense_in, c.dense_out);
  // After the convolution: its last vector may have spilled into the sparse channels.
  if (c.zero_sparse) zero_sparse_channels(c, pixels);
}

// Layers [first, first + block->segments) of the collect; later groups continue from what `out` holds.
template <class V>
inline void collect_layers(const CollectOf<typename V::Input>& c, Pixels pixels, int64_t first,
                           BlockFor<V>* block) {
  for (int s = 0; s < block->segments; ++s) block->depth[s] = c.depth[first + s];
  block->weights = c.weight + first * c.channels * c.channels;
  block->adds = first > 0;
  block->bias = first > 0 ? nullptr : c.bias;
  for (int64_t i = 0; i < pixels.count; i += kBlockPixels) {
    const int used = static_cast<int>(pixels.count - i < kBlockPixels ? pixels.count - i : kBlockPixels);
    for (int slot = 0; slot < used; ++slot) {
      const int64_t pixel = pixels.first[i + slot] & ~kBesideActive;
      const int64_t y = pixel / c.width, x = pixel - y * c.width;
      for (int s = 0; s < block->segments; ++s) block->in[s][slot] = c.in[first + s].row(y) + x * c.channels;
      block->addend[slot] = block->out[slot] = c.out.row(y) + x * c.channels;
    }
    fill_up(used, block);
    multiply_block<V>(*block, c.channels);
  }
}

template <class V>
void collect(const CollectOf<typename V::Input>& c, Pixels pixels) {
  BlockFor<V> block;
  block.weights_stride = c.channels;
  block.segment_stride = c.channels * c.channels;
  block.relu = false;
  for (int64_t first = 0; first < c.layers; first += kMaxSegments) {
    const int64_t left = c.layers - first;
    block.segments = static_cast<int>(left < kMaxSegments ? left : kMaxSegments);
    collect_layers<V>(c, pixels, first, &block);
  }
}

void sum_row(const float* row, int64_t pixels, int64_t channels, float* sum) {
  for (int64_t c = 0; c < channels; c += Wide::kLanes) {
    typename Wide::Register total = Wide::zero();
    for (int64_t x = 0; x < pixels; ++x) total = Wide::add(total, Wide::load(row + x * channels + c));
    Wide::store(sum + c, total);
  }
}

void scale_add_row(float* out, const float* row, const float* residual, const float* scale, int64_t pixels,
                   int64_t channels) {
  for (int64_t x = 0; x < pixels; ++x, out += channels, row += channels, residual += channels)
    for (int64_t c = 0; c < channels; c += Wide::kLanes)
      Wide::store(out + c,
                  Wide::multiply_add(Wide::load(row + c), Wide::load(scale + c), Wide::load(residual + c)));
}

// Twelve independent chains in registers: enough to hide the latency of multiply-add on all known cores.
// Their start values differ, or the compiler would compute one chain and copy it.
double peak(int64_t rounds) {
  constexpr int kChains = 12;
  typename Wide::Register sum[kChains];
  float value[kChains];
  for (int i = 0; i < kChains; ++i) value[i] = 0.001f * static_cast<float>(i + 1);
  const typename Wide::Register a = Wide::broadcast(value), b = Wide::broadcast(value + 1);
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) sum[i] = Wide::broadcast(value + i);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sum[i] = Wide::multiply_add(a, sum[i], b);
  }
  float out[kChains * Wide::kLanes];
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) Wide::store(out + i * Wide::kLanes, sum[i]);
  volatile float keep = 0.0f;
  for (float one : out) keep = keep + one;
  return static_cast<double>(rounds * kChains * Wide::kLanes);
}
