#include "convolution_op.h"

#include <algorithm>

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

const char* name(ConvolutionKind kind) {
  switch (kind) {
    case ConvolutionKind::kPlain:
      return contract::convolution::kName;
    case ConvolutionKind::kRelu:
      return contract::convolution_relu::kName;
    default:
      return op::kName;
  }
}

// ONNX Runtime asks for in-place pairs since 1.18.
constexpr uint32_t kInPlaceVersion = 18;

// Every output pixel reads the addend at its own place only, so the addend's memory may be the output's.
size_t in_place(int** inputs, int** outputs) {
  *inputs = new int(op::kAddend);
  *outputs = new int(0);
  return 1;
}

void release_in_place(int* inputs, int* outputs) {
  delete inputs;
  delete outputs;
}

// (N, H, W) of the features, O of the weight.
SymbolicShape output_shape(const Ort::ShapeInferContext& inputs) {
  SymbolicShape shape = inputs.GetInputShape(op::kFeatures);
  const SymbolicShape weight = inputs.GetInputShape(op::kWeight);
  if (shape.size() != 4 || weight.size() != 3) return {};
  shape[3] = weight[2];
  return shape;
}

}  // namespace

PreparedWeights prepared_convolution(const Node& node, const Constant& weight) {
  PreparedWeights made;
  if (!winograd_allowed(node.where) || weight.data == nullptr || weight.shape.size() != 3) return made;
  const int64_t taps = weight.shape[0], inputs = weight.shape[1], outputs = weight.shape[2];
  if (taps != 9 || outputs % 16 != 0) return made;
  if (node.reduced != nullptr) {
    made.reduced = Aligned<Reduced>(reduced_dense_weights(inputs, outputs, 9));
    if (made.reduced.data() != nullptr)
      prepare_reduced_dense_weights(*node.reduced, weight.data, inputs, outputs, made.reduced.data());
  } else {
    made.single = Aligned<float>(prepared_dense_weights(inputs, outputs, 9));
    if (made.single.data() != nullptr)
      prepare_dense_weights(weight.data, inputs, outputs, made.single.data());
  }
  return made;
}

ConvolutionKernel::ConvolutionKernel(const Ort::ConstKernelInfo& info, ConvolutionKind kind)
    : kind_(kind),
      node_(info, name(kind), op::kLayoutAttribute, op::kComputeAttribute),
      prepared_(prepared_convolution(node_, constant(info, op::kWeight))) {}

// All inputs against the contract's shapes; N, H, W, I come from the features, T and O from the weight.
DenseShape ConvolutionKernel::checked_shape(const Ort::KernelContext& context) const {
  const Dimensions features = dimensions(context, op::kFeatures), weight = dimensions(context, op::kWeight);
  if (features.size() != 4) fail(node_.where, "features", "(N, H, W, I)", text(features));
  const int64_t n = features[0], h = features[1], w = features[2], inputs = features[3];
  const bool good_weight =
      weight.size() == 3 && (weight[0] == 9 || weight[0] == 1) && weight[1] == inputs && inputs > 0;
  if (!good_weight) {
    const std::string rest = ", " + std::to_string(inputs) + ", O)";
    fail(node_.where, "weight", "(9" + rest + " or (1" + rest, text(weight));
  }
  const int64_t outputs = weight[2];
  if (outputs < 1 || outputs % 16 != 0)
    fail(node_.where, "weight's output channels", "a multiple of 16", std::to_string(outputs));
  std::vector<InputShape> others{{op::kBias, "bias", {outputs}}};
  if (kind_ == ConvolutionKind::kAdd) others.push_back({op::kAddend, "addend", {n, h, w, outputs}});
  expect_shapes(node_.where, context, others);
  return {n, h, w, inputs, outputs, static_cast<int>(weight[0])};
}

void ConvolutionKernel::compute(OrtKernelContext* raw) const {
  const Ort::KernelContext context(raw);
  const DenseShape shape = checked_shape(context);
  const Dimensions output{shape.batch, shape.height, shape.width, shape.outputs};
  DenseParams params{};
  params.shape = shape;
  params.relu = kind_ == ConvolutionKind::kRelu;
  params.features = data(context, op::kFeatures);
  params.weight = data(context, op::kWeight);
  params.prepared = prepared_.single.data();
  params.reduced = prepared_.reduced.data();
  params.bias = data(context, op::kBias);
  if (kind_ == ConvolutionKind::kAdd) params.addend = data(context, op::kAddend);
  params.output = context.GetOutput(0, output).GetTensorMutableData<float>();
  const size_t bytes = dense_workspace_bytes(shape, prepared_.any());
  node_.run(raw, shape, bytes, [&](const Parallel& parallel, void* workspace) {
    return dense_convolution(params, *node_.kernels, parallel, workspace, bytes);
  });
}

OrtStatusPtr ConvolutionKernel::ComputeV2(OrtKernelContext* context) const {
  return as_status([&] { compute(context); });
}

ConvolutionOp::ConvolutionOp(ConvolutionKind kind, uint32_t runtime) : kind_(kind) {
  InferOutputShapeFn = [](const OrtCustomOp*, OrtShapeInferContext* context) {
    return infer_shape(context, output_shape);
  };
  if (kind != ConvolutionKind::kAdd) return;
  version = std::min(runtime, kInPlaceVersion);
  GetMayInplace = in_place;
  ReleaseMayInplace = release_in_place;
}

OrtStatusPtr ConvolutionOp::CreateKernelV2(const OrtApi&, const OrtKernelInfo* info, void** kernel) const {
  return as_status([&] { *kernel = new ConvolutionKernel(Ort::ConstKernelInfo(info), kind_); });
}

const char* ConvolutionOp::GetName() const { return name(kind_); }

size_t ConvolutionOp::GetInputTypeCount() const {
  return kind_ == ConvolutionKind::kAdd ? op::kInputs : op::kAddend;
}

}  // namespace smsr::ort
