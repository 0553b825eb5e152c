// Between the C API and the kernels: one function per kind of tile, each in a source file of its own.
#pragma once

#include <cuda_runtime_api.h>

#include "sparse_mask_module_cuda.h"

namespace smsr {
namespace cuda {

struct Workspace;

// kTensorCore: sm_75 and newer; kVolta: sm_70 and sm_72; kFloat: float32 on CUDA cores.
enum class Kernels { kTensorCore, kVolta, kFloat };

struct Device {
  int processors;
  int shared_memory;  // bytes a block may ask for
};

// The same arithmetic with kernels of the caller's choice, for tests. Nothing is checked.
smsr_cuda_status launch_module(Kernels kernels, const Device& device, const smsr_cuda_module& module,
                               const Workspace& workspace, cudaStream_t stream);

// Are these in the build? kVolta only where CMAKE_CUDA_ARCHITECTURES names it, or SMSR_CUDA_VOLTA asks for
// it.
bool has_kernels(Kernels kernels);

smsr_cuda_status launch_tensor_core(const Device&, const smsr_cuda_module&, const Workspace&, cudaStream_t);
smsr_cuda_status launch_volta(const Device&, const smsr_cuda_module&, const Workspace&, cudaStream_t);
smsr_cuda_status launch_float(const Device&, const smsr_cuda_module&, const Workspace&, cudaStream_t);

}  // namespace cuda
}  // namespace smsr
