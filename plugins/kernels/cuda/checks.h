// What every call checks alike: its pointers, and how its launches ended.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "status.h"

namespace smsr::cuda {

inline bool is_aligned(const void* pointer, uintptr_t to) {
  return pointer != nullptr && reinterpret_cast<uintptr_t>(pointer) % to == 0;
}

inline Status status_of(cudaError_t error) {
  if (error == cudaSuccess) return Status::kOk;
  const bool no_code = error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction;
  if (no_code) cudaGetLastError();  // kBadDevice says it all
  return no_code ? Status::kBadDevice : Status::kLaunchFailed;
}

}  // namespace smsr::cuda
