// What all operators' adapters share: checks of what the session hands over, scratch memory, threads.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels.h"
#include "reduced_kernels.h"
#include "smsr_contract.h"

namespace smsr::ort {

// ONNX Runtime 1.17: KernelContext_ParallelFor and shape inference of custom ops came with it.
constexpr uint32_t kApiVersion = 17;

using Dimensions = std::vector<int64_t>;

std::string text(const Dimensions& dimensions);

// The operator and its node, for error texts.
std::string name_of(const Ort::ConstKernelInfo& info, const char* op);

void expect_attribute(const std::string& where, const Ort::ConstKernelInfo& info, const char* name,
                      const std::string& expected);

// What multiplies where the attribute `compute` asks for reduced precision and the variant has it; null: all
// is float32, because that was asked for or as the more exact way out. An error where it names no type at
// all.
const ReducedKernels* reduced_kernels(const std::string& where, const Ort::ConstKernelInfo& info,
                                      const char* attribute, const Kernels& kernels);

// The variant to run; an error where the environment names none that this CPU has.
const Kernels* variant(const std::string& where);

Dimensions dimensions(const Ort::KernelContext& context, size_t input);

inline const float* data(const Ort::KernelContext& context, size_t input) {
  return context.GetInput(input).GetTensorData<float>();
}

// What an input must look like, by the contract.
struct InputShape {
  int input;
  const char* name;
  Dimensions expected;
};
void expect_shapes(const std::string& where, const Ort::KernelContext& context,
                   const std::vector<InputShape>& inputs);

// An initializer that no caller can override, known when the kernel is made; data is null for any other
// input. The session keeps its memory alive as long as the kernel.
struct Constant {
  Dimensions shape;
  const float* data = nullptr;
};
Constant constant(const Ort::ConstKernelInfo& info, size_t input);

// Whether convolutions may run by Winograd: yes unless SMSR_WINOGRAD is 0; an error where it is not 0 or 1.
bool winograd_allowed(const std::string& where);

void* allocate(size_t bytes);  // from the beginning of a cache line; null for 0
void release(void* data);

// Numbers that start where a cache line does.
template <class T>
class Aligned {
 public:
  explicit Aligned(int64_t count = 0)
      : data_(static_cast<T*>(allocate(static_cast<size_t>(count) * sizeof(T))), release) {}
  T* data() const { return data_.get(); }  // null where the count is 0

 private:
  std::unique_ptr<T, void (*)(void*)> data_;
};
// Weights of a constant input as the kernels want them, made when the kernel is: at most one of the two is there.
struct PreparedWeights {
  Aligned<float> single;
  Aligned<Reduced> reduced;
  bool any() const { return single.data() != nullptr || reduced.data() != nullptr; }
};

// smsr::Parallel::run; the context is the OrtKernelContext.
void run_parallel(void* context, size_t tasks, void (*fn)(void*, size_t), void* argument);

// Scratch memory from the session's allocator.
class Scratch {
 public:
  Scratch(const OrtKernelContext* context, const OrtMemoryInfo* memory, size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data() const { return data_; }

 private:
  OrtAllocator* allocator_ = nullptr;
  void* data_ = nullptr;
};

// Shape inference: the output has the shape and the type of an input; unknown stays unknown.
OrtStatusPtr same_as_input(OrtShapeInferContext* context, size_t input);

// Shape inference by hand: `shape` makes the output's shape from the inputs'; what is unknown stays unknown.
using SymbolicShape = Ort::ShapeInferContext::Shape;
using SymbolicShapeRule = SymbolicShape (*)(const Ort::ShapeInferContext& inputs);
OrtStatusPtr infer_shape(OrtShapeInferContext* context, SymbolicShapeRule rule);

// An operator of float tensors with one output; Op adds its name, number of inputs and CreateKernelV2.
template <class Op, class Kernel>
struct FloatOp : Ort::CustomOpBase<Op, Kernel, true> {
  FloatOp() {
    this->version = kApiVersion;  // CustomOpBase fills in that of the headers
    this->start_ver_ = contract::kOperatorVersion;
  }
  ONNXTensorElementDataType GetInputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }
  size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetOutputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }
};

}  // namespace smsr::ort
