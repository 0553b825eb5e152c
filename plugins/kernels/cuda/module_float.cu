#include "launch_module.cuh"
#include "tile_float.cuh"

namespace smsr {
namespace cuda {

smsr_cuda_status launch_float(const Device& device, const smsr_cuda_module& module,
                              const Workspace& workspace, cudaStream_t stream) {
  return Launcher<FloatTile<64>, FloatTile<32>>(device, module, workspace, stream).run();
}

}  // namespace cuda
}  // namespace smsr
