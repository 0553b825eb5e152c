// AVX-512 F, BW, DQ, VL.
#include <immintrin.h>

#include "dense_kernels.h"
#include "kernels.h"
#include "reduced_kernels.h"
#include "winograd.h"

namespace smsr {
namespace {

#include "avx512_registers.h"

using Wide = Wide512;
using Narrow = Narrow512;

#include "loops.h"

}  // namespace

extern const Kernels kernels_avx512;
constexpr Kernels kernels_avx512 = make_kernels("avx512");

}  // namespace smsr
