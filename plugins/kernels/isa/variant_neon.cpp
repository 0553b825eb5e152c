// NEON of 64-bit ARM.
#include <arm_neon.h>

#include "isa/register.h"
#include "kernels.h"
#include "layout.h"

namespace smsr {
namespace {

#include "isa/neon-inl.h"

using Wide = Four;
using Narrow = Four;

#include "isa/variant-inl.h"

}  // namespace

extern const Kernels kernels_neon;
constexpr Kernels kernels_neon = make_kernels("neon");

}  // namespace smsr
