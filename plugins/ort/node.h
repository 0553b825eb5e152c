// What all operators' adapters share: attributes, variant, scratch memory, threads.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <memory>
#include <string>

#include "errors.h"
#include "inputs.h"
#include "kernels.h"
#include "parallel.h"
#include "prepared.h"
#include "status.h"

namespace smsr::ort {

// ONNX Runtime 1.17: KernelContext_ParallelFor and shape inference of custom ops came with it.
constexpr uint32_t kApiVersion = 17;

// smsr::Parallel::run; the context is the OrtKernelContext.
void run_parallel(void* context, size_t tasks, void (*fn)(void*, size_t), void* argument);

// Scratch memory from the session's allocator.
class ScratchMemory {
 public:
  ScratchMemory(const OrtKernelContext* context, const OrtMemoryInfo* memory, size_t bytes);
  ~ScratchMemory();
  ScratchMemory(const ScratchMemory&) = delete;
  ScratchMemory& operator=(const ScratchMemory&) = delete;
  void* data() const { return data_; }

 private:
  std::unique_ptr<OrtAllocator, void (*)(OrtAllocator*)> allocator_;
  void* data_ = nullptr;
};

// What all operators' kernels read of their node when the session is made, and how they run.
struct Node {
  // Errors: a layout that this library does not have, a type that the contract does not have, a variant that
  // this CPU does not have.
  Node(const Ort::ConstKernelInfo& info, const Signature& signature, const char* layout, const char* compute);

  const Signature& signature;
  std::string where;  // the operator and its node, for error texts
  const Kernels* kernels;
  // For products in reduced precision, where `compute` names it and the variant has it; null: everything is
  // computed in float32, as asked or as the more exact substitute.
  const ReducedKernels* reduced;
  bool winograd;  // whether convolutions may run by Winograd
  Ort::MemoryInfo memory;

  // body(parallel, workspace) with `bytes` of scratch memory; `bytes` is 0 where the kernel refuses the
  // shape.
  template <class Body>
  void run(OrtKernelContext* context, const Shapes& shapes, size_t bytes, const Body& body) const {
    if (shapes['N'] == 0 || shapes['H'] == 0 || shapes['W'] == 0) return;  // nothing to write
    if (bytes == 0)
      fail(where, "features", "less than 2^31 pixels per image",
           text({shapes['N'], shapes['H'], shapes['W']}));
    const ScratchMemory scratch(context, memory, bytes);
    const Status status = body(Parallel{context, run_parallel}, scratch.data());
    if (status != Status::kOk) fail(where, "kernel", "ok", describe(status));
  }
};

// Weights of a constant 3x3 convolution [9][I][O] for Winograd; empty where that cannot run or may not.
PreparedWeights prepared_convolution(const Node& node, const Constant& weight);

}  // namespace smsr::ort
