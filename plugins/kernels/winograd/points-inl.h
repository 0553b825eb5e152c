// Winograd's transforms, see winograd.h: which points, and how a tile is cut. Channels are the lanes, so the
// transforms are sums of whole registers.
// Needs from the includer: an unnamed namespace; winograd.h; isa/register.h.

// The 6x6 input pixels of a tile: pixel (y, x) begins at row[y] + x * step[y].
template <class In>
struct Window {
  const In* row[kWindowSize];
  int64_t step[kWindowSize];  // 0: a row of zeros outside the image
};

// Prefetches those pixels of the next tile that a tile to its left would not share: tiles of a mask break up
// the runs that the hardware could foresee. One call per cache line.
template <class In>
inline void prefetch_row(const Window<In>& next, int y, int64_t channel) {
  if (channel * sizeof(In) % kCacheLine != 0) return;
  const In* const from = next.row[y] + channel;
  const int64_t step = next.step[y];
#pragma GCC unroll 6
  for (int x = 2; x < kWindowSize; ++x) __builtin_prefetch(from + x * step);
}

// Points 0, 1, -1, 1/2, -2 and infinity: the least rounding in float32 (docs/adr/0004-winograd.md).
struct FloatPoints {
  static constexpr int kMatrices = kWinogradPoints, kParts = 1;

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

  // The window to 36 points of `channels` floats.
  template <class V, class In>
  static void input(const Window<In>& window, const Window<In>& next, int64_t channels, float* points) {
    using Register = typename V::Register;
    const int64_t below = kWindowSize * channels;
    for (int64_t c = 0; c < channels; c += V::kLanes) {
      Register rows[kWindowSize][kWindowSize];
#pragma GCC unroll 6
      for (int y = 0; y < kWindowSize; ++y) {
        const In* const from = window.row[y] + c;
        const int64_t step = window.step[y];
        Register line[kWindowSize];
#pragma GCC unroll 6
        for (int x = 0; x < kWindowSize; ++x) line[x] = V::load(from + x * step);
        input_line<V>(line, rows[y]);
        prefetch_row(next, y, c);
      }
      float* to = points + c;
#pragma GCC unroll 6
      for (int x = 0; x < kWindowSize; ++x, to += channels) {
        Register line[kWindowSize], out[kWindowSize];
#pragma GCC unroll 6
        for (int y = 0; y < kWindowSize; ++y) line[y] = rows[y][x];
        input_line<V>(line, out);
#pragma GCC unroll 6
        for (int y = 0; y < kWindowSize; ++y) V::store(to + y * below, out[y]);
      }
    }
  }

  // One register of a tile from its points, `stride` floats apart: finish(y, row of pixels), y = 0 .. 3.
  template <class V, class Finish>
  static inline void output(const float* points, int64_t stride, const Finish& finish) {
    using Register = typename V::Register;
    Register columns[kWindowSize][kTileSize];
#pragma GCC unroll 6
    for (int x = 0; x < kWindowSize; ++x) {
      Register line[kWindowSize];
#pragma GCC unroll 6
      for (int y = 0; y < kWindowSize; ++y) line[y] = V::load(points + (y * kWindowSize + x) * stride);
      output_line<V>(line, columns[x]);
    }
#pragma GCC unroll 4
    for (int y = 0; y < kTileSize; ++y) {
      Register line[kWindowSize], pixels[kTileSize];
#pragma GCC unroll 6
      for (int x = 0; x < kWindowSize; ++x) line[x] = columns[x][y];
      output_line<V>(line, pixels);
      finish(y, pixels);
    }
  }
};

// Where multiplicands are reduced: F(4, 3) along rows with points 0, 2/3, -2/3, 3/2, -3/2 and infinity, the
// least rounding of all; F(2, 3) down columns with 0, 1, -1 and infinity
// (docs/adr/0005-reduced-precision.md). A tile is two parts of 2x4 pixels that share the 24 matrices of
// weights.
struct ReducedPoints {
  static constexpr int kMatrices = kReducedPoints, kParts = kReducedParts, kPartRows = 2, kPartWindow = 4;
  // The points' squares p, q with p * q = 1, p + q = s.
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

  // Rows [first, end) of the window, transformed along.
  template <class V, int first, int end, class In>
  static inline void input_rows(const Window<In>& window, const Window<In>& next, int64_t c,
                                typename V::Register rows[kWindowSize][kWindowSize]) {
#pragma GCC unroll 4
    for (int y = first; y < end; ++y) {
      const In* const from = window.row[y] + c;
      const int64_t step = window.step[y];
      typename V::Register line[kWindowSize];
#pragma GCC unroll 6
      for (int x = 0; x < kWindowSize; ++x) line[x] = V::load(from + x * step);
      input_line<V>(line, rows[y]);
      prefetch_row(next, y, c);
    }
  }

  // The 24 points of a part from its transformed rows.
  template <class V>
  static inline void input_part(const typename V::Register rows[kPartWindow][kWindowSize], int64_t channels,
                                Reduced* to) {
#pragma GCC unroll 6
    for (int x = 0; x < kWindowSize; ++x, to += channels) {
      const int64_t below = kWindowSize * channels;
      V::store(to, V::subtract(rows[0][x], rows[2][x]));
      V::store(to + below, V::add(rows[1][x], rows[2][x]));
      V::store(to + 2 * below, V::subtract(rows[2][x], rows[1][x]));
      V::store(to + 3 * below, V::subtract(rows[1][x], rows[3][x]));
    }
  }

  // The window to the 24 points of both parts; no more than four rows at a time fit the registers.
  template <class V, class In>
  static void input(const Window<In>& window, const Window<In>& next, int64_t channels, Reduced* points) {
    for (int64_t c = 0; c < channels; c += V::kLanes) {
      typename V::Register rows[kWindowSize][kWindowSize];
      input_rows<V, 0, 4>(window, next, c, rows);
      input_part<V>(rows, channels, points + c);
      input_rows<V, 4, 6>(window, next, c, rows);
      input_part<V>(rows + 2, channels, points + tile_stride(kMatrices, channels) + c);
    }
  }

  // As FloatPoints::output.
  template <class V, class Finish>
  static inline void output(const float* points, int64_t stride, const Finish& finish) {
    using Register = typename V::Register;
#pragma GCC unroll 2
    for (int part = 0; part < kParts; ++part, points += tile_stride(kMatrices, stride)) {
      Register rows[kPartWindow][kTileSize], upper[kTileSize], lower[kTileSize];
#pragma GCC unroll 4
      for (int y = 0; y < kPartWindow; ++y) {
        Register line[kWindowSize];
#pragma GCC unroll 6
        for (int x = 0; x < kWindowSize; ++x) line[x] = V::load(points + (y * kWindowSize + x) * stride);
        output_line<V>(line, rows[y]);
      }
#pragma GCC unroll 4
      for (int x = 0; x < kTileSize; ++x) {
        upper[x] = V::add(rows[0][x], V::add(rows[1][x], rows[2][x]));
        lower[x] = V::subtract(V::subtract(rows[1][x], rows[2][x]), rows[3][x]);
      }
      finish(kPartRows * part, upper);
      finish(kPartRows * part + 1, lower);
    }
  }
};

template <class Weight>
struct PointsOf;
template <>
struct PointsOf<float> {
  using Type = FloatPoints;
};
template <>
struct PointsOf<Reduced> {
  using Type = ReducedPoints;
};
