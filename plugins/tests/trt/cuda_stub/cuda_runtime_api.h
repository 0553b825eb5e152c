// All that kernels/cuda/sparse_mask_module_cuda.h needs of CUDA, for tests on machines without it.
#pragma once

typedef struct CUstream_st* cudaStream_t;
