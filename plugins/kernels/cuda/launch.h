// Launches a kernel without the <<<>>> syntax, which only nvcc knows.
#pragma once

#ifdef SMSR_CUDA_EMULATED
#include "emulated_launch.h"
#else

#include <cuda_runtime_api.h>

namespace smsr::cuda {

// T, where the compiler must not deduce it.
template <class T>
struct As {
  using type = T;
};

// Queues x * y blocks of `threads` threads, each with `shared` bytes of shared memory; more than 48 KB need
// allow_shared_memory() first.
template <class... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), int x, int y, int threads, size_t shared,
                   cudaStream_t stream, typename As<Parameters>::type... arguments) {
  void* pointers[] = {&arguments...};
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel),
                          dim3(static_cast<unsigned>(x), static_cast<unsigned>(y)),
                          dim3(static_cast<unsigned>(threads)), pointers, shared, stream);
}

// The same, of blocks that wait for each other: all of them run at once, or the launch fails.
template <class... Parameters>
cudaError_t launch_together(void (*kernel)(Parameters...), int x, int y, int threads, size_t shared,
                            cudaStream_t stream, typename As<Parameters>::type... arguments) {
  void* pointers[] = {&arguments...};
  return cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(kernel),
                                     dim3(static_cast<unsigned>(x), static_cast<unsigned>(y)),
                                     dim3(static_cast<unsigned>(threads)), pointers, shared, stream);
}

template <class... Parameters>
cudaError_t allow_shared_memory(void (*kernel)(Parameters...), int bytes) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                              cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

}  // namespace smsr::cuda

#endif
