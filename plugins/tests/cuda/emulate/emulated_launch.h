// launch.h for the emulated GPU.
#pragma once

#include <set>

#include "machine.h"

namespace smsr::cuda {

template <class T>
struct As {
  using type = T;
};

// Kernels that have asked for more than 48 KB of shared memory.
inline std::set<const void*>& allowed_shared_memory() {
  static std::set<const void*> kernels;
  return kernels;
}

template <class... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), int x, int y, int threads, size_t shared, cudaStream_t,
                   typename As<Parameters>::type... arguments) {
  const bool allowed = allowed_shared_memory().count(reinterpret_cast<const void*>(kernel)) != 0;
  return emulated::run_grid(x, y, threads, shared, allowed, [&] { kernel(arguments...); });
}

template <class... Parameters>
cudaError_t allow_shared_memory(void (*kernel)(Parameters...), int bytes) {
  if (bytes > emulated::gpu.shared_memory) return cudaErrorInvalidValue;
  allowed_shared_memory().insert(reinterpret_cast<const void*>(kernel));
  return cudaSuccess;
}

}  // namespace smsr::cuda
