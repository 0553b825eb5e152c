#include "sparse_mask_module_op.h"

#include "attention.h"

namespace smsr::ort {
namespace {

namespace op = contract::sparse_mask_module;
static_assert(kReduction == contract::kChannelAttentionReduction,
              "kernels/attention.h and the contract differ");

// dense_channels as far as the node alone tells; its length and upper bound need the shapes.
Dimensions dense_channels(const std::string& where, const Ort::ConstKernelInfo& info) {
  const Dimensions counts = info.GetAttributes<int64_t>(op::kDenseChannelsAttribute);
  if (counts.empty()) fail(where, "attribute dense_channels", "one count per layer", "none");
  for (const int64_t count : counts)
    if (count < 0) fail(where, "attribute dense_channels", "counts within 0..C", text(counts));
  return counts;
}

// All inputs against the contract's shapes; N, H, W, C come from the features, L from dense_channels.
Shape checked_shape(const std::string& where, const Ort::KernelContext& context, const Dimensions& dense) {
  const Dimensions features = dimensions(context, op::kFeatures);
  if (features.size() != 4) fail(where, "features", "(N, H, W, C)", text(features));
  const Shape shape{features[0], features[1], features[2], features[3], static_cast<int64_t>(dense.size())};
  const int64_t n = shape.batch, h = shape.height, w = shape.width, c = shape.channels, layers = shape.layers;
  if (c < 1 || c % kReduction != 0) fail(where, "features' channels", "a multiple of 16", std::to_string(c));
  const int64_t reduced = c / kReduction;
  expect_shapes(where, context,
                {{op::kMargin, "margin", {n, 1, h, w}},
                 {op::kTheta, "theta", {}},
                 {op::kConvWeights, "conv_weights", {layers, 9, c, c}},
                 {op::kCollectWeight, "collect_weight", {layers * c, c}},
                 {op::kCollectBias, "collect_bias", {c}},
                 {op::kSqueezeWeight, "squeeze_weight", {c, reduced}},
                 {op::kSqueezeBias, "squeeze_bias", {reduced}},
                 {op::kExciteWeight, "excite_weight", {reduced, c}},
                 {op::kExciteBias, "excite_bias", {c}}});
  for (const int64_t count : dense)
    if (count > c)
      fail(where, "attribute dense_channels", "counts within 0.." + std::to_string(c), text(dense));
  return shape;
}

Params parameters(const Ort::KernelContext& context, const Shape& shape, const Dimensions& dense) {
  const int64_t row = shape.width * shape.channels;
  Params p{};
  p.shape = shape;
  p.dense_channels = dense.data();
  p.features_row_stride = p.output_row_stride = row;
  p.features_image_stride = p.output_image_stride = shape.height * row;
  p.margin_row_stride = shape.width;
  p.margin_image_stride = shape.height * shape.width;
  p.theta = *data(context, op::kTheta);
  p.features = data(context, op::kFeatures);
  p.margin = data(context, op::kMargin);
  p.conv_weights = data(context, op::kConvWeights);
  p.collect_weight = data(context, op::kCollectWeight);
  p.collect_bias = data(context, op::kCollectBias);
  p.squeeze_weight = data(context, op::kSqueezeWeight);
  p.squeeze_bias = data(context, op::kSqueezeBias);
  p.excite_weight = data(context, op::kExciteWeight);
  p.excite_bias = data(context, op::kExciteBias);
  return p;
}

// Whether weights are known, and have shapes that compute() will not refuse.
bool is_good(const Constant& convolutions) {
  const Dimensions& s = convolutions.shape;
  return convolutions.data != nullptr && s.size() == 4 && s[0] > 0 && s[1] == 9 && s[2] == s[3] && s[2] > 0 &&
         s[2] % contract::kChannelAttentionReduction == 0;
}
bool is_good(const Constant& collect, const Dimensions& convolutions) {
  return collect.data != nullptr &&
         collect.shape == Dimensions{convolutions[0] * convolutions[2], convolutions[2]};
}

// Weights as the kernels want them, made once: nothing where they may change. In float32, Winograd's only.
PreparedWeights prepared_weights(const Constant& weights, const Constant& collect, bool winograd,
                                 const ReducedKernels* reduced) {
  PreparedWeights made;
  if (!is_good(weights)) return made;
  const int64_t layers = weights.shape[0], c = weights.shape[2];
  if (reduced != nullptr && is_good(collect, weights.shape)) {
    made.reduced = Aligned<Reduced>(reduced_weights_size(layers, c));
    if (made.reduced.data() != nullptr)
      prepare_reduced_weights(*reduced, weights.data, collect.data, layers, c, made.reduced.data());
  } else if (winograd) {
    made.single = Aligned<float>(prepared_weights_size(layers, c));
    if (made.single.data() != nullptr) prepare_weights(weights.data, layers, c, made.single.data());
  }
  return made;
}

}  // namespace

SparseMaskModuleKernel::SparseMaskModuleKernel(const Ort::ConstKernelInfo& info)
    : node_(info, op::kName, op::kLayoutAttribute, op::kComputeAttribute),
      dense_channels_(dense_channels(node_.where, info)),
      winograd_(winograd_allowed(node_.where)),
      prepared_(prepared_weights(constant(info, op::kConvWeights), constant(info, op::kCollectWeight),
                                 winograd_, node_.reduced)) {}

void SparseMaskModuleKernel::compute(OrtKernelContext* raw) const {
  const Ort::KernelContext context(raw);
  const Shape shape = checked_shape(node_.where, context, dense_channels_);
  const Dimensions output{shape.batch, shape.height, shape.width, shape.channels};
  Params params = parameters(context, shape, dense_channels_);
  params.prepared_weights = prepared_.single.data();
  params.reduced_weights = prepared_.reduced.data();
  params.reduced_tiles = winograd_;
  params.output = context.GetOutput(0, output).GetTensorMutableData<float>();
  const size_t bytes = workspace_bytes(shape);
  node_.run(raw, shape, bytes, [&](const Parallel& parallel, void* workspace) {
    return sparse_mask_module(params, *node_.kernels, parallel, workspace, bytes);
  });
}

OrtStatusPtr SparseMaskModuleKernel::ComputeV2(OrtKernelContext* context) const {
  return as_status([&] { compute(context); });
}

SparseMaskModuleOp::SparseMaskModuleOp() {
  InferOutputShapeFn = [](const OrtCustomOp*, OrtShapeInferContext* context) {
    return same_as_input(context, op::kFeatures);
  };
}

}  // namespace smsr::ort
