// The micro-kernel: Rows pixels x Vectors registers of output channels, indirect GEMM over segments (the nine
// taps of a 3x3 convolution, or the layers of the collect). Included by one source file per instruction set,
// inside an unnamed namespace: code compiled for one set must never be shared with another.

constexpr int kMaxSegments = 9;
constexpr int kMaxTilePixels = 12;

struct Tile {
  const float* in[kMaxSegments][kMaxTilePixels];  // first input channel of each pixel, per segment
  int64_t depth[kMaxSegments];                    // input channels to sum over, per segment
  int segments;
  const float* weights;    // of segment 0, input channel 0, output channel 0
  int64_t weights_stride;  // elements between input channels
  int64_t segment_stride;  // elements between segments
  float* out[kMaxTilePixels];
  const float* bias;  // added at the start, or null
  bool resume;        // start from what `out` holds
  bool relu;
};

template <class V>
inline typename V::Register start_value(const Tile& tile, int row, int64_t channel) {
  if (tile.resume) return V::load(tile.out[row] + channel);
  return tile.bias != nullptr ? V::load(tile.bias + channel) : V::zero();
}

// Outputs [channel, channel + Count * lanes) of RowCount pixels. The order of sums within a pixel depends
// on nothing but the segments, so any grouping of pixels into tiles gives the same bits.
template <class V, int RowCount, int Count>
void multiply(const Tile& tile, int64_t channel) {
  typename V::Register sum[RowCount][Count];
#pragma GCC unroll 12
  for (int r = 0; r < RowCount; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Count; ++v) sum[r][v] = start_value<V>(tile, r, channel + v * V::kLanes);

  for (int s = 0; s < tile.segments; ++s) {
    const float* weights = tile.weights + s * tile.segment_stride + channel;
    const float* in[RowCount];
#pragma GCC unroll 12
    for (int r = 0; r < RowCount; ++r) in[r] = tile.in[s][r];
    const int64_t depth = tile.depth[s];
    for (int64_t k = 0; k < depth; ++k, weights += tile.weights_stride) {
      typename V::Register w[Count];
#pragma GCC unroll 4
      for (int v = 0; v < Count; ++v) w[v] = V::load(weights + v * V::kLanes);
#pragma GCC unroll 12
      for (int r = 0; r < RowCount; ++r) {
        const typename V::Register a = V::broadcast(in[r] + k);
#pragma GCC unroll 4
        for (int v = 0; v < Count; ++v) sum[r][v] = V::multiply_add(a, w[v], sum[r][v]);
      }
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < RowCount; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Count; ++v)
      V::store(tile.out[r] + channel + v * V::kLanes, tile.relu ? V::relu(sum[r][v]) : sum[r][v]);
}

// Output channels [channel, end) of a tile of V::rows(width) pixels, width vectors at a time.
template <class V>
inline void multiply_panel(const Tile& tile, int64_t channel, int vectors) {
  switch (vectors) {
    case 1:
      return multiply<V, V::rows(1), 1>(tile, channel);
    case 2:
      return multiply<V, V::rows(2), 2>(tile, channel);
    case 3:
      return multiply<V, V::rows(3), 3>(tile, channel);
    default:
      return multiply<V, V::rows(4), 4>(tile, channel);
  }
}
