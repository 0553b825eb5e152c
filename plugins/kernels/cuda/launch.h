// Queues a kernel, without the <<<>>> that only nvcc reads.
#pragma once

#ifdef SMSR_CUDA_EMULATED
#include "emulated_launch.h"
#else

#include <cuda_runtime_api.h>

namespace smsr {
namespace cuda {

template <class T>
struct As {
  using type = T;
};

// Blocks (x, y) of `threads` threads. More shared memory than 48 KB must have been asked for:
// allow_shared_memory().
template <class... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), int x, int y, int threads, size_t shared,
                   cudaStream_t stream, typename As<Parameters>::type... arguments) {
  void* pointers[] = {&arguments...};
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel),
                          dim3(static_cast<unsigned>(x), static_cast<unsigned>(y)),
                          dim3(static_cast<unsigned>(threads)), pointers, shared, stream);
}

template <class... Parameters>
cudaError_t allow_shared_memory(void (*kernel)(Parameters...), int bytes) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                              cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

}  // namespace cuda
}  // namespace smsr

#endif
