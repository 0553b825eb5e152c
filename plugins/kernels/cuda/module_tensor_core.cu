// The module on tensor cores of sm_75 and newer.
#include "cuda/launch_gather.cuh"
#include "cuda/tile_half.cuh"

template smsr::Status smsr::cuda::launch_with<smsr::cuda::HalfTile>(const Launch& launch);
