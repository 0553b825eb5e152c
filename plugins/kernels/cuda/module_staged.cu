// The module on tensor cores of sm_80 and newer, pixels staged in shared memory.
#include "cuda/launch_staged.cuh"

smsr::Status smsr::cuda::launch_staged(const Launch& launch) { return StagedLauncher(launch).run(); }
