// Element types, vectors of channels, and the plan of a module: what the kernels share.
#pragma once

#include "cuda/primitives.cuh"
#include "smsr_contract.h"

namespace smsr::cuda {

constexpr int kMaxLayers = contract::kTensorrtMaxLayers;
constexpr int kMaxChannels = contract::kTensorrtMaxChannels;
constexpr int kReduction = contract::kChannelAttentionReduction;
constexpr int kMaxSlices = 4;  // slices of a product's output channels: one column of thread blocks each
constexpr int kUnitRows = 64;  // pixels of a unit, all active or all inactive: what a warp convolves at once
constexpr int kWarpSize = 32;
constexpr int kBandRows = 8;       // rows of a band of the image: one bit of a byte each
constexpr int kPlanThreads = 256;  // columns of a band that one thread block handles
constexpr int kSegments = 32;      // parts of an image's units, summed separately

// Half precision as bits; arithmetic is float32.
struct Half {
  uint16 bits;
};
SMSR_DEVICE float to_float(Half value) { return half_to_float(value.bits); }
SMSR_DEVICE float to_float(float value) { return value; }
SMSR_DEVICE void from_float(float value, Half* to) { to->bits = float_to_half(value); }
SMSR_DEVICE void from_float(float value, float* to) { *to = value; }

// Eight neighbouring channels of one pixel, as they lie in memory.
constexpr int kPiece = 8;
template <class T>
struct Piece;

template <>
struct Piece<Half> {
  Vector part[1];
  SMSR_DEVICE void unpack(float (&values)[kPiece]) const {
#pragma unroll
    for (int i = 0; i < kPiece; ++i)
      values[i] = half_to_float(static_cast<uint16>(part[0].word[i / 2] >> (16 * (i % 2))));
  }
  SMSR_DEVICE void pack(const float (&values)[kPiece]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) part[0].word[i] = floats_to_halves(values[2 * i], values[2 * i + 1]);
  }
};

template <>
struct Piece<float> {
  Vector part[2];
  SMSR_DEVICE void unpack(float (&values)[kPiece]) const {
#pragma unroll
    for (int i = 0; i < kPiece; ++i) values[i] = bits_float(part[i / 4].word[i % 4]);
  }
  SMSR_DEVICE void pack(const float (&values)[kPiece]) {
#pragma unroll
    for (int i = 0; i < kPiece; ++i) part[i / 4].word[i % 4] = float_bits(values[i]);
  }
};

template <class T>
SMSR_DEVICE Piece<T> load_piece(const T* from) {
  Piece<T> piece;
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof(piece) / sizeof(Vector)); ++i)
    piece.part[i] = load_constant(reinterpret_cast<const Vector*>(from) + i);
  return piece;
}
template <class T>
SMSR_DEVICE void store_piece(const Piece<T>& piece, T* to) {
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof(piece) / sizeof(Vector)); ++i)
    store_vector(reinterpret_cast<Vector*>(to) + i, piece.part[i]);
}

// Keeps the first `keep` of two halves: 2 or more, 1, none.
SMSR_DEVICE uint32 pair_mask(int keep) { return keep > 1 ? 0xffffffffu : keep > 0 ? 0x0000ffffu : 0u; }

// Keeps the first `keep` numbers of a vector and sets the others to zero. The last argument names their type.
SMSR_DEVICE void keep_leading(Vector* v, int keep, Half) {
#pragma unroll
  for (int i = 0; i < 4; ++i) v->word[i] &= pair_mask(keep - 2 * i);
}
SMSR_DEVICE void keep_leading(Vector* v, int keep, float) {
#pragma unroll
  for (int i = 0; i < 4; ++i) v->word[i] = keep > i ? v->word[i] : 0u;
}

// One pixel of a list. Bit 3 * ky + kx of `bits`: that neighbour lies inside the image; bit 9 + 3 * ky + kx:
// it is active.
struct alignas(8) Entry {
  int pixel;  // index in the batch: (n * H + y) * W + x
  uint32 bits;
};
constexpr int kTaps = 9, kCentre = 4;

// A unit of the staged kernel: columns x, x + 1, ... of a band, over all kinds and images.
struct UnitColumns {
  int x, band, count;
};
// Its pixels (first 8 bits) and the places of its set, with one behind them that is no pixel.
using UnitWord = uint32;

SMSR_DEVICE int round_up(int value, int to) { return (value + to - 1) / to * to; }
SMSR_DEVICE int divide_up(int value, int by) { return (value + by - 1) / by; }
SMSR_DEVICE int smaller(int a, int b) { return a < b ? a : b; }

// Dense channels of every layer, one byte each. Not an array: the compiler copies kernel parameters that are
// indexed to the stack.
using DenseChannels = unsigned long long;
static_assert(kMaxLayers <= static_cast<int>(sizeof(DenseChannels)) && kMaxChannels <= 0xff,
              "a byte per layer");
SMSR_DEVICE int dense_of(DenseChannels dense, int layer) {
  return static_cast<int>(dense >> (8 * layer) & 0xff);
}

struct PlanSizes {
  int batch, height, width, bands, blocks;  // blocks: thread blocks per image
};

// The mask as lists of pixels, made once per module (lists.cuh), in device memory (workspace.h).
struct Plan {
  uint8* columns;       // [N, bands, W] bit r: pixel (8 * band + r, x) is active
  int* block_counts;    // [N, blocks, 2] active and inactive pixels in the columns of each thread block
  Entry* entries;       // [N, H * W] active pixels from the front, inactive ones from the back
  int* active_count;    // [N] active pixels
  int* active_units;    // [N + 1] units of active pixels in the images before image n
  int* inactive_units;  // [N + 1] units of inactive pixels in the images before image n
  uint32* counters;     // [L + 1, kMaxSlices] units handed out; of the staged kernel then [1 + N] arrivals
                        // at the barrier, segments of each image that are summed
};

}  // namespace smsr::cuda
