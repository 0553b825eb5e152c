// smsr::SparseMaskModule for ONNX Runtime: checks what the session hands over and calls the core.
#pragma once

#include "common.h"

namespace smsr::ort {

class SparseMaskModuleKernel {
 public:
  explicit SparseMaskModuleKernel(const Ort::ConstKernelInfo& info);
  OrtStatusPtr ComputeV2(OrtKernelContext* context) const;  // named by Ort::CustomOpBase

 private:
  void compute(OrtKernelContext* context) const;

  Node node_;
  Dimensions dense_channels_;
  bool winograd_;
  PreparedWeights prepared_;
};

struct SparseMaskModuleOp : FloatOp<SparseMaskModuleOp, SparseMaskModuleKernel> {
  SparseMaskModuleOp();
  const char* GetName() const { return contract::sparse_mask_module::kName; }
  size_t GetInputTypeCount() const { return contract::sparse_mask_module::kInputs; }
};

}  // namespace smsr::ort
