#include "mask_branch_op.h"

#include "convolution_op.h"

namespace smsr::ort {
namespace {

namespace op = contract::mask_branch;

SymbolicShape output_shape(const Ort::ShapeInferContext& inputs) {
  const SymbolicShape features = inputs.GetInputShape(op::kFeatures);
  if (features.size() != 4) return {};
  return {features[0], 1, features[1], features[2]};
}

// All inputs against the contract's shapes; N, H, W, C come from the features, Q from full_weight.
BranchShape checked_shape(const std::string& where, const Ort::KernelContext& context) {
  const Dimensions features = dimensions(context, op::kFeatures), full = dimensions(context, op::kFullWeight);
  if (features.size() != 4) fail(where, "features", "(N, H, W, C)", text(features));
  const int64_t c = features[3];
  if (c < 1 || c % 16 != 0) fail(where, "features' channels", "a multiple of 16", std::to_string(c));
  const int64_t q = full.size() == 3 ? full[2] : 0;
  if (full.size() != 3 || full[0] != 9 || full[1] != c || q < 1 || q % 16 != 0)
    fail(where, "full_weight", "(9, " + std::to_string(c) + ", Q), Q a multiple of 16", text(full));
  expect_shapes(where, context,
                {{op::kFullBias, "full_bias", {q}},
                 {op::kHalfWeight, "half_weight", {9, q, q}},
                 {op::kHalfBias, "half_bias", {q}},
                 {op::kPhasesWeight, "phases_weight", {4, q, 4}},
                 {op::kPhasesBias, "phases_bias", {4}}});
  return {features[0], features[1], features[2], c, q};
}

}  // namespace

MaskBranchKernel::MaskBranchKernel(const Ort::ConstKernelInfo& info)
    : node_(info, op::kName, op::kLayoutAttribute, op::kComputeAttribute),
      prepared_(prepared_convolution(node_, constant(info, op::kFullWeight))) {}

void MaskBranchKernel::compute(OrtKernelContext* raw) const {
  const Ort::KernelContext context(raw);
  const BranchShape shape = checked_shape(node_.where, context);
  const Dimensions output{shape.batch, 1, shape.height, shape.width};
  BranchParams params{};
  params.shape = shape;
  params.features = data(context, op::kFeatures);
  params.full_weight = data(context, op::kFullWeight);
  params.full_prepared = prepared_.single.data();
  params.full_reduced = prepared_.reduced.data();
  params.full_bias = data(context, op::kFullBias);
  params.half_weight = data(context, op::kHalfWeight);
  params.half_bias = data(context, op::kHalfBias);
  params.phases_weight = data(context, op::kPhasesWeight);
  params.phases_bias = data(context, op::kPhasesBias);
  params.margin = context.GetOutput(0, output).GetTensorMutableData<float>();
  const size_t bytes = branch_workspace_bytes(shape, prepared_.any());
  node_.run(raw, shape, bytes, [&](const Parallel& parallel, void* workspace) {
    return mask_branch(params, *node_.kernels, parallel, workspace, bytes);
  });
}

OrtStatusPtr MaskBranchKernel::ComputeV2(OrtKernelContext* context) const {
  return as_status([&] { compute(context); });
}

MaskBranchOp::MaskBranchOp() {
  InferOutputShapeFn = [](const OrtCustomOp*, OrtShapeInferContext* context) {
    return infer_shape(context, output_shape);
  };
}

}  // namespace smsr::ort
