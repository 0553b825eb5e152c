// smsr::Convolution, ConvolutionRelu and ConvolutionAdd for ONNX Runtime.
#pragma once

#include "common.h"
#include "dense_convolution.h"

namespace smsr::ort {

// A constant weight [9, I, O] as Winograd's convolution wants it; empty where that cannot run or may not.
PreparedWeights prepared_convolution(const Node& node, const Constant& weight);

// What the three differ in. Their inputs have the same order; only kAdd has an addend.
enum class ConvolutionKind { kPlain, kRelu, kAdd };

class ConvolutionKernel {
 public:
  ConvolutionKernel(const Ort::ConstKernelInfo& info, ConvolutionKind kind);
  OrtStatusPtr ComputeV2(OrtKernelContext* context) const;  // named by Ort::CustomOpBase

 private:
  void compute(OrtKernelContext* context) const;
  DenseShape checked_shape(const Ort::KernelContext& context) const;

  ConvolutionKind kind_;
  Node node_;
  PreparedWeights prepared_;  // of a constant weight
};

struct ConvolutionOp : FloatOp<ConvolutionOp, ConvolutionKernel> {
  // runtime: the API version of the ONNX Runtime that loads us.
  ConvolutionOp(ConvolutionKind kind, uint32_t runtime);
  OrtStatusPtr CreateKernelV2(const OrtApi& api, const OrtKernelInfo* info, void** kernel) const;
  const char* GetName() const;
  size_t GetInputTypeCount() const;

 private:
  ConvolutionKind kind_;
};

}  // namespace smsr::ort
