// What emulated_test and gpu_test share: which cases they run, and the errors these had.
#pragma once

#include <algorithm>
#include <cstdio>

#include "expect.h"
#include "module_case.h"

namespace smsr::testing {

inline double worst_error[3] = {0.0, 0.0, 0.0};  // float32, float16, float16 with sm_72's kernels

inline std::string name_of(const std::string& name, cuda::Type type) {
  return name + (type == cuda::Type::kFloat16 ? " float16" : " float32");
}

// `output` in N H W C against the reference.
inline void check_error(ModuleCase* module_case, const Bytes& output, const std::string& where,
                        double* worst) {
  const double error = module_case->relative_error(output, cuda::Layout::kNhwc);
  *worst = std::max(*worst, error);
  expect(error <= module_case->tolerance(), where + ": relative error " + std::to_string(error));
}

// Does the command line name this case, or none?
inline bool wanted(const std::string& name, int count, char** parts) {
  bool found = count == 0;
  for (int i = 0; i < count; ++i) found = found || name.find(parts[i]) != std::string::npos;
  return found;
}

inline void print_errors() {
  std::printf("largest relative error: float32 %.1e, float16 %.1e, float16 with sm_72's kernels %.1e\n",
              worst_error[0], worst_error[1], worst_error[2]);
}

}  // namespace smsr::testing
