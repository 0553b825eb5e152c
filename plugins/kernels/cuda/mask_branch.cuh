// The mask branch in two launches, float16 on tensor cores, float32 sums. The full-size map of Q channels
// never exists: the first writes its 2x2 averages, the second all the rest of a tile.
//
// Fragments of mma.m16n8k16 (primitives.cuh), lane = 4 g + t: output channels are the rows of A and D, pixels
// the columns of B and D. Channels may be summed in any order; each lane reads neighbouring ones of pixel g,
// and the weights are packed in the same order.
#pragma once

#include "cuda/types.cuh"

namespace smsr::cuda {

constexpr int kBranchThreads = 256, kBranchWarps = kBranchThreads / kWarpSize;
constexpr int kOutputSlice = 16;  // output channels of one product: rows of A

// Both kernels' arguments; half: of the pooled map, H / 2 and W / 2 rounded up.
struct BranchSizes {
  int batch, height, width, channels, squeezed, half_height, half_width;
};

// ---- First launch: full-size convolution, ReLU, average.

constexpr int kFullTile = 16;                          // pixels a side, two rows for each warp
constexpr int kFullSide = kFullTile + 2;               // with the neighbours
constexpr int kSliceChannels = 64, kSliceSteps = 2;    // input channels staged at once, in steps of 32
constexpr int kSlicePieces = kSliceChannels / kPiece;  // of 16 bytes
constexpr int kFullPixels = kFullSide * kFullSide * kSlicePieces;  // Vectors
constexpr int kFullWeights = kTaps * kSliceSteps * 2 * kWarpSize;  // Vectors
constexpr int kFullShared = (kFullPixels + kFullWeights) * static_cast<int>(sizeof(Vector));
static_assert(kBranchWarps * 2 == kFullTile, "two rows for each warp");

struct FullParams {
  BranchSizes sizes;
  const Half *features, *weight, *bias;  // [N, H, W, C], [9, C, Q], [Q]
  Half* pooled;                          // [N, H / 2, W / 2, Q]
};

// Where a staged pixel's 8 channels lie: neighbouring pixels' pieces in different banks.
SMSR_DEVICE int staged_place(int pixel, int piece) {
  return pixel * kSlicePieces + (piece ^ (pixel & 1) * 4);
}

// The tile's pixels and their neighbours, channels first_channel and on; zeros outside of image and channels.
SMSR_DEVICE void stage_pixels(const FullParams& p, int image, int top, int left, int first_channel,
                              Vector* to) {
  const BranchSizes& s = p.sizes;
  for (int at = thread_index(); at < kFullPixels; at += kBranchThreads) {
    const int pixel = at / kSlicePieces, piece = at % kSlicePieces;
    const int y = top + pixel / kFullSide - 1, x = left + pixel % kFullSide - 1;
    const int channel = first_channel + piece * kPiece;
    Vector* place = to + staged_place(pixel, piece);
    if (y >= 0 && y < s.height && x >= 0 && x < s.width && channel < s.channels) {
      const long long row = static_cast<long long>(image) * s.height + y;
      copy_to_shared(
          place, reinterpret_cast<const Vector*>(p.features + (row * s.width + x) * s.channels + channel));
    } else {
      *place = Vector{{0, 0, 0, 0}};
    }
  }
}

// [9 taps, kSliceSteps, 2 halves, 32 lanes] Vectors: register r of A holds output channel g + 8 (r % 2),
// input channels 32 step + 8 t + 4 half + 2 (r / 2) and the next.
SMSR_DEVICE void pack_full_weights(const FullParams& p, int first_channel, int first_output, Vector* to) {
  const BranchSizes& s = p.sizes;
  uint16* packed = reinterpret_cast<uint16*>(to);
  for (int at = thread_index(); at < kFullWeights * kPiece; at += kBranchThreads) {
    const int odd = at % 2, r = at / 2 % 4, lane = at / 8 % kWarpSize, half = at / 256 % 2;
    const int step = at / 512 % kSliceSteps, tap = at / (512 * kSliceSteps);
    const int channel = first_channel + 32 * step + 8 * (lane % 4) + 4 * half + 2 * (r / 2) + odd;
    const int output = first_output + lane / 4 + 8 * (r % 2);
    packed[at] = channel < s.channels ? p.weight[(tap * s.channels + channel) * s.squeezed + output].bits
                                      : static_cast<uint16>(0);
  }
}

// sums[row][across]: of 8 pixels of the warp's rows 2 w and 2 w + 1, at x = 8 across.
SMSR_DEVICE void multiply_full(const Vector* pixels, const Vector* weights, float (&sums)[2][2][4]) {
  const int lane = thread_index() % kWarpSize, warp = thread_index() / kWarpSize;
#pragma unroll
  for (int kx = 0; kx < 3; ++kx)
#pragma unroll
    for (int step = 0; step < kSliceSteps; ++step) {
      Vector a[3][2];
#pragma unroll
      for (int ky = 0; ky < 3; ++ky)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          a[ky][half] = weights[(((3 * ky + kx) * kSliceSteps + step) * 2 + half) * kWarpSize + lane];
#pragma unroll
      for (int y = 0; y < 4; ++y)  // a row of pixels serves up to three taps
#pragma unroll
        for (int across = 0; across < 2; ++across) {
          const int pixel = (2 * warp + y) * kFullSide + 8 * across + lane / 4 + kx;
          const Vector b = pixels[staged_place(pixel, 4 * step + lane % 4)];
#pragma unroll
          for (int ky = 0; ky < 3; ++ky) {
            const int row = y - ky;
            if (row < 0 || row > 1) continue;
#pragma unroll
            for (int half = 0; half < 2; ++half) {
              const Vector& w = a[ky][half];
              multiply_16x8x16(sums[row][across], w.word[0], w.word[1], w.word[2], w.word[3],
                               b.word[2 * half], b.word[2 * half + 1]);
            }
          }
        }
    }
}

SMSR_DEVICE float positive(float value) { return value > 0.0f ? value : 0.0f; }

// The lane has pixels 2 t and 2 t + 1 of both rows: one 2x2 window per `across` and output channel. Where the
// image ends within the window its last row and column count twice.
SMSR_DEVICE void store_pooled(const FullParams& p, int image, int top, int left, int first_output,
                              const float (&sums)[2][2][4]) {
  const BranchSizes& s = p.sizes;
  const int lane = thread_index() % kWarpSize, warp = thread_index() / kWarpSize;
  const int y = top + 2 * warp;
  if (y >= s.height) return;
  const int below = y + 1 < s.height ? 1 : 0;
#pragma unroll
  for (int across = 0; across < 2; ++across) {
    const int x = left + 8 * across + 2 * (lane % 4);
    if (x >= s.width) continue;
    const bool beside = x + 1 < s.width;
#pragma unroll
    for (int upper = 0; upper < 2; ++upper) {
      const int output = first_output + lane / 4 + 8 * upper;
      const float bias = to_float(p.bias[output]);
      const float a = positive(sums[0][across][2 * upper] + bias);
      const float b = beside ? positive(sums[0][across][2 * upper + 1] + bias) : a;
      float c = a, d = b;
      if (below != 0) {
        c = positive(sums[1][across][2 * upper] + bias);
        d = beside ? positive(sums[1][across][2 * upper + 1] + bias) : c;
      }
      const long long at = (static_cast<long long>(image) * s.half_height + y / 2) * s.half_width + x / 2;
      from_float(0.25f * (a + b + c + d), &p.pooled[at * s.squeezed + output]);
    }
  }
}

// Blocks: any number in x, each takes tiles of all images in turn; one in y per slice of output channels.
SMSR_KERNEL(kBranchThreads, 1)
void pool_full(const FullParams p) {
  const BranchSizes& s = p.sizes;
  Vector* pixels = static_cast<Vector*>(shared_memory());
  Vector* weights = pixels + kFullPixels;
  const int across = divide_up(s.width, kFullTile), down = divide_up(s.height, kFullTile);
  const int first_output = block_y() * kOutputSlice;
  const bool one_slice = s.channels <= kSliceChannels;
  if (one_slice) pack_full_weights(p, 0, first_output, weights);
  for (int tile = block_x(); tile < across * down * s.batch; tile += blocks_x()) {
    const int image = tile / across / down;
    const int top = tile / across % down * kFullTile, left = tile % across * kFullTile;
    float sums[2][2][4] = {};
    for (int channel = 0; channel < s.channels; channel += kSliceChannels) {
      stage_pixels(p, image, top, left, channel, pixels);
      if (!one_slice) pack_full_weights(p, channel, first_output, weights);
      copies_arrive();
      sync_block();
      multiply_full(pixels, weights, sums);
      sync_block();
    }
    store_pooled(p, image, top, left, first_output, sums);
  }
}

// ---- Second launch: half-size convolution, ReLU, phases, interleaved.

constexpr int kHalfTile = 16;               // half-size pixels a side: one per thread
constexpr int kHiddenSide = kHalfTile + 1;  // the phases also read the pixels below and to the right
constexpr int kHiddenPixels = kHiddenSide * kHiddenSide;
constexpr int kPooledSide = kHiddenSide + 2;  // with the neighbours
constexpr int kMaxSqueezed = kMaxChannels / 4;
constexpr int kPhases = 4;
static_assert(kHalfTile * kHalfTile == kBranchThreads, "one half-size pixel per thread");

struct MarginParams {
  BranchSizes sizes;
  const Half *pooled, *weight, *bias;       // [N, H / 2, W / 2, Q], [9, Q, Q], [Q]
  const Half *phases_weight, *phases_bias;  // [4, Q, 4], [4]
  Half* margin;                             // [N, H, W]
};

// What a block keeps in shared memory, in this order, and how many numbers of it. kQ: squeezed channels.
template <int kQ>
struct MarginShared {
  static constexpr int kPooled = kPooledSide * kPooledSide * kQ, kWeights = kTaps * kQ * kQ;
  static constexpr int kHiddenStride = kQ + 2;  // an odd number of words: neighbouring pixels in other banks
  static constexpr int kHidden = kHiddenPixels * kHiddenStride, kPhaseWeights = 4 * kQ * kPhases;
  static constexpr int kBytes = (kPooled + kWeights + kHidden) * 2 + kPhaseWeights * 4;

  uint16* pooled;   // [kPooledSide, kPooledSide, Q]
  uint16* weights;  // [9, Q / 16 steps, Q / 16 slices, 32 lanes, 4 registers of A, 2 numbers]
  uint16* hidden;   // [kHiddenPixels, kHiddenStride]
  float* phases;    // [4, Q, 4]

  explicit SMSR_DEVICE MarginShared(void* memory) : pooled(static_cast<uint16*>(memory)) {
    weights = pooled + kPooled;
    hidden = weights + kWeights;
    phases = reinterpret_cast<float*>(hidden + kHidden);
  }
};
constexpr int kMostMarginShared = MarginShared<kMaxSqueezed>::kBytes;
static_assert(kMostMarginShared <= 64 * 1024 && kFullShared <= 64 * 1024, "sm_75 has no more");

template <int kQ>
SMSR_DEVICE void stage_pooled(const MarginParams& p, int image, int top, int left, uint16* to) {
  const BranchSizes& s = p.sizes;
  constexpr int kPieces = kQ / kPiece;
  for (int at = thread_index(); at < kPooledSide * kPooledSide * kPieces; at += kBranchThreads) {
    const int pixel = at / kPieces, piece = at % kPieces;
    const int y = top + pixel / kPooledSide - 1, x = left + pixel % kPooledSide - 1;
    const bool inside = y >= 0 && y < s.half_height && x >= 0 && x < s.half_width;
    const long long row = static_cast<long long>(image) * s.half_height + y;
    const Half* from = p.pooled + (row * s.half_width + x) * kQ + piece * kPiece;
    reinterpret_cast<Vector*>(to)[at] = load_or_zero(inside ? from : p.pooled, inside);
  }
}

// Register r of A holds output channel 16 slice + g + 8 (r % 2), input channels 16 step + 4 t + 2 (r / 2) and
// the next.
template <int kQ>
SMSR_DEVICE void stage_half_weights(const MarginParams& p, uint16* to) {
  constexpr int kSlices = kQ / kOutputSlice;
  for (int at = thread_index(); at < MarginShared<kQ>::kWeights; at += kBranchThreads) {
    const int odd = at % 2, r = at / 2 % 4, lane = at / 8 % kWarpSize, product = at / 256;
    const int slice = product % kSlices, step = product / kSlices % kSlices,
              tap = product / kSlices / kSlices;
    const int channel = 16 * step + 4 * (lane % 4) + 2 * (r / 2) + odd;
    to[at] = p.weight[(tap * kQ + channel) * kQ + kOutputSlice * slice + lane / 4 + 8 * (r % 2)].bits;
  }
}

// Eight hidden pixels from `first` on, 16 channels; zeros beyond the image, for the phases there.
template <int kQ>
SMSR_DEVICE void convolve_half(const MarginParams& p, const MarginShared<kQ>& shared, int top, int left,
                               int first, int slice) {
  const BranchSizes& s = p.sizes;
  constexpr int kSlices = kQ / kOutputSlice;
  const int lane = thread_index() % kWarpSize;
  const int pixel = smaller(first + lane / 4, kHiddenPixels - 1);
  const int corner = pixel / kHiddenSide * kPooledSide + pixel % kHiddenSide;
  float sums[4] = {};
#pragma unroll
  for (int tap = 0; tap < kTaps; ++tap)
#pragma unroll
    for (int step = 0; step < kSlices; ++step) {
      const int source = (corner + tap / 3 * kPooledSide + tap % 3) * kQ + 16 * step + 4 * (lane % 4);
      const uint32* b = reinterpret_cast<const uint32*>(shared.pooled + source);
      const int product = (tap * kSlices + step) * kSlices + slice;
      const Vector a = reinterpret_cast<const Vector*>(shared.weights)[product * kWarpSize + lane];
      multiply_16x8x16(sums, a.word[0], a.word[1], a.word[2], a.word[3], b[0], b[1]);
    }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int to = first + 2 * (lane % 4) + i % 2, output = kOutputSlice * slice + lane / 4 + 8 * (i / 2);
    if (to >= kHiddenPixels) continue;
    const bool inside = top + to / kHiddenSide < s.half_height && left + to % kHiddenSide < s.half_width;
    const float value = inside ? positive(sums[i] + to_float(p.bias[output])) : 0.0f;
    shared.hidden[to * MarginShared<kQ>::kHiddenStride + output] = float_to_half(value);
  }
}

// This thread's half-size pixel: four phases, those of them that lie inside the image.
template <int kQ>
SMSR_DEVICE void store_phases(const MarginParams& p, const MarginShared<kQ>& shared, int image, int top,
                              int left) {
  const BranchSizes& s = p.sizes;
  const int y = thread_index() / kHalfTile, x = thread_index() % kHalfTile;
  float phases[kPhases];
#pragma unroll
  for (int k = 0; k < kPhases; ++k) phases[k] = to_float(p.phases_bias[k]);
  for (int tap = 0; tap < 4; ++tap) {
    const int pixel = (y + tap / 2) * kHiddenSide + x + tap % 2;
    const uint16* hidden = shared.hidden + pixel * MarginShared<kQ>::kHiddenStride;
#pragma unroll
    for (int q = 0; q < kQ; q += 2) {
      const uint32 pair = *reinterpret_cast<const uint32*>(hidden + q);
      const float* weight = shared.phases + (tap * kQ + q) * kPhases;
      const float low = half_to_float(static_cast<uint16>(pair)),
                  high = half_to_float(static_cast<uint16>(pair >> 16));
#pragma unroll
      for (int k = 0; k < kPhases; ++k)
        phases[k] = multiply_add(high, weight[kPhases + k], multiply_add(low, weight[k], phases[k]));
    }
  }
#pragma unroll
  for (int k = 0; k < kPhases; ++k) {
    const int row = 2 * (top + y) + k / 2, column = 2 * (left + x) + k % 2;
    if (row < s.height && column < s.width)
      from_float(phases[k], &p.margin[(static_cast<long long>(image) * s.height + row) * s.width + column]);
  }
}

// Blocks: one in x per tile of half-size pixels, one in y per image.
template <int kQ>
SMSR_KERNEL(kBranchThreads, 1)
void margin_of_pooled(const MarginParams p) {
  const BranchSizes& s = p.sizes;
  const MarginShared<kQ> shared(shared_memory());
  const int across = divide_up(s.half_width, kHalfTile);
  const int top = block_x() / across * kHalfTile, left = block_x() % across * kHalfTile;
  stage_pooled<kQ>(p, block_y(), top, left, shared.pooled);
  stage_half_weights<kQ>(p, shared.weights);
  for (int at = thread_index(); at < MarginShared<kQ>::kPhaseWeights; at += kBranchThreads)
    shared.phases[at] = to_float(p.phases_weight[at]);
  sync_block();
  constexpr int kGroups = (kHiddenPixels + 7) / 8, kSlices = kQ / kOutputSlice;
  for (int at = thread_index() / kWarpSize; at < kGroups * kSlices; at += kBranchWarps)
    convolve_half(p, shared, top, left, at / kSlices * 8, at % kSlices);
  sync_block();
  store_phases(p, shared, block_y(), top, left);
}

}  // namespace smsr::cuda
