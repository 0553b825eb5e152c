// NEON of 64-bit ARM.
#include <arm_neon.h>

#include "dense_kernels.h"
#include "kernels.h"
#include "reduced_kernels.h"
#include "winograd.h"

namespace smsr {
namespace {

#include "neon_registers.h"

using Wide = Four;
using Narrow = Four;

#include "loops.h"

}  // namespace

extern const Kernels kernels_neon;
constexpr Kernels kernels_neon = make_kernels("neon");

}  // namespace smsr
