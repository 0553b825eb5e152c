// What all operators' adapters share: checks of what the session hands over, scratch memory, threads.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <memory>
#include <string>
#include <vector>

#include "errors.h"
#include "kernels.h"
#include "reduced_kernels.h"
#include "smsr_contract.h"
#include "sparse_mask_module.h"

namespace smsr::ort {

// ONNX Runtime 1.17: KernelContext_ParallelFor and shape inference of custom ops came with it.
constexpr uint32_t kApiVersion = 17;

using Dimensions = std::vector<int64_t>;

std::string text(const Dimensions& dimensions);

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
// Weights of a constant input as the kernels want them, made when the kernel is: at most one of the two is
// there.
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
  std::unique_ptr<OrtAllocator, void (*)(OrtAllocator*)> allocator_;
  void* data_ = nullptr;
};

// What all operators' kernels read of their node when the session is made, and how they run.
struct Node {
  // Errors: a layout we have not, a type that the contract has not, a variant that this CPU has not.
  Node(const Ort::ConstKernelInfo& info, const char* op, const char* layout, const char* compute);

  std::string where;  // the operator and its node, for error texts
  const Kernels* kernels;
  // What multiplies where `compute` asks for reduced precision and the variant has it; null: all is float32,
  // because that was asked for or as the more exact way out.
  const ReducedKernels* reduced;
  Ort::MemoryInfo memory;

  // body(parallel, workspace) with `bytes` of scratch memory; 0 of them where the core refuses the shape.
  template <class Shape, class Body>
  void run(OrtKernelContext* context, const Shape& shape, size_t bytes, const Body& body) const {
    if (shape.batch == 0 || shape.height == 0 || shape.width == 0) return;  // nothing to write
    if (bytes == 0)
      fail(where, "features", "less than 2^31 pixels an image",
           text({shape.batch, shape.height, shape.width}));
    const Scratch scratch(context, memory, bytes);
    const Status status = body(Parallel{context, run_parallel}, scratch.data());
    if (status != Status::kOk) fail(where, "kernel", "ok", describe(status));
  }
};

// Shape inference: the output has the shape and the type of an input; unknown stays unknown.
OrtStatusPtr same_as_input(OrtShapeInferContext* context, size_t input);

// Shape inference by hand: `shape` makes the output's shape from the inputs'; what is unknown stays unknown.
using SymbolicShape = Ort::ShapeInferContext::Shape;
using SymbolicShapeRule = SymbolicShape (*)(const Ort::ShapeInferContext& inputs);
OrtStatusPtr infer_shape(OrtShapeInferContext* context, SymbolicShapeRule rule);

// An operator of float tensors with one output; Op adds its name and number of inputs.
template <class Op, class Kernel>
struct FloatOp : Ort::CustomOpBase<Op, Kernel, true> {
  FloatOp() {
    this->version = kApiVersion;  // CustomOpBase fills in that of the headers
    this->start_ver_ = contract::kOperatorVersion;
  }
  ONNXTensorElementDataType GetInputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }
  size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetOutputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }
  OrtStatusPtr CreateKernelV2(const OrtApi&, const OrtKernelInfo* info, void** kernel) const {
    return as_status([&] { *kernel = new Kernel(Ort::ConstKernelInfo(info)); });
  }
};

}  // namespace smsr::ort
