// The micro-kernel: a tile of pixels x registers of output channels, indirect GEMM over segments (the nine
// taps of a 3x3 convolution, or the layers of the collect). Needs from the includer: an unnamed namespace,
// because code compiled for one instruction set must never be shared with another; layout.h and
// isa/register.h.

constexpr int kMaxSegments = 9;
constexpr int kBlockPixels = 48;
constexpr int kMaxTilePixels = 12;
constexpr int kSlots = kBlockPixels + kMaxTilePixels - 1;

// Some pixels and where their inputs, weights and outputs are.
template <class In, class Out>
struct BlockOf {
  const In* in[kMaxSegments][kSlots];  // [segment][pixel] -> [input channels]
  Out* out[kSlots];                    // [pixel] -> [output channels]
  const Out* addend[kSlots];           // the same, added to the sums; used where `adds`
  int64_t depth[kMaxSegments];         // input channels to sum over, per segment
  int segments, pixels;
  const In* weights;       // [segment][input channel][output channel]
  int64_t weights_stride;  // elements between input channels
  int64_t segment_stride;  // elements between segments
  const float* bias;       // [output channels] to start from, or null
  bool adds;               // `addend`
  bool relu;               // at the end
  bool stream = false;     // one segment, whose pixels follow each other in memory
};
template <class V>
using BlockFor = BlockOf<typename V::Input, typename V::Output>;

// Adds to the sums [kRows][kCount] in registers: products of `depth` inputs of each row with weights, whose
// rows are `stride` elements apart. The order of sums within a row is that of its inputs: any grouping of
// rows gives the same bits. Also in registers: the weights w [kCount] of one step, and one row's input a for
// all lanes.
template <class V, int kRows, int kCount>
inline void add_products(const typename V::Input* const in[kRows], int64_t depth,
                         const typename V::Input* weights, int64_t stride,
                         typename V::Register sum[kRows][kCount]) {
  int64_t k = 0;
#pragma GCC unroll 2
  for (; k + V::kStep <= depth; k += V::kStep, weights += stride * V::kStep) {
    decltype(V::load_weights(weights)) w[kCount];
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) w[v] = V::load_weights(weights + v * V::kLanes * V::kStep);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const auto a = V::broadcast(in[r] + k);
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) sum[r][v] = V::multiply_add(a, w[v], sum[r][v]);
    }
  }
  if constexpr (V::kStep == 2) {
    if (k == depth) return;  // else the last channel alone: what follows it may be NaN
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      const auto w = V::load_first_weights(weights + v * V::kLanes * V::kStep);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r)
        sum[r][v] = V::multiply_add(V::broadcast_first(in[r] + k), w, sum[r][v]);
    }
  }
}

// Sums all segments of outputs [channel, channel + kCount * lanes) for kRows pixels from `slot` on.
template <class V, int kRows, int kCount>
void multiply(const BlockFor<V>& block, int slot, int64_t channel) {
  using Register = typename V::Register;
  Register sum[kRows][kCount];
  typename V::Output* const* const out = block.out + slot;
#pragma GCC unroll 4
  for (int v = 0; v < kCount; ++v) {
    const Register start = block.bias != nullptr ? V::load(block.bias + channel + v * V::kLanes) : V::zero();
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) sum[r][v] = start;
  }
  if (block.adds) {
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v)
        sum[r][v] = V::add(V::load(block.addend[slot + r] + channel + v * V::kLanes), sum[r][v]);
  }
  for (int s = 0; s < block.segments; ++s) {
    const typename V::Input* in[kRows];
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) in[r] = block.in[s][slot + r];
    add_products<V, kRows, kCount>(in, block.depth[s],
                                   block.weights + s * block.segment_stride + channel * V::kStep,
                                   block.weights_stride, sum);
  }
  if (block.relu) {
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) sum[r][v] = V::relu(sum[r][v]);
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) V::store(out[r] + channel + v * V::kLanes, sum[r][v]);
}

template <class V>
void multiply_tile(const BlockFor<V>& block, int slot, int64_t channel, int vectors) {
  switch (vectors) {
    case 1:
      return multiply<V, V::rows(1), 1>(block, slot, channel);
    case 2:
      return multiply<V, V::rows(2), 2>(block, slot, channel);
    case 3:
      return multiply<V, V::rows(3), 3>(block, slot, channel);
    default:
      return multiply<V, V::rows(4), 4>(block, slot, channel);
  }
}

// Prefetches the inputs, and the outputs from `channel` on, of the tile at `slot` while the one before is
// computed: mask borders break up the runs of pixels that the hardware could foresee, and the collect reads
// the rows of all layers. Of nine taps only the last row: the others were read with the rows above.
template <class In, class Out>
inline void prefetch(const BlockOf<In, Out>& block, int slot, int rows, int64_t channel) {
  constexpr int64_t kLine = kCacheLine / sizeof(In);
  if (slot >= block.pixels) return;
  for (int s = block.segments == kMaxSegments ? kMaxSegments - 3 : 0; s < block.segments; ++s)
    for (int r = 0; r < rows; ++r)
      for (int64_t k = 0; k < block.depth[s]; k += kLine) __builtin_prefetch(block.in[s][slot + r] + k);
  for (int r = 0; r < rows; ++r) __builtin_prefetch(block.out[slot + r] + channel, 1);
}

// The same for pixels in one stream, which a 1x1 convolution reads faster than the hardware foresees:
// prefetches pixels further on, a few lines per tile (one burst per block costs more than it gains).
template <class In, class Out>
inline void prefetch_stream(const BlockOf<In, Out>& block, int slot, int rows) {
  constexpr int kPixelsAhead = 24;
  constexpr int64_t kLine = kCacheLine / sizeof(In);
  const In* from = block.in[0][slot] + kPixelsAhead * block.depth[0];
  for (int64_t k = 0; k < rows * block.depth[0]; k += kLine) __builtin_prefetch(from + k);
}

// Output channels [0, channels) of all pixels of the block. Each tile runs through all weights: streaming
// them from the second-level cache costs less than storing and reloading sums per tap (figures in the
// README).
template <class V>
void multiply_block(const BlockFor<V>& block, int64_t channels) {
  const int total = static_cast<int>((channels + V::kLanes - 1) / V::kLanes);
  for (int done = 0; done < total; done += V::kVectors) {
    const int vectors = total - done < V::kVectors ? total - done : V::kVectors, rows = V::rows(vectors);
    for (int slot = 0; slot < block.pixels; slot += rows) {
      if (!block.stream) prefetch(block, slot + rows, rows, done * V::kLanes);
      if (block.stream) prefetch_stream(block, slot, rows);
      multiply_tile<V>(block, slot, done * V::kLanes, vectors);
    }
  }
}

// A matrix product: `rows` rows, `in_stride` and `out_stride` elements apart.
template <class V>
struct RowsProduct {
  const typename V::Input* in;
  float* out;
  int64_t in_stride, out_stride, depth;
  const typename V::Input* weights;
  int64_t weights_stride;
  int rows;
};

// Rows from `first` on; past the last one it is repeated.
template <class V, int kRows, int kCount>
void multiply_rows(const RowsProduct<V>& product, int first) {
  typename V::Register sum[kRows][kCount];
  const typename V::Input* in[kRows];
  int64_t row[kRows];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    row[r] = first + r < product.rows ? first + r : product.rows - 1;
    in[r] = product.in + row[r] * product.in_stride;
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) sum[r][v] = V::zero();
  }
  add_products<V, kRows, kCount>(in, product.depth, product.weights, product.weights_stride, sum);
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v)
      V::store(product.out + row[r] * product.out_stride + v * V::kLanes, sum[r][v]);
}

template <class V, int kRows, int kCount>
void multiply_all_rows(const RowsProduct<V>& product) {
  for (int first = 0; first < product.rows; first += kRows) multiply_rows<V, kRows, kCount>(product, first);
}

// `vectors` registers of outputs of all rows.
template <class V>
void multiply_rows(const RowsProduct<V>& product, int vectors) {
  switch (vectors) {
    case 1:
      return multiply_all_rows<V, V::rows(1), 1>(product);
    case 2:
      return multiply_all_rows<V, V::rows(2), 2>(product);
    case 3:
      return multiply_all_rows<V, V::rows(3), 3>(product);
    default:
      return multiply_all_rows<V, V::rows(4), 4>(product);
  }
}
