// The operators for ONNX Runtime, which keeps pointers to them for as long as any session lives.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <array>

#include "inputs.h"
#include "node.h"

namespace smsr::ort {

const OrtCustomOp* sparse_mask_module_op();
const OrtCustomOp* sparse_mask_sums_op();
const OrtCustomOp* scaled_sum_op();
const OrtCustomOp* mask_branch_op();
// Convolution, ConvolutionRelu and ConvolutionAdd. runtime: the API version of the ONNX Runtime that loads
// us.
std::array<const OrtCustomOp*, 3> convolution_ops(uint32_t runtime);

// Kernel as Ort::CustomOpBase calls it: what compute() throws comes back as a status.
template <class Kernel>
struct Guarded : Kernel {
  using Kernel::Kernel;
  OrtStatusPtr ComputeV2(OrtKernelContext* context) const {
    return as_status([&] { this->compute(context); });
  }
};

// An operator of float tensors. Kernel: made from Ort::ConstKernelInfo, with a static
// signature() and compute(OrtKernelContext*).
template <class Kernel>
struct FloatOp : Ort::CustomOpBase<FloatOp<Kernel>, Guarded<Kernel>, true> {
  FloatOp() {
    this->version = kApiVersion;  // CustomOpBase fills in that of the headers
    this->start_ver_ = contract::kOperatorVersion;
    this->InferOutputShapeFn = [](const OrtCustomOp*, OrtShapeInferContext* context) {
      return infer_output(Kernel::signature(), context);
    };
  }
  const char* GetName() const { return Kernel::signature().name; }
  size_t GetInputTypeCount() const { return static_cast<size_t>(Kernel::signature().count); }
  ONNXTensorElementDataType GetInputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }
  OrtCustomOpInputOutputCharacteristic GetInputCharacteristic(size_t index) const {
    const Signature& signature = Kernel::signature();
    return signature.repeated && static_cast<int>(index) + 1 == signature.count ? INPUT_OUTPUT_VARIADIC
                                                                                : INPUT_OUTPUT_REQUIRED;
  }
  size_t GetOutputTypeCount() const { return static_cast<size_t>(Kernel::signature().outputs); }
  ONNXTensorElementDataType GetOutputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }
  OrtStatusPtr CreateKernelV2(const OrtApi&, const OrtKernelInfo* info, void** kernel) const {
    return as_status([&] { *kernel = new Guarded<Kernel>(Ort::ConstKernelInfo(info)); });
  }
};

}  // namespace smsr::ort
