// What the parts of smsr_kernel_test share: modes of a variant, tolerances, buffers of a run, its error.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "expect.h"
#include "isa/dispatch.h"
#include "problem.h"
#include "smsr_contract.h"

namespace smsr::testing {

// What an emulator of another CPU is spared, which makes a program some thirty times slower: the scalar
// variant, whose source the native test has run, a third run of each case, on 2 threads beside 1 and 5, and
// another theta in large cases, which no variant has code for.
inline bool emulated = false;

inline std::vector<const Kernels*> tested_variants() {
  const Kernels* list[kMaxVariants];
  const size_t count = supported_variants(list);
  std::vector<const Kernels*> tested(list, list + count);
  if (emulated)
    tested.erase(std::remove_if(tested.begin(), tested.end(),
                                [](const Kernels* one) { return std::string(one->name) == "scalar"; }),
                 tested.end());
  return tested;
}

// Pools of more than one thread, whose results must have the bits of one thread's.
inline std::vector<Pool*> tested_pools() {
  static Pool two(2), five(5);
  return emulated ? std::vector<Pool*>{&five} : std::vector<Pool*>{&two, &five};
}

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

// Output and workspace of one run, pre-filled with NaN, canaries behind both.
class Buffers {
 public:
  Buffers(size_t outputs, size_t bytes)
      : outputs_(outputs),
        bytes_(bytes),
        output_(outputs + kCanaries, kNaN),
        workspace_(bytes + kCanaries, kCanary) {
    const Floats fill(bytes / sizeof(float), kNaN);
    std::memcpy(workspace_.data(), fill.data(), fill.size() * sizeof(float));
    std::memset(output() + outputs, kCanary, kCanaries * sizeof(float));
  }
  float* output() { return output_.data(); }
  const float* output() const { return output_.data(); }
  void* workspace() { return workspace_.data(); }
  size_t bytes() const { return bytes_; }
  bool canaries_alive() const {
    const auto* behind = reinterpret_cast<const unsigned char*>(output() + outputs_);
    const auto alive = [](unsigned char byte) { return byte == kCanary; };
    return std::all_of(behind, behind + kCanaries * sizeof(float), alive) &&
           std::all_of(workspace_.begin() + static_cast<std::ptrdiff_t>(bytes_), workspace_.end(), alive);
  }
  bool same_bits(const Buffers& other) const {
    return std::memcmp(output(), other.output(), outputs_ * sizeof(float)) == 0;
  }

 private:
  size_t outputs_, bytes_;
  Floats output_;
  std::vector<unsigned char> workspace_;
};

// Largest |difference| over largest |expected|; NaN anywhere gives infinity. `residual`, or null: what was
// added to the expected values.
inline double relative_error(const std::vector<double>& expected, const float* residual,
                             const float* result) {
  double worst = 0.0, largest = 0.0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double added = residual != nullptr ? static_cast<double>(residual[i]) : 0.0;
    const double difference = std::abs(expected[i] + added - static_cast<double>(result[i]));
    worst = std::isfinite(difference) ? std::max(worst, difference) : std::numeric_limits<double>::infinity();
    largest = std::max(largest, std::abs(expected[i]));
  }
  return largest > 0.0 ? worst / largest : worst;
}

void check_dense_convolutions();  // dense_test.cpp
void check_mask_branches();
void check_not_numbers();  // nan_test.cpp
void check_scratch();      // scratch_test.cpp

}  // namespace smsr::testing
