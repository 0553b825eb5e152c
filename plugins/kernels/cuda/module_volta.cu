#include "launch_module.cuh"
#include "tile_volta.cuh"

namespace smsr {
namespace cuda {

smsr_cuda_status launch_volta(const Device& device, const smsr_cuda_module& module,
                              const Workspace& workspace, cudaStream_t stream) {
  return Launcher<VoltaTile<64>, VoltaTile<32>>(device, module, workspace, stream).run();
}

}  // namespace cuda
}  // namespace smsr
