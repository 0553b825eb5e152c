// smsr::SparseMaskModule for ONNX Runtime: checks what the session hands over and calls the core.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <string>
#include <vector>

#include "kernels.h"
#include "smsr_contract.h"
#include "sparse_mask_module.h"

namespace smsr::ort {

// ONNX Runtime 1.17: KernelContext_ParallelFor and shape inference of custom ops came with it.
constexpr uint32_t kApiVersion = 17;

using Dimensions = std::vector<int64_t>;

class SparseMaskModuleKernel {
 public:
  explicit SparseMaskModuleKernel(const OrtKernelInfo* info);
  OrtStatusPtr ComputeV2(OrtKernelContext* context) const;  // named by Ort::CustomOpBase

 private:
  void compute(OrtKernelContext* context) const;

  std::string where_;  // the operator and its node, for error texts
  const Kernels* kernels_;
  Dimensions dense_channels_;
  Ort::MemoryInfo memory_;
};

struct SparseMaskModuleOp : Ort::CustomOpBase<SparseMaskModuleOp, SparseMaskModuleKernel, true> {
  SparseMaskModuleOp();
  OrtStatusPtr CreateKernelV2(const OrtApi& api, const OrtKernelInfo* info, void** kernel) const;
  const char* GetName() const { return contract::sparse_mask_module::kName; }
  size_t GetInputTypeCount() const { return contract::sparse_mask_module::kInputs; }
  ONNXTensorElementDataType GetInputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }
  size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetOutputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }
};

}  // namespace smsr::ort
