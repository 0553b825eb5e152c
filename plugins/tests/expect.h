// Counting what holds, and canaries behind buffers, for every test program.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

namespace smsr::testing {

inline int passed = 0, failed = 0;

inline void expect(bool fact, const std::string& what) {
  ++(fact ? passed : failed);
  if (!fact) std::printf("FAILED %s\n", what.c_str());
}

constexpr size_t kCanaries = 64;
constexpr unsigned char kCanary = 0xA5;

}  // namespace smsr::testing
