// smsr::ScaledSum for ONNX Runtime: features = features + scales[0] * sums + scales[1] * sums ..., for
// pictures in strips. No operator of the contract: bundles hold none.
#include <vector>

#include "module/scaled_sum.h"
#include "operators.h"

namespace smsr::ort {
namespace {

enum Input { kFeatures, kScales, kSums, kInputs };
constexpr const char* kNames[] = {"features", "scales", "sums"};
constexpr contract::TensorShape kImage = {4, {"N", "H", "W", "C"}};
constexpr contract::TensorShape kShapes[] = {kImage, {2, {"K", "C"}}, kImage};
constexpr Signature kSignature = {"ScaledSum", kInputs, kNames, kShapes, kImage, 1, true};

class ScaledSumKernel {
 public:
  static const Signature& signature() { return kSignature; }

  explicit ScaledSumKernel(const Ort::ConstKernelInfo& info)
      : node_(info, kSignature, contract::convolution::kLayoutAttribute,
              contract::convolution::kComputeAttribute) {}

  void compute(OrtKernelContext* raw) const {
    const Ort::KernelContext context(raw);
    const int inputs = static_cast<int>(context.GetInputCount());
    Shapes shapes(node_.where, kSignature, context);
    shapes.set('K', inputs - kSums);
    shapes.match(kFeatures, inputs);
    shapes.expect_multiple('C', "features' channels", contract::kLanePadding);
    std::vector<const float*> sums;
    for (int i = kSums; i < inputs; ++i) sums.push_back(data(context, static_cast<size_t>(i)));
    float* const output = context.GetOutput(0, shapes.output()).GetTensorMutableData<float>();
    scaled_sum({shapes['N'] * shapes['H'] * shapes['W'], shapes['C'], shapes['K'], data(context, kFeatures),
                sums.data(), data(context, kScales), output},
               *node_.kernels, Parallel{raw, run_parallel});
  }

 private:
  Node node_;
};

}  // namespace

const OrtCustomOp* scaled_sum_op() {
  static const FloatOp<ScaledSumKernel> op;
  return &op;
}

}  // namespace smsr::ort
