// smsr::SparseMaskModule for ONNX Runtime: checks what the session hands over and calls the core.
#pragma once

#include "common.h"

namespace smsr::ort {

class SparseMaskModuleKernel {
 public:
  explicit SparseMaskModuleKernel(const OrtKernelInfo* info);
  OrtStatusPtr ComputeV2(OrtKernelContext* context) const;  // named by Ort::CustomOpBase

 private:
  void compute(OrtKernelContext* context) const;

  std::string where_;  // the operator and its node, for error texts
  const Kernels* kernels_;
  Dimensions dense_channels_;
  PreparedWeights prepared_;
  bool winograd_ = false;
  Ort::MemoryInfo memory_;
};

struct SparseMaskModuleOp : FloatOp<SparseMaskModuleOp, SparseMaskModuleKernel> {
  SparseMaskModuleOp();
  OrtStatusPtr CreateKernelV2(const OrtApi& api, const OrtKernelInfo* info, void** kernel) const;
  const char* GetName() const { return contract::sparse_mask_module::kName; }
  size_t GetInputTypeCount() const { return contract::sparse_mask_module::kInputs; }
};

}  // namespace smsr::ort
