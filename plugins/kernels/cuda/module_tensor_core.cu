#include "launch_module.cuh"
#include "tile_half.cuh"

namespace smsr {
namespace cuda {

smsr_cuda_status launch_tensor_core(const Device& device, const smsr_cuda_module& module,
                                    const Workspace& workspace, cudaStream_t stream) {
  return Launcher<HalfTile<64>, HalfTile<32>>(device, module, workspace, stream).run();
}

}  // namespace cuda
}  // namespace smsr
