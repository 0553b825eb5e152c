// One case of the contract as the CUDA core takes it: tensors of its type and layout, and what must come out.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "half.h"
#include "problem.h"
#include "module/reference.h"
#include "smsr_contract.h"
#include "sparse_mask_module_cuda.h"

namespace smsr::testing {

using Bytes = std::vector<unsigned char>;

inline Spec spec_of(const contract::Case& c, float theta) {
  return {{c.n, c.h, c.w, c.channels, c.layers}, {c.dense, c.dense + c.layers}, c.mask, c.dead, theta};
}

// Rounds the problem's numbers to the type first, so that the reference sees what the GPU sees.
class ModuleCase {
 public:
  enum Input {
    kFeatures,
    kMargin,
    kTheta,
    kConv,
    kCollect,
    kCollectBias,
    kSqueeze,
    kSqueezeBias,
    kExcite,
    kExciteBias,
    kInputs
  };

  ModuleCase(const Spec& spec, smsr_cuda_type type) : spec_(spec), type_(type), problem_(spec) {
    const Params p = problem_.params(nullptr);
    const int64_t c = p.shape.channels, layers = p.shape.layers, reduced = c / 16;
    const int64_t pixels = p.shape.batch * p.shape.height * p.shape.width;
    take(kFeatures, p.features, pixels * c);
    take(kMargin, p.margin, pixels);
    take(kTheta, &spec_.theta, 1);
    take(kConv, p.conv_weights, layers * 9 * c * c);
    take(kCollect, p.collect_weight, layers * c * c);
    take(kCollectBias, p.collect_bias, c);
    take(kSqueeze, p.squeeze_weight, c * reduced);
    take(kSqueezeBias, p.squeeze_bias, reduced);
    take(kExcite, p.excite_weight, reduced * c);
    take(kExciteBias, p.excite_bias, c);
    dense_.assign(spec.dense.begin(), spec.dense.end());
  }

  smsr_cuda_shape shape(smsr_cuda_layout layout) const {
    const Shape& s = spec_.shape;
    return {narrow(s.batch), narrow(s.height), narrow(s.width), narrow(s.channels), narrow(s.layers), type_,
            layout};
  }
  smsr_cuda_module module(smsr_cuda_layout layout, void* const (&inputs)[kInputs], void* output) const {
    return {shape(layout),
            dense_.data(),
            inputs[kFeatures],
            inputs[kMargin],
            inputs[kTheta],
            inputs[kConv],
            inputs[kCollect],
            inputs[kCollectBias],
            inputs[kSqueeze],
            inputs[kSqueezeBias],
            inputs[kExcite],
            inputs[kExciteBias],
            output};
  }
  double tolerance() const {
    return type_ == SMSR_CUDA_FLOAT16 ? contract::kFloat16Tolerance : contract::kFloat32Tolerance;
  }

  // The tensor as it lies in memory.
  Bytes input(int which, smsr_cuda_layout layout) const {
    const Floats& values = values_[which];
    const size_t size = type_ == SMSR_CUDA_FLOAT16 ? 2 : 4;
    Bytes bytes(values.size() * size);
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t at = which == kFeatures ? place(i, layout) : i;
      const uint16_t half = to_half(values[i]);
      std::memcpy(bytes.data() + at * size, size == 2 ? static_cast<const void*>(&half) : &values[i], size);
    }
    return bytes;
  }
  size_t output_bytes() const { return values_[kFeatures].size() * (type_ == SMSR_CUDA_FLOAT16 ? 2 : 4); }

  // Largest |difference| over largest |reference - features|; NaN anywhere gives infinity.
  double relative_error(const Bytes& output, smsr_cuda_layout layout) {
    if (expected_.empty()) make_expected();
    double worst = 0.0, largest = 0.0;
    for (size_t i = 0; i < expected_.size(); ++i) {
      const double found = number(output, place(i, layout));
      const double difference = std::abs(expected_[i] + static_cast<double>(values_[kFeatures][i]) - found);
      worst =
          std::isfinite(difference) ? std::max(worst, difference) : std::numeric_limits<double>::infinity();
      largest = std::max(largest, std::abs(expected_[i]));
    }
    return largest > 0.0 ? worst / largest : worst;
  }

  // Are two outputs the same bits, each in its layout?
  bool same(const Bytes& a, smsr_cuda_layout layout_a, const Bytes& b, smsr_cuda_layout layout_b) const {
    const size_t size = type_ == SMSR_CUDA_FLOAT16 ? 2 : 4;
    for (size_t i = 0; i < values_[kFeatures].size(); ++i)
      if (std::memcmp(&a[place(i, layout_a) * size], &b[place(i, layout_b) * size], size) != 0) return false;
    return true;
  }

 private:
  static int32_t narrow(int64_t value) { return static_cast<int32_t>(value); }

  void take(int which, const float* from, int64_t count) {
    values_[which].assign(from, from + count);
    if (type_ == SMSR_CUDA_FLOAT16)
      for (float& value : values_[which]) value = from_half(to_half(value));
  }

  double number(const Bytes& bytes, size_t at) const {
    if (type_ == SMSR_CUDA_FLOAT16) {
      uint16_t half;
      std::memcpy(&half, &bytes[at * 2], 2);
      return static_cast<double>(from_half(half));
    }
    float value;
    std::memcpy(&value, &bytes[at * 4], 4);
    return static_cast<double>(value);
  }

  // Where number i of an N H W C tensor lies.
  size_t place(size_t i, smsr_cuda_layout layout) const {
    if (layout == SMSR_CUDA_NHWC) return i;
    const size_t c = static_cast<size_t>(spec_.shape.channels);
    const size_t pixels = static_cast<size_t>(spec_.shape.height * spec_.shape.width);
    return (i / c / pixels * c + i % c) * pixels + i / c % pixels;
  }

  void make_expected() {
    Params p = problem_.params(nullptr);
    p.features = values_[kFeatures].data();
    p.margin = values_[kMargin].data();
    p.theta = values_[kTheta][0];
    p.conv_weights = values_[kConv].data();
    p.collect_weight = values_[kCollect].data();
    p.collect_bias = values_[kCollectBias].data();
    p.squeeze_weight = values_[kSqueeze].data();
    p.squeeze_bias = values_[kSqueezeBias].data();
    p.excite_weight = values_[kExcite].data();
    p.excite_bias = values_[kExciteBias].data();
    for (int64_t n = 0; n < spec_.shape.batch; ++n) {
      const reference::Doubles image = reference::module_without_residual(p, n);
      expected_.insert(expected_.end(), image.begin(), image.end());
    }
  }

  Spec spec_;
  smsr_cuda_type type_;
  Problem problem_;
  Floats values_[kInputs];
  std::vector<int32_t> dense_;
  reference::Doubles expected_;
};

}  // namespace smsr::testing
