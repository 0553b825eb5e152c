// smsr::MaskBranch for ONNX Runtime.
#include "dense/mask_branch.h"
#include "operators.h"

namespace smsr::ort {
namespace {

namespace op = contract::mask_branch;
constexpr Signature kSignature = {op::kName, op::kInputs, op::kInputNames, op::kInputShapes,
                                  op::kOutputShape};

class MaskBranchKernel {
 public:
  static const Signature& signature() { return kSignature; }

  explicit MaskBranchKernel(const Ort::ConstKernelInfo& info)
      : node_(info, kSignature, op::kLayoutAttribute, op::kComputeAttribute),
        prepared_(prepared_convolution(node_, constant(info, op::kFullWeight))) {}

  void compute(OrtKernelContext* raw) const {
    const Ort::KernelContext context(raw);
    const Shapes shapes = matched(context);
    BranchParams params{};
    params.shape = {shapes['N'], shapes['H'], shapes['W'], shapes['C'], shapes['Q']};
    params.features = data(context, op::kFeatures);
    params.full = {data(context, op::kFullWeight), prepared_.single.data(), prepared_.reduced.data(),
                   data(context, op::kFullBias)};
    params.half_weight = data(context, op::kHalfWeight);
    params.half_bias = data(context, op::kHalfBias);
    params.phases_weight = data(context, op::kPhasesWeight);
    params.phases_bias = data(context, op::kPhasesBias);
    params.margin = context.GetOutput(0, shapes.output()).GetTensorMutableData<float>();
    const size_t bytes = branch_workspace_bytes(params.shape, params.full.winograd());
    node_.run(raw, shapes, bytes, [&](const Parallel& parallel, void* workspace) {
      return mask_branch(params, *node_.kernels, parallel, workspace, bytes);
    });
  }

 private:
  Shapes matched(const Ort::KernelContext& context) const {
    Shapes shapes(node_.where, kSignature, context);
    shapes.match(op::kFeatures, op::kInputs);
    shapes.expect_multiple('C', "features' channels", contract::kLanePadding);
    shapes.expect_multiple('Q', "full_weight's output channels", contract::kLanePadding);
    return shapes;
  }

  Node node_;
  PreparedWeights prepared_;  // of a constant full_weight
};

}  // namespace

const OrtCustomOp* mask_branch_op() {
  static const FloatOp<MaskBranchKernel> op;
  return &op;
}

}  // namespace smsr::ort
