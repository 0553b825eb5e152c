// [H, W, 3] to [3, H, W] and back. A thread takes four neighbouring pixels, so that it reads and writes whole
// words.
#pragma once

#include "cuda/primitives.cuh"

namespace smsr::cuda {

constexpr int kPixelThreads = 256, kPixelsOfThread = 4, kColors = 3;

// Of one of 255 levels.
template <class Number>
SMSR_HOST_DEVICE constexpr float units() {
  return sizeof(Number) == 1 ? 1.0f : 257.0f;
}

// The twelve numbers of four pixels, as words.
template <class Number>
struct FourPixels {
  static constexpr int kNumbers = kColors * kPixelsOfThread, kPerWord = 4 / sizeof(Number);
  static constexpr int kBits = 8 * sizeof(Number);
  uint32 word[kNumbers / kPerWord];

  SMSR_DEVICE float number(int at) const {
    return static_cast<float>(static_cast<Number>(word[at / kPerWord] >> (kBits * (at % kPerWord))));
  }
  SMSR_DEVICE void add(int at, uint32 value) { word[at / kPerWord] |= value << (kBits * (at % kPerWord)); }
};

SMSR_DEVICE long long first_pixel() {
  return (static_cast<long long>(block_x()) * kPixelThreads + thread_index()) * kPixelsOfThread;
}

// Threads of block_x() and the others in x cover all pixels. whole: planes of a multiple of four pixels,
// which all begin at a multiple of 16 bytes.
template <class Number>
SMSR_KERNEL(kPixelThreads, 1)
void planes_of_pixels(const Number* pixels, float* planes, int count, bool whole) {
  const long long first = first_pixel();
  if (first >= count) return;
  const int most = first + kPixelsOfThread <= count ? kPixelsOfThread : static_cast<int>(count - first);
  FourPixels<Number> four = {};
  if (most == kPixelsOfThread)
    four = *reinterpret_cast<const FourPixels<Number>*>(pixels + kColors * first);
  else
    for (int at = 0; at < kColors * most; ++at) four.add(at, pixels[kColors * first + at]);
#pragma unroll
  for (int color = 0; color < kColors; ++color) {
    float* to = planes + static_cast<long long>(color) * count + first;
    float levels[kPixelsOfThread];
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) levels[i] = four.number(kColors * i + color) / units<Number>();
    if (whole)
      store_vector(reinterpret_cast<Vector*>(to), {{float_bits(levels[0]), float_bits(levels[1]),
                                                    float_bits(levels[2]), float_bits(levels[3])}});
    else
      for (int i = 0; i < most; ++i) to[i] = levels[i];
  }
}

SMSR_DEVICE bool is_finite(float value) { return (float_bits(value) & 0x7f800000u) != 0x7f800000u; }

template <class Number>
SMSR_DEVICE uint32 rounded(float level) {
  const float clamped = level > 0.0f ? (level < 255.0f ? level : 255.0f) : 0.0f;
  return static_cast<uint32>(round_to_even(clamped * units<Number>()));
}

template <class Number>
SMSR_KERNEL(kPixelThreads, 1)
void pixels_of_planes(const float* planes, Number* pixels, uint32* not_finite, int count, bool whole) {
  const long long first = first_pixel();
  if (first >= count) return;
  const int most = first + kPixelsOfThread <= count ? kPixelsOfThread : static_cast<int>(count - first);
  FourPixels<Number> four = {};
  bool finite = true;
#pragma unroll
  for (int color = 0; color < kColors; ++color) {
    const float* from = planes + static_cast<long long>(color) * count + first;
    Vector levels = {};
    if (whole)
      levels = load_constant(reinterpret_cast<const Vector*>(from));
    else
      for (int i = 0; i < most; ++i) levels.word[i] = float_bits(from[i]);
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      const float level = bits_float(levels.word[i]);
      finite = finite && is_finite(level);
      four.add(kColors * i + color, rounded<Number>(level));
    }
  }
  if (!finite) *not_finite = 1;
  if (most == kPixelsOfThread)
    *reinterpret_cast<FourPixels<Number>*>(pixels + kColors * first) = four;
  else
    for (int at = 0; at < kColors * most; ++at)
      pixels[kColors * first + at] = static_cast<Number>(four.number(at));
}

}  // namespace smsr::cuda
