#include "node.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <new>

#include "dense/dense_weights.h"
#include "isa/dispatch.h"
#include "layout.h"

namespace smsr::ort {
namespace {

std::string name_of(const Ort::ConstKernelInfo& info, const char* op) {
  const std::string node = info.GetNodeName();
  return std::string(contract::kDomain) + "::" + op + (node.empty() ? "" : " '" + node + "'");
}

void expect_layout(const std::string& where, const Ort::ConstKernelInfo& info, const char* attribute) {
  const std::string expected = contract::kLayouts[0], got = info.GetAttribute<std::string>(attribute);
  if (got != expected)
    fail(where, std::string("attribute ") + attribute, expected + ", the only one in this library", got);
}

const Kernels* variant(const std::string& where) {
  const Kernels* kernels = selected_variant();
  if (kernels == nullptr)
    fail(where, std::string("environment variable ") + kVariantVariable,
         std::string("one of ") + supported_variant_names(), std::getenv(kVariantVariable));
  return kernels;
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

// Yes unless SMSR_WINOGRAD is 0; an error where it is neither 0 nor 1.
bool winograd_allowed(const std::string& where) {
  const WinogradChoice choice = winograd_choice();
  if (choice == WinogradChoice::kBad)
    fail(where, std::string("environment variable ") + kWinogradVariable, "0 or 1",
         std::getenv(kWinogradVariable));
  return choice == WinogradChoice::kOn;
}

constexpr std::align_val_t kAlignment{kCacheLine};

}  // namespace

void* allocate(size_t bytes) { return bytes == 0 ? nullptr : ::operator new(bytes, kAlignment); }

void release(void* data) { ::operator delete(data, kAlignment); }

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

ScratchMemory::ScratchMemory(const OrtKernelContext* context, const OrtMemoryInfo* memory, size_t bytes)
    : allocator_(nullptr, [](OrtAllocator* allocator) { Ort::GetApi().ReleaseAllocator(allocator); }) {
  OrtAllocator* allocator = nullptr;
  Ort::ThrowOnError(Ort::GetApi().KernelContext_GetAllocator(context, memory, &allocator));
  allocator_.reset(allocator);
  data_ = allocator->Alloc(allocator, bytes);  // ONNX Runtime's own allocator throws when memory is exhausted
  if (data_ == nullptr) throw std::bad_alloc();
}

ScratchMemory::~ScratchMemory() { allocator_->Free(allocator_.get(), data_); }

Node::Node(const Ort::ConstKernelInfo& info, const Signature& s, const char* layout, const char* compute)
    : signature(s),
      where(name_of(info, s.name)),
      memory(Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault)) {
  expect_layout(where, info, layout);
  kernels = variant(where);
  reduced = reduced_kernels(where, info, compute, *kernels);
  winograd = winograd_allowed(where);
}

PreparedWeights prepared_convolution(const Node& node, const Constant& weight) {
  if (!node.winograd || weight.data == nullptr || weight.shape.size() != 3) return {};
  const int64_t inputs = weight.shape[1], outputs = weight.shape[2];
  if (weight.shape[0] != 9 || outputs % contract::kLanePadding != 0) return {};
  if (node.reduced != nullptr)
    return {{}, filled<Reduced>(reduced_dense_weights(inputs, outputs, 9), [&](Reduced* to) {
              prepare_reduced_dense_weights(*node.reduced, weight.data, inputs, outputs, to);
            })};
  return {filled<float>(prepared_dense_weights(inputs, outputs, 9),
                        [&](float* to) { prepare_dense_weights(weight.data, inputs, outputs, to); }),
          {}};
}

}  // namespace smsr::ort
