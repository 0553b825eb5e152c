// Shapes of the contract's inputs as numbers: `kInputShapes` of smsr_contract.h with values for the letters.
#pragma once

#include <cstdint>

#include "smsr_contract.h"

namespace smsr::contract {

constexpr int64_t kUnknownSize = -1;  // a dynamic dimension

// Values of the letters A..Z; unknown until set.
class Letters {
 public:
  constexpr Letters() {
    for (int64_t& value : values_) value = kUnknownSize;
  }
  constexpr int64_t& operator[](char letter) { return values_[letter - 'A']; }
  constexpr int64_t operator[](char letter) const { return values_[letter - 'A']; }

 private:
  int64_t values_[26] = {};
};

// The value of a product such as "L*C" or "9"; unknown where one of its letters is.
constexpr int64_t size_of(const char* product, const Letters& letters) {
  int64_t value = 1;
  for (const char* at = product; *at != '\0'; ++at) {
    if (*at == '*') continue;
    const int64_t factor = *at >= 'A' && *at <= 'Z' ? letters[*at] : *at - '0';
    if (factor == kUnknownSize) return kUnknownSize;
    value *= factor;
  }
  return value;
}

}  // namespace smsr::contract
