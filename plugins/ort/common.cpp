#include "common.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <new>

#include "dispatch.h"

namespace smsr::ort {

std::string text(const Dimensions& dimensions) {
  std::string out = "(";
  for (size_t i = 0; i < dimensions.size(); ++i) out += (i > 0 ? ", " : "") + std::to_string(dimensions[i]);
  return out + ")";
}

namespace {

std::string name_of(const Ort::ConstKernelInfo& info, const char* op) {
  const std::string node = info.GetNodeName();
  return std::string(contract::kDomain) + "::" + op + (node.empty() ? "" : " '" + node + "'");
}

void expect_layout(const std::string& where, const Ort::ConstKernelInfo& info, const char* attribute) {
  const std::string expected = "NHWC", got = info.GetAttribute<std::string>(attribute);
  if (got != expected)
    fail(where, std::string("attribute ") + attribute, expected + ", all this library has", got);
}

const ReducedKernels* reduced_kernels(const std::string& where, const Ort::ConstKernelInfo& info,
                                      const char* attribute, const Kernels& kernels) {
  const std::string type = info.GetAttribute<std::string>(attribute);
  std::string all;
  for (const char* known : contract::kComputeTypes) all += (all.empty() ? "" : ", ") + std::string(known);
  if (std::find(std::begin(contract::kComputeTypes), std::end(contract::kComputeTypes), type) ==
      std::end(contract::kComputeTypes))
    fail(where, std::string("attribute ") + attribute, "one of " + all, type);
  return kernels.reduced != nullptr && type == kernels.reduced->type ? kernels.reduced : nullptr;
}

const Kernels* variant(const std::string& where) {
  const Kernels* kernels = selected_variant();
  if (kernels == nullptr)
    fail(where, std::string("environment variable ") + kVariantVariable,
         std::string("one of ") + supported_variant_names(), std::getenv(kVariantVariable));
  return kernels;
}

}  // namespace

Node::Node(const Ort::ConstKernelInfo& info, const char* op, const char* layout, const char* compute)
    : where(name_of(info, op)), memory(Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault)) {
  expect_layout(where, info, layout);
  kernels = variant(where);
  reduced = reduced_kernels(where, info, compute, *kernels);
}

Dimensions dimensions(const Ort::KernelContext& context, size_t input) {
  return context.GetInput(input).GetTensorTypeAndShapeInfo().GetShape();
}

void expect_shapes(const std::string& where, const Ort::KernelContext& context,
                   const std::vector<InputShape>& inputs) {
  for (const InputShape& input : inputs) {
    const Dimensions got = dimensions(context, static_cast<size_t>(input.input));
    if (got != input.expected) fail(where, input.name, text(input.expected), text(got));
  }
}

Constant constant(const Ort::ConstKernelInfo& info, size_t input) {
  int is_constant = 0;
  const Ort::ConstValue value = info.GetTensorConstantInput(input, &is_constant);
  if (is_constant == 0) return {};
  return {value.GetTensorTypeAndShapeInfo().GetShape(), value.GetTensorData<float>()};
}

bool winograd_allowed(const std::string& where) {
  const WinogradChoice choice = winograd_choice();
  if (choice == WinogradChoice::kBad)
    fail(where, std::string("environment variable ") + kWinogradVariable, "0 or 1",
         std::getenv(kWinogradVariable));
  return choice == WinogradChoice::kOn;
}

constexpr std::align_val_t kCacheLine{64};

void* allocate(size_t bytes) { return bytes == 0 ? nullptr : ::operator new(bytes, kCacheLine); }

void release(void* data) { ::operator delete(data, kCacheLine); }

// As many batches as tasks: ONNX Runtime then hands them out one by one; their costs differ with the mask.
// A refused call runs the tasks here: nothing is lost but time.
void run_parallel(void* context, size_t tasks, void (*fn)(void*, size_t), void* argument) {
  const auto* kernel_context = static_cast<const OrtKernelContext*>(context);
  const OrtApi& api = Ort::GetApi();
  OrtStatus* status = api.KernelContext_ParallelFor(kernel_context, fn, tasks, tasks, argument);
  if (status == nullptr) return;
  api.ReleaseStatus(status);
  for (size_t i = 0; i < tasks; ++i) fn(argument, i);
}

Scratch::Scratch(const OrtKernelContext* context, const OrtMemoryInfo* memory, size_t bytes)
    : allocator_(nullptr, [](OrtAllocator* allocator) { Ort::GetApi().ReleaseAllocator(allocator); }) {
  OrtAllocator* allocator = nullptr;
  Ort::ThrowOnError(Ort::GetApi().KernelContext_GetAllocator(context, memory, &allocator));
  allocator_.reset(allocator);
  data_ = allocator->Alloc(allocator, bytes);  // ONNX Runtime's own throw where memory is out
  if (data_ == nullptr) throw std::bad_alloc();
}

Scratch::~Scratch() { allocator_->Free(allocator_.get(), data_); }

OrtStatusPtr same_as_input(OrtShapeInferContext* context, size_t input) {
  const OrtApi& api = Ort::GetApi();
  OrtTensorTypeAndShapeInfo* shape = nullptr;  // owned by the context
  if (OrtStatus* status = api.ShapeInferContext_GetInputTypeShape(context, input, &shape)) {
    api.ReleaseStatus(status);
    return nullptr;
  }
  return api.ShapeInferContext_SetOutputTypeShape(context, 0, shape);
}

namespace {

// What Ort::ShapeInferContext::SetOutputShape does, but that one marks symbolic sizes by -2, which newer
// runtimes refuse.
void set_output_shape(OrtShapeInferContext* context, const SymbolicShape& shape) {
  const OrtApi& api = Ort::GetApi();
  std::vector<int64_t> sizes;
  std::vector<const char*> names;
  for (const auto& size : shape) {
    sizes.push_back(size.IsInt() ? size.AsInt() : -1);
    names.push_back(size.IsInt() ? "" : size.AsSym());
    if (size.IsInt() && size.AsInt() < 0) return;
  }
  OrtTensorTypeAndShapeInfo* made = nullptr;
  Ort::ThrowOnError(api.CreateTensorTypeAndShapeInfo(&made));
  const Ort::TensorTypeAndShapeInfo info(made);
  Ort::ThrowOnError(api.SetTensorElementType(info, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT));
  Ort::ThrowOnError(api.SetDimensions(info, sizes.data(), sizes.size()));
  Ort::ThrowOnError(api.SetSymbolicDimensions(info, names.data(), names.size()));
  Ort::ThrowOnError(api.ShapeInferContext_SetOutputTypeShape(context, 0, info));
}

}  // namespace

OrtStatusPtr infer_shape(OrtShapeInferContext* raw, SymbolicShapeRule rule) {
  try {
    const SymbolicShape shape = rule(Ort::ShapeInferContext(&Ort::GetApi(), raw));
    if (!shape.empty()) set_output_shape(raw, shape);
  } catch (const std::exception&) {
    // An input without a known shape: the output's shape is learnt when the session runs.
  }
  return nullptr;
}

}  // namespace smsr::ort
