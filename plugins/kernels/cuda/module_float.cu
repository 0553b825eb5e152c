// The module on CUDA cores, in float32.
#include "cuda/launch_gather.cuh"
#include "cuda/tile_float.cuh"

template smsr::Status smsr::cuda::launch_with<smsr::cuda::FloatTile>(const Launch& launch);
