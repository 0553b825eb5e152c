// Half precision on the CPU, for the tests.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace smsr::testing {

inline float from_half(uint16_t bits) {
  static const std::vector<float> table = [] {
    std::vector<float> values(65536);
    for (unsigned h = 0; h < 65536; ++h) {
      const unsigned mantissa = h & 1023u;
      const int exponent = static_cast<int>(h >> 10 & 31u);
      float value = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
      if (exponent == 0) value = std::ldexp(static_cast<float>(mantissa), -24);
      if (exponent == 31) value = mantissa != 0 ? NAN : INFINITY;
      values[h] = (h & 0x8000u) != 0 ? -value : value;
    }
    return values;
  }();
  return table[bits];
}

// Rounds to nearest, ties to even.
inline uint16_t to_half(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return 0x7fff;
  if (size >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and more
  if (size < 0x38800000u)  // below the smallest normal half: multiples of 2^-24
    return static_cast<uint16_t>(sign |
                                 static_cast<uint32_t>(std::nearbyint(std::ldexp(std::fabs(value), 24))));
  const uint32_t rounded = size + 0xfffu + (size >> 13 & 1u);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

}  // namespace smsr::testing
