// smsr::MaskBranch for ONNX Runtime.
#pragma once

#include "common.h"
#include "mask_branch.h"

namespace smsr::ort {

class MaskBranchKernel {
 public:
  explicit MaskBranchKernel(const OrtKernelInfo* info);
  OrtStatusPtr ComputeV2(OrtKernelContext* context) const;  // named by Ort::CustomOpBase

 private:
  void compute(OrtKernelContext* context) const;

  std::string where_;  // the operator and its node, for error texts
  const Kernels* kernels_;
  PreparedWeights prepared_;  // of a constant full_weight
  Ort::MemoryInfo memory_;
};

struct MaskBranchOp : FloatOp<MaskBranchOp, MaskBranchKernel> {
  MaskBranchOp();
  OrtStatusPtr CreateKernelV2(const OrtApi& api, const OrtKernelInfo* info, void** kernel) const;
  const char* GetName() const { return contract::mask_branch::kName; }
  size_t GetInputTypeCount() const { return contract::mask_branch::kInputs; }
};

}  // namespace smsr::ort
