// Stands in for the CUDA kernels: the same API on host memory. It refuses what the header says the kernels
// refuse, records its arguments, fills all of the workspace that it may use, and copies the features to the
// output.
#pragma once

#include "cuda/mask_branch_cuda.h"
#include "cuda/pixels_cuda.h"
#include "cuda/sparse_mask_module_cuda.h"

#define SMSR_DOUBLE __attribute__((visibility("default")))

namespace smsr::testing {

struct Recorded {
  int launches;         // since the start
  cuda::Params params;  // of the last launch; dense_channels points below
  int32_t dense_channels[contract::kTensorrtMaxLayers];
  cudaStream_t stream;
  cuda::Shape asked;  // by the last query for the workspace
  int branch_launches;
  cuda::BranchParams branch;       // of the last mask branch
  cuda::BranchShape branch_asked;  // by the last query for its workspace
  int pixel_launches;
  const void* pixels_from;  // of the last conversion of pixels or planes, and the rest of its arguments
  void* pixels_to;
  uint32_t* not_finite;
  cuda::PixelShape pixel_shape;
  Status next;  // what launches return instead of working, where not kOk
};

SMSR_DOUBLE Recorded& recorded();

}  // namespace smsr::testing
