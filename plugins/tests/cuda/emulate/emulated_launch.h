// launch.h for the emulated GPU.
#pragma once

#include <map>
#include <utility>

#include "machine.h"

namespace smsr::cuda {

template <class T>
struct As {
  using type = T;
};

// The shared memory that each kernel may use, by the size that the GPU has; without asking, 48 KB.
inline int& allowed_shared_memory(const void* kernel) {
  static std::map<std::pair<const void*, int>, int> allowed;
  return allowed.try_emplace({kernel, emulated::gpu.shared_memory}, 48 * 1024).first->second;
}

template <class... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), int x, int y, int threads, size_t shared, cudaStream_t,
                   typename As<Parameters>::type... arguments) {
  const int allowed = allowed_shared_memory(reinterpret_cast<const void*>(kernel));
  return emulated::run_grid({x, y, threads, shared, false}, allowed, [&] { kernel(arguments...); });
}

template <class... Parameters>
cudaError_t launch_together(void (*kernel)(Parameters...), int x, int y, int threads, size_t shared,
                            cudaStream_t, typename As<Parameters>::type... arguments) {
  const int allowed = allowed_shared_memory(reinterpret_cast<const void*>(kernel));
  return emulated::run_grid({x, y, threads, shared, true}, allowed, [&] { kernel(arguments...); });
}

template <class... Parameters>
cudaError_t allow_shared_memory(void (*kernel)(Parameters...), int bytes) {
  if (bytes > emulated::gpu.shared_memory) return cudaErrorInvalidValue;
  int& allowed = allowed_shared_memory(reinterpret_cast<const void*>(kernel));
  // The attribute belongs to the kernel, not to the launch: a thread that lowers it takes memory from another
  // thread's launch.
  if (bytes < allowed) emulated::fail("less shared memory allowed than before");
  allowed = bytes;
  return cudaSuccess;
}

}  // namespace smsr::cuda
