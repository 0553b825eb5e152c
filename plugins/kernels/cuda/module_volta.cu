// The module on tensor cores of sm_70 and sm_72.
#include "launch_module.cuh"
#include "tile_volta.cuh"

template smsr::Status smsr::cuda::launch_with<smsr::cuda::VoltaTile>(const Launch& launch);
