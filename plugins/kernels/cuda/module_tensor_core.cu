// The module on tensor cores of sm_75 and newer.
#include "launch_module.cuh"
#include "tile_half.cuh"

template smsr::Status smsr::cuda::launch_with<smsr::cuda::HalfTile>(const Launch& launch);
