// The common part of both adapters of the mask branch, as module_core.h is for the module. float16 on tensor
// cores only: features N H W C (TensorRT's kHWC8), everything else linear. Exported models have standard
// layers instead unless they are asked for this plugin.
#pragma once

#include "cuda/mask_branch_cuda.h"
#include "module_core.h"

namespace smsr::trt {

namespace branch_op = contract::mask_branch;

// What an engine file saves: the branch has no attributes that differ.
struct BranchState {
  char interface_hash[16];
};

// One node. All functions throw Error with one line.
class Branch {
 public:
  static constexpr const char* kName = branch_op::kName;
  static constexpr int kInputs = branch_op::kInputs;
  static constexpr int kOutputChannels = 1;
  using Saved = BranchState;

  static Branch from_fields(const char* name, const Field* fields, int count);
  static Branch from_state(const char* name, const void* bytes, size_t count);
  BranchState state() const;
  const std::string& description() const { return description_; }

  // As Module's.
  void check_counts(int inputs, int outputs) const;
  void check_types(const ElementType* inputs) const;
  bool supports(int position, const Tensor& tensor, const Tensor& features) const;
  void check_shapes(const std::array<Dimensions, kInputs>& inputs) const;
  size_t workspace_bytes(const Tensor& features) const;
  void enqueue(const Tensor& features, const void* const* inputs, void* output, void* workspace,
               cudaStream_t stream) const;

 private:
  explicit Branch(const char* name);
  cuda::BranchShape shape(const Tensor& features) const;

  std::string where_;
  std::string description_;
};

}  // namespace smsr::trt
