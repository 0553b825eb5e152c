// smsr::Convolution, ConvolutionRelu and ConvolutionAdd for ONNX Runtime.
#include <algorithm>

#include "dense/dense_convolution.h"
#include "operators.h"

namespace smsr::ort {
namespace {

namespace op = contract::convolution_add;  // its first inputs are all inputs of the other two

template <class Input>
constexpr bool same_order(Input features, Input weight, Input bias, Input inputs) {
  return static_cast<int>(features) == op::kFeatures && static_cast<int>(weight) == op::kWeight &&
         static_cast<int>(bias) == op::kBias && static_cast<int>(inputs) == op::kAddend;
}
static_assert(same_order(contract::convolution::kFeatures, contract::convolution::kWeight,
                         contract::convolution::kBias, contract::convolution::kInputs));
static_assert(same_order(contract::convolution_relu::kFeatures, contract::convolution_relu::kWeight,
                         contract::convolution_relu::kBias, contract::convolution_relu::kInputs));

// What the three differ in.
enum Kind { kPlain, kRelu, kAdd };
constexpr Signature kSignatures[] = {
    {contract::convolution::kName, op::kAddend, op::kInputNames, op::kInputShapes, op::kOutputShape},
    {contract::convolution_relu::kName, op::kAddend, op::kInputNames, op::kInputShapes, op::kOutputShape},
    {op::kName, op::kInputs, op::kInputNames, op::kInputShapes, op::kOutputShape}};

class ConvolutionKernel {
 public:
  ConvolutionKernel(const Ort::ConstKernelInfo& info, Kind kind)
      : kind_(kind),
        node_(info, kSignatures[kind], op::kLayoutAttribute, op::kComputeAttribute),
        prepared_(prepared_convolution(node_, constant(info, op::kWeight))) {}

  void compute(OrtKernelContext* raw) const {
    const Ort::KernelContext context(raw);
    const Shapes shapes = matched(context);
    const int taps = static_cast<int>(shapes['T']);
    DenseParams params{};
    params.shape = {shapes['N'], shapes['H'], shapes['W'], shapes['I'], shapes['O'], taps};
    params.relu = kind_ == kRelu;
    params.features = data(context, op::kFeatures);
    params.weights = {data(context, op::kWeight), prepared_.single.data(), prepared_.reduced.data(),
                      data(context, op::kBias)};
    if (kind_ == kAdd) params.addend = data(context, op::kAddend);
    params.output = context.GetOutput(0, shapes.output()).GetTensorMutableData<float>();
    const size_t bytes = dense_workspace_bytes(params.shape, params.weights.winograd());
    node_.run(raw, shapes, bytes, [&](const Parallel& parallel, void* workspace) {
      return dense_convolution(params, *node_.kernels, parallel, workspace, bytes);
    });
  }

 private:
  Shapes matched(const Ort::KernelContext& context) const {
    Shapes shapes(node_.where, node_.signature, context);
    shapes.match(op::kFeatures, node_.signature.count);
    shapes.expect_multiple('I', "features' channels", 1);
    shapes.expect_multiple('O', "weight's output channels", contract::kLanePadding);
    if (shapes['T'] != 9 && shapes['T'] != 1)
      fail(node_.where, "weight's taps", "9 or 1", std::to_string(shapes['T']));
    return shapes;
  }

  Kind kind_;
  Node node_;
  PreparedWeights prepared_;  // of a constant weight
};

template <Kind kind>
struct ConvolutionKernelOf : ConvolutionKernel {
  static const Signature& signature() { return kSignatures[kind]; }
  explicit ConvolutionKernelOf(const Ort::ConstKernelInfo& info) : ConvolutionKernel(info, kind) {}
};

// ONNX Runtime calls GetMayInplace since 1.18.
constexpr uint32_t kInPlaceVersion = 18;

// Every output pixel reads the addend at its own place only, so the addend's memory may be the output's.
struct AddOp : FloatOp<ConvolutionKernelOf<kAdd>> {
  explicit AddOp(uint32_t runtime) {
    version = std::min(runtime, kInPlaceVersion);
    GetMayInplace = [](int** inputs, int** outputs) -> size_t {
      *inputs = new int(op::kAddend);
      *outputs = new int(0);
      return 1;
    };
    ReleaseMayInplace = [](int* inputs, int* outputs) {
      delete inputs;
      delete outputs;
    };
  }
};

}  // namespace

std::array<const OrtCustomOp*, 3> convolution_ops(uint32_t runtime) {
  static const FloatOp<ConvolutionKernelOf<kPlain>> plain;
  static const FloatOp<ConvolutionKernelOf<kRelu>> relu;
  static const AddOp add(runtime);
  return {&plain, &relu, &add};
}

}  // namespace smsr::ort
