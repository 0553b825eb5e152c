// Counts what holds, in every test program.
#pragma once

#include <cstdio>
#include <string>

namespace smsr::testing {

inline int passed = 0, failed = 0;

inline void expect(bool fact, const std::string& what) {
  ++(fact ? passed : failed);
  if (!fact) std::printf("FAILED %s\n", what.c_str());
}

}  // namespace smsr::testing
