// AVX2 and FMA: 16 registers of 8 floats.
#include <immintrin.h>

#include "dense_kernels.h"
#include "kernels.h"
#include "reduced_kernels.h"
#include "winograd.h"

namespace smsr {
namespace {

#include "avx256_registers.h"

struct Narrow : Eight {
  // Sums, weights of one step and one broadcast pixel must fit 16 registers.
  static constexpr int kVectors = 3;
  static constexpr int rows(int vectors) { return vectors == 1 ? 12 : vectors == 2 ? 6 : 4; }
};
struct Wide : Narrow {
  static constexpr int kVectors = 2;  // divides every C; six rows by two vectors
};

#include "loops.h"

}  // namespace

extern const Kernels kernels_avx2;
constexpr Kernels kernels_avx2 = make_kernels("avx2");

}  // namespace smsr
