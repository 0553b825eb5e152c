// What libsmsr_ort exports: docs/interfaces.md.
#include <cstdlib>
#include <string>
#include <vector>

#include "errors.h"
#include "isa/dispatch.h"
#include "operators.h"

#if defined(_WIN32)
#define SMSR_EXPORT extern "C" __declspec(dllexport)
#else
#define SMSR_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace {

// The API of release 1.N is version N.
uint32_t runtime_version(const OrtApiBase* base) {
  const std::string text = base->GetVersionString();
  return static_cast<uint32_t>(std::strtoul(text.c_str() + text.find('.') + 1, nullptr, 10));
}

std::vector<const OrtCustomOp*> operators(uint32_t version) {
  std::vector<const OrtCustomOp*> all = {smsr::ort::sparse_mask_module_op(), smsr::ort::sparse_mask_sums_op(),
                                         smsr::ort::scaled_sum_op(), smsr::ort::mask_branch_op()};
  for (const OrtCustomOp* op : smsr::ort::convolution_ops(version)) all.push_back(op);
  return all;
}

}  // namespace

SMSR_EXPORT OrtStatus* ORT_API_CALL RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  const OrtApi* api = base->GetApi(smsr::ort::kApiVersion);
  if (api == nullptr) {
    const std::string text = std::string("smsr: expected ONNX Runtime 1.") +
                             std::to_string(smsr::ort::kApiVersion) + " or newer, got " +
                             base->GetVersionString() + "; update onnxruntime";
    return base->GetApi(1)->CreateStatus(ORT_FAIL, text.c_str());
  }
  Ort::InitApi(api);
  return smsr::ort::as_status([&] {
    static const Ort::CustomOpDomain domain = [&] {
      Ort::CustomOpDomain made(smsr::contract::kDomain);
      for (const OrtCustomOp* op : operators(runtime_version(base))) made.Add(op);
      return made;
    }();
    Ort::UnownedSessionOptions(options).Add(domain);
  });
}

SMSR_EXPORT const char* smsr_interface_hash(void) { return smsr::contract::kInterfaceHash; }

SMSR_EXPORT const char* smsr_operators(void) {
  static const std::string names = [] {
    std::string made;
    for (const OrtCustomOp* op : operators(smsr::ort::kApiVersion))
      made += (made.empty() ? "" : ",") + std::string(op->GetName(op));
    return made;
  }();
  return names.c_str();
}

SMSR_EXPORT const char* smsr_cpu_variants(void) { return smsr::supported_variant_names(); }

SMSR_EXPORT const char* smsr_cpu_variant(void) {
  const smsr::Kernels* kernels = smsr::selected_variant();
  return kernels != nullptr ? kernels->name : nullptr;
}

SMSR_EXPORT double smsr_multiply_adds(int64_t rounds) {
  const smsr::Kernels* kernels = smsr::selected_variant();
  return kernels != nullptr ? kernels->peak(rounds) : 0;
}
