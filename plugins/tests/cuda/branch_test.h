// The mask branch's checks, for any GPU: Memory is its memory, as in emulated_branch_test.cpp.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cuda/mask_branch_cuda.h"
#include "dense/reference.h"
#include "dense_problem.h"
#include "expect.h"
#include "half.h"

namespace smsr::testing {

namespace branch = contract::mask_branch;
using Bytes = std::vector<unsigned char>;

inline double worst_branch_error = 0.0;

// A made-up branch whose numbers are float16 ones, so that the reference computes with the same.
class BranchCase {
 public:
  BranchCase(int n, int h, int w, int c) : problem_(n, h, w, c), params_(problem_.params(nullptr, {})) {
    const BranchShape& s = params_.shape;
    const int64_t q = s.squeezed;
    const float* tensors[branch::kInputs] = {params_.features,    params_.full.plain, params_.full.bias,
                                             params_.half_weight, params_.half_bias,  params_.phases_weight,
                                             params_.phases_bias};
    const int64_t counts[branch::kInputs] = {
        s.batch * s.height * s.width * s.channels, 9 * s.channels * q, q, 9 * q * q, q, 16 * q, 4};
    for (int i = 0; i < branch::kInputs; ++i) {
      values_[i].assign(tensors[i], tensors[i] + counts[i]);
      for (float& value : values_[i]) value = from_half(to_half(value));
    }
    params_.features = values_[branch::kFeatures].data();
    params_.full.plain = values_[branch::kFullWeight].data();
    params_.full.bias = values_[branch::kFullBias].data();
    params_.half_weight = values_[branch::kHalfWeight].data();
    params_.half_bias = values_[branch::kHalfBias].data();
    params_.phases_weight = values_[branch::kPhasesWeight].data();
    params_.phases_bias = values_[branch::kPhasesBias].data();
  }

  cuda::BranchShape shape() const {
    const BranchShape& s = params_.shape;
    return {static_cast<int32_t>(s.batch), static_cast<int32_t>(s.height), static_cast<int32_t>(s.width),
            static_cast<int32_t>(s.channels), static_cast<int32_t>(s.squeezed)};
  }
  Bytes input(int which) const {
    Bytes bytes(values_[which].size() * 2);
    for (size_t i = 0; i < values_[which].size(); ++i) {
      const uint16_t half = to_half(values_[which][i]);
      std::memcpy(&bytes[2 * i], &half, 2);
    }
    return bytes;
  }
  size_t margin_bytes() const { return 2 * problem_.outputs(); }

  // Largest |difference| over largest |expected|; NaN anywhere gives infinity.
  double relative_error(const Bytes& margin) const {
    double worst = 0.0, largest = 0.0;
    size_t at = 0;
    for (int64_t n = 0; n < params_.shape.batch; ++n)
      for (const double expected : reference::mask_branch(params_, n)) {
        uint16_t half;
        std::memcpy(&half, &margin[2 * at++], 2);
        const double difference = std::abs(static_cast<double>(from_half(half)) - expected);
        worst =
            std::isfinite(difference) ? std::max(worst, difference) : std::numeric_limits<double>::infinity();
        largest = std::max(largest, std::abs(expected));
      }
    return worst / largest;
  }

 private:
  BranchProblem problem_;
  BranchParams params_;
  Floats values_[branch::kInputs];
};

// The case's tensors in a GPU's memory.
template <class Memory>
struct BranchTensors {
  explicit BranchTensors(const BranchCase& from) : margin(from.margin_bytes()) {
    for (int i = 0; i < branch::kInputs; ++i) {
      inputs.push_back(std::make_unique<Memory>(from.input(i)));
      params.inputs[i] = inputs.back()->data();
    }
    params.shape = from.shape();
    params.margin = margin.data();
  }
  std::vector<std::unique_ptr<Memory>> inputs;
  Memory margin;
  cuda::BranchParams params = {};
};

template <class Memory>
Bytes run_branch(const BranchCase& of, const std::string& where) {
  const BranchTensors<Memory> tensors(of);
  const size_t bytes = cuda::branch_workspace_bytes(of.shape());
  const Memory workspace(bytes);
  const Status status = cuda::mask_branch(tensors.params, workspace.data(), bytes, nullptr);
  expect(status == Status::kOk, where + ": " + describe(status));
  for (int i = 0; i < branch::kInputs; ++i)
    expect(tensors.inputs[static_cast<size_t>(i)]->bytes() == of.input(i), where + ": input written");
  return tensors.margin.bytes();
}

// Calls check(case, name) for the contract's sizes, and for some of several tiles and slices.
template <class Check>
void for_each_branch_case(const Check& check) {
  const auto one = [&](const int (&size)[4]) {
    std::string name = "branch";
    for (const int part : size) name += " " + std::to_string(part);
    check(BranchCase(size[0], size[1], size[2], size[3]), name);
  };
  for (const auto& size : contract::kBranchSizes) one(size);
  const int more[][4] = {
      {1, 45, 101, 16}, {2, 34, 67, 64}, {1, 33, 35, 128}, {1, 19, 40, 80}, {3, 32, 32, 48}};
  for (const auto& size : more) one(size);
}

inline void check_branch_error(const BranchCase& of, const Bytes& margin, const std::string& where) {
  const double error = of.relative_error(margin);
  worst_branch_error = std::max(worst_branch_error, error);
  expect(error <= contract::kFloat16Tolerance, where + ": relative error " + std::to_string(error));
}

}  // namespace smsr::testing
