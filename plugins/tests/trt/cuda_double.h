// Stands in for the CUDA core: the same C API on host memory. It refuses what the header says the core
// refuses, keeps what it was given, fills all of the workspace it may use, and copies the features to the
// output.
#pragma once

#include "kernels/cuda/sparse_mask_module_cuda.h"

namespace smsr::testing {

struct Recorded {
  int launches;             // since the start
  smsr_cuda_module module;  // of the last launch; dense_channels points below
  int32_t dense_channels[SMSR_CUDA_MAX_LAYERS];
  void* workspace;
  size_t bytes;
  cudaStream_t stream;
  int workspace_queries;
  smsr_cuda_shape asked;  // by the last query for the workspace
  smsr_cuda_status next;  // what launches return, where not OK, instead of working
};

}  // namespace smsr::testing

extern "C" __attribute__((visibility("default"))) smsr::testing::Recorded* smsr_cuda_recorded(void);
