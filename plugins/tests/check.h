// What the parts of smsr_kernel_test share: counting what holds, and canaries behind buffers.
#pragma once

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

void check_dense_convolutions();  // dense_test.cpp
void check_mask_branches();

}  // namespace smsr::testing
