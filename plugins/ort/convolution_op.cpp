#include "convolution_op.h"

#include <algorithm>

#include "errors.h"

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

PreparedWeights prepared_convolution(const std::string& where, const Constant& weight,
                                     const ReducedKernels* reduced) {
  PreparedWeights made;
  if (weight.data == nullptr || weight.shape.size() != 3 || !winograd_allowed(where)) return made;
  const int64_t taps = weight.shape[0], inputs = weight.shape[1], outputs = weight.shape[2];
  if (taps != 9 || outputs % 16 != 0) return made;
  if (reduced != nullptr) {
    made.reduced = Aligned<Reduced>(reduced_dense_weights(inputs, outputs, 9));
    if (made.reduced.data() != nullptr)
      prepare_reduced_dense_weights(*reduced, weight.data, inputs, outputs, made.reduced.data());
  } else {
    made.single = Aligned<float>(prepared_dense_weights(inputs, outputs, 9));
    if (made.single.data() != nullptr)
      prepare_dense_weights(weight.data, inputs, outputs, made.single.data());
  }
  return made;
}

ConvolutionKernel::ConvolutionKernel(const OrtKernelInfo* kernel_info, ConvolutionKind kind)
    : kind_(kind),
      kernels_(nullptr),
      memory_(Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault)) {
  const Ort::ConstKernelInfo info(kernel_info);
  where_ = name_of(info, name(kind));
  expect_attribute(where_, info, op::kLayoutAttribute, "NHWC");
  kernels_ = variant(where_);
  const ReducedKernels* reduced = reduced_kernels(where_, info, op::kComputeAttribute, *kernels_);
  prepared_ = prepared_convolution(where_, constant(info, op::kWeight), reduced);
}

// All inputs against the contract's shapes; N, H, W, I come from the features, T and O from the weight.
DenseShape ConvolutionKernel::checked_shape(const Ort::KernelContext& context) const {
  const Dimensions features = dimensions(context, op::kFeatures), weight = dimensions(context, op::kWeight);
  if (features.size() != 4) fail(where_, "features", "(N, H, W, I)", text(features));
  const int64_t n = features[0], h = features[1], w = features[2], inputs = features[3];
  const bool good_weight =
      weight.size() == 3 && (weight[0] == 9 || weight[0] == 1) && weight[1] == inputs && inputs > 0;
  if (!good_weight) {
    const std::string rest = ", " + std::to_string(inputs) + ", O)";
    fail(where_, "weight", "(9" + rest + " or (1" + rest, text(weight));
  }
  const int64_t outputs = weight[2];
  if (outputs < 1 || outputs % 16 != 0)
    fail(where_, "weight's output channels", "a multiple of 16", std::to_string(outputs));
  std::vector<InputShape> others{{op::kBias, "bias", {outputs}}};
  if (kind_ == ConvolutionKind::kAdd) others.push_back({op::kAddend, "addend", {n, h, w, outputs}});
  expect_shapes(where_, context, others);
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
  if (shape.batch == 0 || shape.height == 0 || shape.width == 0) return;  // nothing to write
  const size_t bytes = dense_workspace_bytes(shape, prepared_.any());
  if (bytes == 0) fail(where_, "features", "less than 2^31 pixels an image", text(output));
  const Scratch scratch(raw, memory_, bytes);
  const Status status = dense_convolution(params, *kernels_, {raw, run_parallel}, scratch.data(), bytes);
  if (status != Status::kOk) fail(where_, "kernel", "ok", describe(status));
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
  return as_status([&] { *kernel = new ConvolutionKernel(info, kind_); });
}

const char* ConvolutionOp::GetName() const { return name(kind_); }

size_t ConvolutionOp::GetInputTypeCount() const {
  return kind_ == ConvolutionKind::kAdd ? op::kInputs : op::kAddend;
}

}  // namespace smsr::ort
