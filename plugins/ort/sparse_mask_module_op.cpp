// smsr::SparseMaskModule for ONNX Runtime, and SparseMaskSums: what it computes before attention, for
// pictures in strips. Checks what the session hands over and calls the kernels.
#include "module/sparse_mask_module.h"
#include "operators.h"

namespace smsr::ort {
namespace {

namespace op = contract::sparse_mask_module;
constexpr Signature kSignature = {op::kName, op::kInputs, op::kInputNames, op::kInputShapes,
                                  op::kOutputShape};
// No operator of the contract: bundles hold none, the runtime makes them of the module's nodes.
constexpr Signature kSumsSignature = {"SparseMaskSums", op::kSqueezeWeight, op::kInputNames,
                                      op::kInputShapes, op::kOutputShape,   2};

// dense_channels as far as the node alone shows; its length and upper bound need the shapes.
Dimensions dense_channels(const std::string& where, const Ort::ConstKernelInfo& info) {
  const Dimensions counts = info.GetAttributes<int64_t>(op::kDenseChannelsAttribute);
  if (counts.empty()) fail(where, "attribute dense_channels", "one count per layer", "none");
  for (const int64_t count : counts)
    if (count < 0) fail(where, "attribute dense_channels", "counts within 0..C", text(counts));
  return counts;
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
  return p;
}

void add_attention(const Ort::KernelContext& context, Params* params) {
  Params& p = *params;
  p.squeeze_weight = data(context, op::kSqueezeWeight);
  p.squeeze_bias = data(context, op::kSqueezeBias);
  p.excite_weight = data(context, op::kExciteWeight);
  p.excite_bias = data(context, op::kExciteBias);
}

// Whether weights are known, and have shapes that compute() will not refuse.
bool is_good(const Constant& convolutions) {
  const Dimensions& s = convolutions.shape;
  return convolutions.data != nullptr && s.size() == 4 && s[0] > 0 && s[1] == 9 && s[2] == s[3] && s[2] > 0 &&
         s[2] % contract::kLanePadding == 0;
}
bool is_good(const Constant& collect, const Dimensions& convolutions) {
  return collect.data != nullptr &&
         collect.shape == Dimensions{convolutions[0] * convolutions[2], convolutions[2]};
}

// Prepared once: nothing where weights may change. In float32 for Winograd only.
PreparedWeights prepared_weights(const Node& node, const Constant& weights, const Constant& collect) {
  if (!is_good(weights)) return {};
  const int64_t layers = weights.shape[0], c = weights.shape[2];
  if (node.reduced != nullptr && is_good(collect, weights.shape))
    return {{}, filled<Reduced>(reduced_weights_size(layers, c), [&](Reduced* to) {
              prepare_reduced_weights(*node.reduced, weights.data, collect.data, layers, c, to);
            })};
  if (!node.winograd) return {};
  return {filled<float>(prepared_weights_size(layers, c),
                        [&](float* to) { prepare_weights(weights.data, layers, c, to); }),
          {}};
}

template <bool sums>
class SparseMaskModuleKernel {
 public:
  static const Signature& signature() { return sums ? kSumsSignature : kSignature; }

  explicit SparseMaskModuleKernel(const Ort::ConstKernelInfo& info)
      : node_(info, signature(), op::kLayoutAttribute, op::kComputeAttribute),
        dense_channels_(dense_channels(node_.where, info)),
        prepared_(
            prepared_weights(node_, constant(info, op::kConvWeights), constant(info, op::kCollectWeight))) {}

  void compute(OrtKernelContext* raw) const {
    const Ort::KernelContext context(raw);
    const Shapes shapes = matched(context);
    const Shape shape{shapes['N'], shapes['H'], shapes['W'], shapes['C'], shapes['L']};
    Params params = parameters(context, shape, dense_channels_);
    params.prepared_weights = prepared_.single.data();
    params.reduced_weights = prepared_.reduced.data();
    params.reduced_tiles = node_.winograd;
    params.output = context.GetOutput(0, shapes.output()).template GetTensorMutableData<float>();
    if constexpr (sums) {
      const Dimensions rows{shape.batch, shape.height, 1, shape.channels};
      params.row_sums = context.GetOutput(1, rows).template GetTensorMutableData<float>();
    } else {
      add_attention(context, &params);
    }
    const size_t bytes = workspace_bytes(shape);
    node_.run(raw, shapes, bytes, [&](const Parallel& parallel, void* workspace) {
      return sparse_mask_module(params, *node_.kernels, parallel, workspace, bytes);
    });
  }

 private:
  Shapes matched(const Ort::KernelContext& context) const {
    Shapes shapes(node_.where, signature(), context);
    shapes.match(op::kFeatures, op::kMargin);
    shapes.expect_multiple('C', "features' channels", contract::kChannelAttentionReduction);
    const int64_t channels = shapes['C'];
    shapes.set('R', channels / contract::kChannelAttentionReduction);
    shapes.set('L', static_cast<int64_t>(dense_channels_.size()));
    shapes.match(op::kMargin, signature().count);
    for (const int64_t count : dense_channels_)
      if (count > channels)
        fail(node_.where, "attribute dense_channels", "counts within 0.." + std::to_string(channels),
             text(dense_channels_));
    return shapes;
  }

  Node node_;
  Dimensions dense_channels_;
  PreparedWeights prepared_;
};

}  // namespace

const OrtCustomOp* sparse_mask_module_op() {
  static const FloatOp<SparseMaskModuleKernel<false>> op;
  return &op;
}

const OrtCustomOp* sparse_mask_sums_op() {
  static const FloatOp<SparseMaskModuleKernel<true>> op;
  return &op;
}

}  // namespace smsr::ort
