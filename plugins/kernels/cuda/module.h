// Between the API and the kernels: which kernels there are, and the launch of one kind of them.
#pragma once

#include "cuda/sparse_mask_module_cuda.h"

namespace smsr::cuda {

struct Workspace;

// kTensorCore: float16, sm_75 and newer; kVolta: float16, sm_70 and newer; kFloat: float32, any GPU; kStaged:
// float16, sm_80 and newer.
enum class Kernels { kTensorCore, kVolta, kFloat, kStaged };

constexpr const char* kKernelVariable = "SMSR_CUDA_KERNEL";  // gather or staged

// The kernels for a type and a compute capability (10 * major + minor); kBadKernel for `name` where it is no
// kernel's or that GPU or type lacks it. name: null or empty is the default, gather.
Status choose_kernels(const char* name, Type type, int capability, Kernels* kernels);

struct Device {
  int processors;
  int shared_memory;  // most bytes per thread block
  // Pixels of a unit of the staged kernel: 32, or 64 where there is room; 0: by the image's size.
  int unit_rows = 0;
};

// sparse_mask_module() with kernels and a device of the caller's choice, for tests. kBadType where the
// kernels are of another type than the module, kBadDevice where this build has none of them or the device no
// processor.
Status launch_module(Kernels kernels, const Device& device, const Params& params, void* workspace,
                     size_t bytes, cudaStream_t stream);

// Whether this build has them. It has kVolta only where CMAKE_CUDA_ARCHITECTURES names sm_70 or sm_72, or
// SMSR_CUDA_VOLTA is set.
bool has_kernels(Kernels kernels);

// A checked call.
struct Launch {
  const Device& device;
  const Params& params;
  const Workspace& workspace;
  cudaStream_t stream;
};

template <int kRows>
class HalfTile;
template <int kRows>
class VoltaTile;
template <int kRows>
class FloatTile;

// Defined in launch_gather.cuh; module_*.cu instantiate it for one tile each.
template <template <int> class Tile>
Status launch_with(const Launch& launch);

Status launch_staged(const Launch& launch);  // module_staged.cu

extern template Status launch_with<HalfTile>(const Launch& launch);
extern template Status launch_with<VoltaTile>(const Launch& launch);
extern template Status launch_with<FloatTile>(const Launch& launch);

}  // namespace smsr::cuda
