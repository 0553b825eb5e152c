// The loops around the micro-kernel, over lists of pixels. Included like tile.h, after the types
// Wide and Narrow: registers of all output channels, and of the few dense outputs of inactive pixels.

#include "tile.h"

// Where the pixels of a list are, found by walking along: the list is in raster order.
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

// The three input rows around a pixel; rows outside the image are one zero pixel (step 0).
struct Neighbours {
  const float* row[3];
  int64_t step[3];
  void move(const Convolution& c, int64_t y) {
    for (int64_t k = 0; k < 3; ++k) {
      const int64_t from = y + k - 1;
      const bool inside = from >= 0 && from < c.height;
      row[k] = inside ? c.in.row(from) : c.zeros;
      step[k] = inside ? c.channels : 0;
    }
  }
};

inline void point_at_taps(const Convolution& c, const Neighbours& near, int64_t x, int slot, Tile* tile) {
  for (int ky = 0; ky < 3; ++ky) {
    const float* centre = near.row[ky] + x * near.step[ky];
    tile->in[3 * ky][slot] = x > 0 ? centre - near.step[ky] : c.zeros;
    tile->in[3 * ky + 1][slot] = centre;
    tile->in[3 * ky + 2][slot] = x + 1 < c.width ? centre + near.step[ky] : c.zeros;
  }
}

// Slots past `used` repeat the last pixel, so that every tile is full; they store the same values to the same
// place.
inline void fill_up(int used, int slots, Tile* tile) {
  for (int slot = used; slot < slots; ++slot) {
    for (int s = 0; s < tile->segments; ++s) tile->in[s][slot] = tile->in[s][used - 1];
    tile->out[slot] = tile->out[used - 1];
  }
}

// Calls make(first vector's channel, vectors) for panels that cover output channels [0, channels).
template <class V, class Make>
inline void for_each_panel(int64_t channels, const Make& make) {
  const int64_t total = (channels + V::kLanes - 1) / V::kLanes;
  for (int64_t done = 0; done < total; done += V::kVectors)
    make(done * V::kLanes, static_cast<int>(total - done < V::kVectors ? total - done : V::kVectors));
}

// Output channels [0, outputs) of a 3x3 convolution for a list of pixels, from `depth` input channels.
template <class V>
inline void convolve(const Convolution& c, Pixels pixels, int64_t depth, int64_t outputs) {
  Tile tile;
  tile.segments = 9;
  for (int s = 0; s < 9; ++s) tile.depth[s] = depth;
  tile.weights = c.weights;
  tile.weights_stride = c.channels;
  tile.segment_stride = c.channels * c.channels;
  tile.bias = nullptr;
  tile.resume = false;
  tile.relu = true;
  for_each_panel<V>(outputs, [&](int64_t channel, int vectors) {
    const int slots = V::rows(vectors);
    Walk walk(c.width, pixels.first[0]);
    Neighbours near;
    near.move(c, walk.y);
    float* out = c.out.row(walk.y);
    for (int64_t i = 0; i < pixels.count; i += slots) {
      const int used = static_cast<int>(pixels.count - i < slots ? pixels.count - i : slots);
      for (int slot = 0; slot < used; ++slot) {
        const Pixel pixel = pixels.first[i + slot] & ~kBesideActive;
        if (walk.new_row(pixel)) {
          near.move(c, walk.y);
          out = c.out.row(walk.y);
        }
        const int64_t x = static_cast<int64_t>(pixel) - walk.row_begin;
        point_at_taps(c, near, x, slot, &tile);
        tile.out[slot] = out + x * c.channels;
      }
      fill_up(used, slots, &tile);
      multiply_panel<V>(tile, channel, vectors);
    }
  });
}

void convolve_active(const Convolution& c, Pixels pixels) {
  convolve<Wide>(c, pixels, c.channels, c.channels);
}

void zero_sparse_channels(const Convolution& c, Pixels pixels) {
  for (int64_t i = 0; i < pixels.count; ++i) {
    if (!(pixels.first[i] & kBesideActive)) continue;
    const int64_t pixel = pixels.first[i] & ~kBesideActive, y = pixel / c.width;
    float* out = c.out.row(y) + (pixel - y * c.width) * c.channels;
    for (int64_t k = c.dense_out; k < c.channels; ++k) out[k] = 0.0f;
  }
}

void convolve_inactive(const Convolution& c, Pixels pixels) {
  convolve<Narrow>(c, pixels, c.dense_in, c.dense_out);
  // After the convolution: its last vector may have spilled into the sparse channels.
  if (c.zero_sparse) zero_sparse_channels(c, pixels);
}

// Layers [first, first + tile.segments) of the collect; later groups go on from what `out` holds.
inline void collect_layers(const Collect& c, Pixels pixels, int64_t first, Tile* tile) {
  for (int s = 0; s < tile->segments; ++s) tile->depth[s] = c.depth[first + s];
  tile->weights = c.weight + first * c.channels * c.channels;
  tile->resume = first > 0;
  for_each_panel<Wide>(c.channels, [&](int64_t channel, int vectors) {
    const int slots = Wide::rows(vectors);
    for (int64_t i = 0; i < pixels.count; i += slots) {
      const int used = static_cast<int>(pixels.count - i < slots ? pixels.count - i : slots);
      for (int slot = 0; slot < used; ++slot) {
        const int64_t pixel = pixels.first[i + slot] & ~kBesideActive;
        const int64_t y = pixel / c.width, x = pixel - y * c.width;
        for (int s = 0; s < tile->segments; ++s) tile->in[s][slot] = c.in[first + s].row(y) + x * c.channels;
        tile->out[slot] = c.out.row(y) + x * c.channels;
      }
      fill_up(used, slots, tile);
      multiply_panel<Wide>(*tile, channel, vectors);
    }
  });
}

void collect(const Collect& c, Pixels pixels) {
  Tile tile;
  tile.weights_stride = c.channels;
  tile.segment_stride = c.channels * c.channels;
  tile.bias = c.bias;
  tile.relu = false;
  for (int64_t first = 0; first < c.layers; first += kMaxSegments) {
    const int64_t left = c.layers - first;
    tile.segments = static_cast<int>(left < kMaxSegments ? left : kMaxSegments);
    collect_layers(c, pixels, first, &tile);
  }
}

void sum_row(const float* row, int64_t pixels, int64_t channels, float* sum) {
  for (int64_t c = 0; c < channels; c += Wide::kLanes) {
    typename Wide::Register total = Wide::zero();
    for (int64_t x = 0; x < pixels; ++x) total = Wide::add(total, Wide::load(row + x * channels + c));
    Wide::store(sum + c, total);
  }
}

void scale_add_row(float* row, const float* residual, const float* scale, int64_t pixels, int64_t channels) {
  for (int64_t x = 0; x < pixels; ++x, row += channels, residual += channels)
    for (int64_t c = 0; c < channels; c += Wide::kLanes)
      Wide::store(row + c,
                  Wide::multiply_add(Wide::load(row + c), Wide::load(scale + c), Wide::load(residual + c)));
}

// Twelve independent chains in registers: enough to hide the latency of multiply-add on any core we know.
double peak(int64_t rounds) {
  typename Wide::Register sum[12];
  const float one = 1.0f, small = 1e-9f;
  const typename Wide::Register a = Wide::broadcast(&one), b = Wide::broadcast(&small);
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) sum[i] = Wide::zero();
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sum[i] = Wide::multiply_add(a, sum[i], b);
  }
  float out[12 * Wide::kLanes];
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) Wide::store(out + i * Wide::kLanes, sum[i]);
  volatile float keep = 0.0f;
  for (float value : out) keep = keep + value;
  return static_cast<double>(rounds) * 12.0 * Wide::kLanes;
}
