// smsr::MaskBranch for ONNX Runtime.
#pragma once

#include "common.h"
#include "mask_branch.h"

namespace smsr::ort {

class MaskBranchKernel {
 public:
  explicit MaskBranchKernel(const Ort::ConstKernelInfo& info);
  OrtStatusPtr ComputeV2(OrtKernelContext* context) const;  // named by Ort::CustomOpBase

 private:
  void compute(OrtKernelContext* context) const;

  Node node_;
  PreparedWeights prepared_;  // of a constant full_weight
};

struct MaskBranchOp : FloatOp<MaskBranchOp, MaskBranchKernel> {
  MaskBranchOp();
  const char* GetName() const { return contract::mask_branch::kName; }
  size_t GetInputTypeCount() const { return contract::mask_branch::kInputs; }
};

}  // namespace smsr::ort
