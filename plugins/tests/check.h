// What the parts of smsr_kernel_test share: modes of a variant, tolerances.
#pragma once

#include <string>
#include <vector>

#include "expect.h"
#include "problem.h"
#include "smsr_contract.h"

namespace smsr::testing {

// The modes a variant has.
inline std::vector<Mode> modes(const Kernels& kernels) {
  std::vector<Mode> all{{false, nullptr}, {true, nullptr}};
  if (kernels.reduced != nullptr) {
    all.push_back({false, kernels.reduced});
    all.push_back({true, kernels.reduced});
  }
  return all;
}

// Largest relative error the contract allows.
inline double tolerance(const Mode& mode) {
  if (mode.reduced == nullptr) return contract::kFloat32Tolerance;
  const std::string type = mode.reduced->type;
  return type == "bfloat16" ? contract::kBfloat16Tolerance : contract::kFloat16Tolerance;
}

void check_dense_convolutions();  // dense_test.cpp
void check_mask_branches();

}  // namespace smsr::testing
