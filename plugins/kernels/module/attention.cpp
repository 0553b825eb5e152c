#include "module/attention.h"

#include <cmath>

#include "smsr_contract.h"

namespace smsr {
namespace {

void pool(const Shape& shape, const float* row_sums, float* mean) {
  const double pixels = static_cast<double>(shape.height) * static_cast<double>(shape.width);
  for (int64_t c = 0; c < shape.channels; ++c) {
    double sum = 0.0;
    for (int64_t y = 0; y < shape.height; ++y) sum += static_cast<double>(row_sums[y * shape.channels + c]);
    mean[c] = static_cast<float>(sum / pixels);
  }
}

// One output of a fully connected layer; weight [inputs][outputs].
double fully_connected(const float* in, int64_t inputs, const float* weight, int64_t outputs,
                       const float* bias, int64_t o) {
  double sum = static_cast<double>(bias[o]);
  for (int64_t i = 0; i < inputs; ++i)
    sum += static_cast<double>(in[i]) * static_cast<double>(weight[i * outputs + o]);
  return sum;
}

}  // namespace

void attention_scale(const Params& params, const float* row_sums, float* squeezed, float* scale) {
  const int64_t channels = params.shape.channels, reduced = channels / contract::kChannelAttentionReduction;
  pool(params.shape, row_sums, scale);
  for (int64_t r = 0; r < reduced; ++r) {
    const double value =
        fully_connected(scale, channels, params.squeeze_weight, reduced, params.squeeze_bias, r);
    squeezed[r] = value < 0.0 ? 0.0f : static_cast<float>(value);  // NaN stays NaN
  }
  for (int64_t c = 0; c < channels; ++c) {
    const double value =
        fully_connected(squeezed, reduced, params.excite_weight, channels, params.excite_bias, c);
    scale[c] = static_cast<float>(1.0 / (1.0 + std::exp(-value)));
  }
}

}  // namespace smsr
