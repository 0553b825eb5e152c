// The checks of pixels to planes and back, for any GPU: Memory is its memory, as in branch_test.h.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cuda/pixels_cuda.h"
#include "expect.h"

namespace smsr::testing {

using Bytes = std::vector<unsigned char>;

template <class Number>
Bytes bytes_of(const std::vector<Number>& numbers) {
  Bytes bytes(numbers.size() * sizeof(Number));
  std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

// In the middle of each: ties of 8 and of 16 bits, ends, what is beyond them.
inline float level(size_t at) {
  constexpr float kEnds[] = {0.5f,   1.5f,    2.5f,   254.5f,  255.5f, -0.5f,         -3.0f,
                             300.0f, 127.49f, 127.5f, 127.51f, 1e30f,  0.5f / 257.0f, 2.5f / 257.0f};
  constexpr size_t kCount = sizeof kEnds / sizeof *kEnds;
  return at % 3 == 0 ? kEnds[at / 3 % kCount] : static_cast<float>(at * 37 % 2560) / 10.0f;
}

template <class Number>
double units() {
  return sizeof(Number) == 1 ? 1.0 : 257.0;
}

// As NumPy: clip, times units in float32, rint.
template <class Number>
Number expected_number(float level) {
  const float clamped = std::isnan(level) ? 0.0f : std::fmin(std::fmax(level, 0.0f), 255.0f);
  const float value = clamped * static_cast<float>(units<Number>());
  return static_cast<Number>(std::nearbyint(value));
}

// Index in [H, W, 3] -> in [3, H, W].
inline size_t in_planes(size_t at, size_t count) { return at % 3 * count + at / 3; }

template <class Memory, class Number>
void check_pixels_to_planes(const cuda::PixelShape& shape, const std::string& where) {
  const size_t count = static_cast<size_t>(shape.height) * static_cast<size_t>(shape.width);
  std::vector<Number> pixels(3 * count);
  for (size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<Number>(i * (sizeof(Number) == 1 ? 101 : 25717));
  std::vector<float> expected(3 * count);
  for (size_t i = 0; i < pixels.size(); ++i)
    expected[in_planes(i, count)] = static_cast<float>(pixels[i]) / static_cast<float>(units<Number>());
  const Memory from(bytes_of(pixels)), to(expected.size() * sizeof(float));
  const Status status = cuda::pixels_to_planes(from.data(), static_cast<float*>(to.data()), shape, nullptr);
  expect(status == Status::kOk, where + ": " + describe(status));
  expect(to.bytes() == bytes_of(expected), where + ": planes");
  expect(from.bytes() == bytes_of(pixels), where + ": pixels written");
}

template <class Memory, class Number>
void check_planes_to_pixels(const cuda::PixelShape& shape, const std::string& where, float odd,
                            size_t odd_at) {
  const size_t count = static_cast<size_t>(shape.height) * static_cast<size_t>(shape.width);
  std::vector<Number> expected(3 * count);
  std::vector<float> planes(3 * count);
  for (size_t i = 0; i < expected.size(); ++i) {
    float& value = planes[in_planes(i, count)];
    value = i == odd_at ? odd : level(i);
    expected[i] = expected_number<Number>(value);
  }
  const bool finite = odd_at >= expected.size() || std::isfinite(odd);
  const Memory from(bytes_of(planes)), to(expected.size() * sizeof(Number)), flag(Bytes(4, 0));
  const Status status = cuda::planes_to_pixels(static_cast<const float*>(from.data()), to.data(),
                                               static_cast<uint32_t*>(flag.data()), shape, nullptr);
  expect(status == Status::kOk, where + ": " + describe(status));
  expect(to.bytes() == bytes_of(expected), where + ": pixels");
  expect(flag.bytes() == bytes_of(std::vector<uint32_t>{finite ? 0u : 1u}),
         where + ": whether all are finite");
}

template <class Memory, class Number>
void check_pixels_of(int height, int width) {
  const cuda::PixelShape shape{height, width, static_cast<int32_t>(sizeof(Number))};
  const std::string where = "pixels " + std::to_string(height) + "x" + std::to_string(width) + " of " +
                            std::to_string(shape.bytes) + " bytes";
  check_pixels_to_planes<Memory, Number>(shape, where);
  const size_t numbers = 3 * static_cast<size_t>(height) * static_cast<size_t>(width);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  check_planes_to_pixels<Memory, Number>(shape, where, 0.0f, numbers);  // none odd
  const float odd[] = {std::nanf(""), kInfinity, -kInfinity};
  const size_t places[] = {0, numbers / 2, numbers - 1};
  for (int i = 0; i < 3; ++i)
    check_planes_to_pixels<Memory, Number>(shape, where + ", odd", odd[i], places[i]);
}

// One pixel, sizes of no whole word, one block and several.
template <class Memory>
void check_all_pixels() {
  for (const auto& [height, width] :
       {std::pair{1, 1}, {1, 3}, {2, 2}, {5, 7}, {16, 20}, {33, 101}, {64, 48}}) {
    check_pixels_of<Memory, uint8_t>(height, width);
    check_pixels_of<Memory, uint16_t>(height, width);
  }
}

}  // namespace smsr::testing
