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

// What each kernel has asked for on a GPU with so much shared memory; 48 KB are every kernel's.
inline int& allowed_shared_memory(const void* kernel) {
  static std::map<std::pair<const void*, int>, int> allowed;
  return allowed.try_emplace({kernel, emulated::gpu.shared_memory}, 48 * 1024).first->second;
}

template <class... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), int x, int y, int threads, size_t shared, cudaStream_t,
                   typename As<Parameters>::type... arguments) {
  const int allowed = allowed_shared_memory(reinterpret_cast<const void*>(kernel));
  return emulated::run_grid(x, y, threads, shared, allowed, [&] { kernel(arguments...); });
}

template <class... Parameters>
cudaError_t allow_shared_memory(void (*kernel)(Parameters...), int bytes) {
  if (bytes > emulated::gpu.shared_memory) return cudaErrorInvalidValue;
  int& allowed = allowed_shared_memory(reinterpret_cast<const void*>(kernel));
  // The attribute is the kernel's, not the launch's: a thread that lowers it takes it from another one's
  // launch.
  if (bytes < allowed) emulated::fail("less shared memory asked for than before");
  allowed = bytes;
  return cudaSuccess;
}

}  // namespace smsr::cuda
