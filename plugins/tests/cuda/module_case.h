// One case of the contract for the CUDA kernels: inputs of a type and layout, and the expected output.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cuda/sparse_mask_module_cuda.h"
#include "half.h"
#include "module/reference.h"
#include "problem.h"
#include "smsr_contract.h"
#include "smsr_shapes.h"

namespace smsr::testing {

using Bytes = std::vector<unsigned char>;

inline Spec spec_of(const contract::Case& c, float theta) {
  return {{c.n, c.h, c.w, c.channels, c.layers}, {c.dense, c.dense + c.layers}, c.mask, c.dead, theta};
}

namespace op = contract::sparse_mask_module;

// Rounds the problem's numbers to the type first, so that the reference computes with the same ones as the
// GPU.
class ModuleCase {
 public:
  ModuleCase(const Spec& spec, cuda::Type type) : spec_(spec), type_(type), problem_(spec) {
    const Params p = problem_.params(nullptr);
    const float* tensors[op::kInputs] = {p.features,       p.margin,       &spec_.theta,     p.conv_weights,
                                         p.collect_weight, p.collect_bias, p.squeeze_weight, p.squeeze_bias,
                                         p.excite_weight,  p.excite_bias};
    contract::Letters letters;
    letters['N'] = p.shape.batch;
    letters['H'] = p.shape.height;
    letters['W'] = p.shape.width;
    letters['C'] = p.shape.channels;
    letters['L'] = p.shape.layers;
    letters['R'] = p.shape.channels / contract::kChannelAttentionReduction;
    for (int i = 0; i < op::kInputs; ++i) {
      int64_t count = 1;
      for (int axis = 0; axis < op::kInputShapes[i].rank; ++axis)
        count *= contract::size_of(op::kInputShapes[i].sizes[axis], letters);
      values_[i] = rounded(tensors[i], count);
    }
    dense_.assign(spec.dense.begin(), spec.dense.end());
  }

  cuda::Shape shape(cuda::Layout layout) const {
    const Shape& s = spec_.shape;
    return {narrow(s.batch), narrow(s.height), narrow(s.width), narrow(s.channels), narrow(s.layers), type_,
            layout};
  }
  cuda::Params params(cuda::Layout layout, void* const (&inputs)[op::kInputs], void* output) const {
    cuda::Params made = {shape(layout), dense_.data(), {}, output};
    std::copy(inputs, inputs + op::kInputs, made.inputs);
    return made;
  }
  double tolerance() const {
    return type_ == cuda::Type::kFloat16 ? contract::kFloat16Tolerance : contract::kFloat32Tolerance;
  }

  // The input's bytes.
  Bytes input(int which, cuda::Layout layout) const {
    const Floats& values = values_[which];
    const size_t size = type_ == cuda::Type::kFloat16 ? 2 : 4;
    Bytes bytes(values.size() * size);
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t at = which == op::kFeatures ? place(i, layout) : i;
      const uint16_t half = to_half(values[i]);
      std::memcpy(bytes.data() + at * size, size == 2 ? static_cast<const void*>(&half) : &values[i], size);
    }
    return bytes;
  }
  size_t output_bytes() const {
    return values_[op::kFeatures].size() * (type_ == cuda::Type::kFloat16 ? 2 : 4);
  }

  // Largest |difference| over largest |reference - features|; NaN anywhere gives infinity.
  double relative_error(const Bytes& output, cuda::Layout layout) {
    if (expected_.empty()) make_expected();
    double worst = 0.0, largest = 0.0;
    for (size_t i = 0; i < expected_.size(); ++i) {
      const double computed = number(output, place(i, layout));
      const double difference =
          std::abs(expected_[i] + static_cast<double>(values_[op::kFeatures][i]) - computed);
      worst =
          std::isfinite(difference) ? std::max(worst, difference) : std::numeric_limits<double>::infinity();
      largest = std::max(largest, std::abs(expected_[i]));
    }
    return largest > 0.0 ? worst / largest : worst;
  }

  // Whether two outputs, each in its layout, have the same bits.
  bool same(const Bytes& a, cuda::Layout layout_a, const Bytes& b, cuda::Layout layout_b) const {
    const size_t size = type_ == cuda::Type::kFloat16 ? 2 : 4;
    for (size_t i = 0; i < values_[op::kFeatures].size(); ++i)
      if (std::memcmp(&a[place(i, layout_a) * size], &b[place(i, layout_b) * size], size) != 0) return false;
    return true;
  }

 private:
  static int32_t narrow(int64_t value) { return static_cast<int32_t>(value); }

  Floats rounded(const float* from, int64_t count) const {
    Floats values(from, from + count);
    if (type_ == cuda::Type::kFloat16)
      for (float& value : values) value = from_half(to_half(value));
    return values;
  }

  double number(const Bytes& bytes, size_t at) const {
    if (type_ == cuda::Type::kFloat16) {
      uint16_t half;
      std::memcpy(&half, &bytes[at * 2], 2);
      return static_cast<double>(from_half(half));
    }
    float value;
    std::memcpy(&value, &bytes[at * 4], 4);
    return static_cast<double>(value);
  }

  // Index of number i of an N H W C tensor in the layout.
  size_t place(size_t i, cuda::Layout layout) const {
    if (layout == cuda::Layout::kNhwc) return i;
    const size_t c = static_cast<size_t>(spec_.shape.channels);
    const size_t pixels = static_cast<size_t>(spec_.shape.height * spec_.shape.width);
    return (i / c / pixels * c + i % c) * pixels + i / c % pixels;
  }

  void make_expected() {
    Params p = problem_.params(nullptr);
    p.features = values_[op::kFeatures].data();
    p.margin = values_[op::kMargin].data();
    p.theta = values_[op::kTheta][0];
    p.conv_weights = values_[op::kConvWeights].data();
    p.collect_weight = values_[op::kCollectWeight].data();
    p.collect_bias = values_[op::kCollectBias].data();
    p.squeeze_weight = values_[op::kSqueezeWeight].data();
    p.squeeze_bias = values_[op::kSqueezeBias].data();
    p.excite_weight = values_[op::kExciteWeight].data();
    p.excite_bias = values_[op::kExciteBias].data();
    for (int64_t n = 0; n < spec_.shape.batch; ++n) {
      const reference::Doubles image = reference::module_without_residual(p, n);
      expected_.insert(expected_.end(), image.begin(), image.end());
    }
  }

  Spec spec_;
  cuda::Type type_;
  Problem problem_;
  Floats values_[op::kInputs];
  std::vector<int32_t> dense_;
  reference::Doubles expected_;
};

}  // namespace smsr::testing
