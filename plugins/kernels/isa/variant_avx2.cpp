// AVX2 and FMA: 16 registers of 8 floats.
#include <immintrin.h>

#include "isa/register.h"
#include "kernels.h"
#include "layout.h"

namespace smsr {
namespace {

#include "isa/avx256-inl.h"

struct Narrow : Eight {
  // Sums, weights of one step and one broadcast pixel must fit 16 registers.
  static constexpr int kVectors = 3;
  static constexpr int rows(int vectors) { return vectors == 1 ? 12 : vectors == 2 ? 6 : 4; }
};
struct Wide : Narrow {
  static constexpr int kVectors = 2;  // divides every C; six rows by two vectors
};

#include "isa/variant-inl.h"

}  // namespace

extern const Kernels kernels_avx2;
constexpr Kernels kernels_avx2 = make_kernels("avx2");

}  // namespace smsr
