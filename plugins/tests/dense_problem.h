// Made-up inputs of the dense convolutions and the mask branch, owned.
#pragma once

#include "dense/dense_convolution.h"
#include "dense/mask_branch.h"
#include "problem.h"

namespace smsr::testing {

inline Floats uniform(std::mt19937* random, int64_t count, double largest) {
  std::uniform_real_distribution<float> draw(-1.0f, 1.0f);
  Floats values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(largest) * draw(*random);
  return values;
}

// Weights [taps, inputs, outputs] that keep values about as large as they are.
inline Floats weights(std::mt19937* random, int64_t taps, int64_t inputs, int64_t outputs) {
  return uniform(random, taps * inputs * outputs, std::sqrt(6.0 / static_cast<double>(taps * inputs)));
}

inline Floats prepared(const Floats& weight, int64_t taps, int64_t inputs, int64_t outputs) {
  Floats made(static_cast<size_t>(prepared_dense_weights(inputs, outputs, static_cast<int>(taps))));
  if (!made.empty()) prepare_dense_weights(weight.data(), inputs, outputs, made.data());
  return made;
}

inline Halves prepared_reduced(const ReducedKernels& kernels, const Floats& weight, int64_t inputs,
                               int64_t outputs) {
  Halves made(static_cast<size_t>(reduced_dense_weights(inputs, outputs, 9)));
  prepare_reduced_dense_weights(kernels, weight.data(), inputs, outputs, made.data());
  return made;
}

class ConvolutionProblem {
 public:
  using Params = DenseParams;
  ConvolutionProblem(const DenseShape& shape, bool relu, bool add) : shape_(shape), relu_(relu) {
    std::mt19937 random(54321);
    const int64_t pixels = shape.batch * shape.height * shape.width;
    features_ = uniform(&random, pixels * shape.inputs, 2.0);
    weight_ = weights(&random, shape.taps, shape.inputs, shape.outputs);
    prepared_ = prepared(weight_, shape.taps, shape.inputs, shape.outputs);
    bias_ = uniform(&random, shape.outputs, 0.5);
    if (add) addend_ = uniform(&random, pixels * shape.outputs, 3.0);
  }
  bool has_winograd() const { return !prepared_.empty(); }
  const Floats& addend() const { return addend_; }
  int64_t batch() const { return shape_.batch; }
  size_t outputs() const {
    return static_cast<size_t>(shape_.batch * shape_.height * shape_.width * shape_.outputs);
  }
  bool has(const Mode& mode) const { return mode.winograd ? has_winograd() : mode.reduced == nullptr; }
  Params params(float* output, const Mode& mode) const {
    if (mode.reduced != nullptr && reduced_.empty())
      reduced_ = prepared_reduced(*mode.reduced, weight_, shape_.inputs, shape_.outputs);
    return {shape_,
            relu_,
            features_.data(),
            {weight_.data(), mode.winograd && has_winograd() ? prepared_.data() : nullptr,
             mode.reduced != nullptr ? reduced_.data() : nullptr, bias_.data()},
            addend_.empty() ? nullptr : addend_.data(),
            output};
  }
  double macs() const {
    return static_cast<double>(outputs()) * static_cast<double>(shape_.taps * shape_.inputs);
  }
  static size_t bytes(const Params& p) { return dense_workspace_bytes(p.shape, p.weights.winograd()); }
  static Status run(const Params& p, const Kernels& kernels, const Parallel& parallel, void* workspace,
                    size_t bytes) {
    return dense_convolution(p, kernels, parallel, workspace, bytes);
  }

 private:
  DenseShape shape_;
  bool relu_;
  Floats features_, weight_, prepared_, bias_, addend_;
  mutable Halves reduced_;  // made when first needed
};

class BranchProblem {
 public:
  using Params = BranchParams;
  BranchProblem(int64_t batch, int64_t height, int64_t width, int64_t channels)
      : shape_{batch, height, width, channels,
               divide_up(channels / 4, contract::kLanePadding) * contract::kLanePadding} {
    std::mt19937 random(98765);
    const int64_t c = shape_.channels, q = shape_.squeezed;
    features_ = uniform(&random, batch * height * width * c, 2.0);
    full_weight_ = weights(&random, 9, c, q);
    full_prepared_ = prepared(full_weight_, 9, c, q);
    full_bias_ = uniform(&random, q, 0.5);
    half_weight_ = weights(&random, 9, q, q);
    half_bias_ = uniform(&random, q, 0.5);
    phases_weight_ = weights(&random, 4, q, 4);
    phases_bias_ = uniform(&random, 4, 0.5);
  }
  bool has_winograd() const { return true; }
  int64_t batch() const { return shape_.batch; }
  size_t outputs() const { return static_cast<size_t>(shape_.batch * shape_.height * shape_.width); }
  bool has(const Mode& mode) const { return mode.winograd || mode.reduced == nullptr; }
  Params params(float* margin, const Mode& mode) const {
    if (mode.reduced != nullptr && full_reduced_.empty())
      full_reduced_ = prepared_reduced(*mode.reduced, full_weight_, shape_.channels, shape_.squeezed);
    return {shape_,
            features_.data(),
            {full_weight_.data(), mode.winograd ? full_prepared_.data() : nullptr,
             mode.reduced != nullptr ? full_reduced_.data() : nullptr, full_bias_.data()},
            half_weight_.data(),
            half_bias_.data(),
            phases_weight_.data(),
            phases_bias_.data(),
            margin};
  }
  double macs() const {
    const double c = static_cast<double>(shape_.channels), q = static_cast<double>(shape_.squeezed);
    return static_cast<double>(outputs()) * (9.0 * c * q + (9.0 * q * q + 16.0 * q) / 4.0);
  }
  static size_t bytes(const Params& p) { return branch_workspace_bytes(p.shape, p.full.winograd()); }
  static Status run(const Params& p, const Kernels& kernels, const Parallel& parallel, void* workspace,
                    size_t bytes) {
    return mask_branch(p, kernels, parallel, workspace, bytes);
  }

 private:
  BranchShape shape_;
  Floats features_, full_weight_, full_prepared_, full_bias_, half_weight_, half_bias_, phases_weight_,
      phases_bias_;
  mutable Halves full_reduced_;  // made when first needed
};

}  // namespace smsr::testing
