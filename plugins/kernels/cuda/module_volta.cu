// The module on tensor cores of sm_70 and sm_72.
#include "cuda/launch_gather.cuh"
#include "cuda/tile_volta.cuh"

template smsr::Status smsr::cuda::launch_with<smsr::cuda::VoltaTile>(const Launch& launch);
