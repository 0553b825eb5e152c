// AVX-512 F, BW, DQ, VL.
#include <immintrin.h>

#include "isa/register.h"
#include "kernels.h"
#include "layout.h"

namespace smsr {
namespace {

#include "isa/avx256-inl.h"
#include "isa/avx512-inl.h"

using Wide = Wide512;
using Narrow = Narrow512;

#include "isa/variant-inl.h"

}  // namespace

extern const Kernels kernels_avx512;
constexpr Kernels kernels_avx512 = make_kernels("avx512");

}  // namespace smsr
