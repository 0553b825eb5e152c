// The only declaration of CUDA's that kernels/cuda/sparse_mask_module_cuda.h uses, for tests without CUDA.
#pragma once

using cudaStream_t = struct CUstream_st*;
