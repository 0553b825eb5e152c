// Shared by emulated_test and gpu_test: the choice of cases, and their errors.
#pragma once

#include <algorithm>
#include <cstdio>

#include "expect.h"
#include "module_case.h"

namespace smsr::testing {

// float32, float16, float16 with sm_72's kernels, float16 staged
inline double worst_error[4] = {0.0, 0.0, 0.0, 0.0};

inline std::string name_of(const std::string& name, cuda::Type type) {
  return name + (type == cuda::Type::kFloat16 ? " float16" : " float32");
}

// Compares `output` in N H W C with the reference.
inline void check_error(ModuleCase* module_case, const Bytes& output, const std::string& where,
                        double* worst) {
  const double error = module_case->relative_error(output, cuda::Layout::kNhwc);
  *worst = std::max(*worst, error);
  expect(error <= module_case->tolerance(), where + ": relative error " + std::to_string(error));
}

// Whether the case's name contains one of the parts, or there are none.
inline bool chosen(const std::string& name, int count, char** parts) {
  return count == 0 || std::any_of(parts, parts + count,
                                   [&](const char* part) { return name.find(part) != std::string::npos; });
}

inline void print_errors() {
  std::printf(
      "largest relative error: float32 %.1e, float16 %.1e, float16 with sm_72's kernels %.1e, staged %.1e\n",
      worst_error[0], worst_error[1], worst_error[2], worst_error[3]);
}

}  // namespace smsr::testing
