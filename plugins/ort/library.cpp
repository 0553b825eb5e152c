// What libsmsr_ort exports: docs/interfaces.md.
#include "dispatch.h"
#include "errors.h"
#include "sparse_mask_module_op.h"

#if defined(_WIN32)
#define SMSR_EXPORT extern "C" __declspec(dllexport)
#else
#define SMSR_EXPORT extern "C" __attribute__((visibility("default")))
#endif

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
    // ONNX Runtime keeps pointers to both for as long as any session lives.
    static const smsr::ort::SparseMaskModuleOp op;
    static const Ort::CustomOpDomain domain = [] {
      Ort::CustomOpDomain made(smsr::contract::kDomain);
      made.Add(&op);
      return made;
    }();
    Ort::UnownedSessionOptions(options).Add(domain);
  });
}

SMSR_EXPORT const char* smsr_interface_hash(void) { return smsr::contract::kInterfaceHash; }

SMSR_EXPORT const char* smsr_cpu_variants(void) { return smsr::supported_variant_names(); }

SMSR_EXPORT const char* smsr_cpu_variant(void) {
  const smsr::Kernels* kernels = smsr::selected_variant();
  return kernels != nullptr ? kernels->name : nullptr;
}
