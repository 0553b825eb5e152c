// AVX2 and FMA: 16 registers of 8 floats.
#include <immintrin.h>

#include "dense_kernels.h"
#include "kernels.h"
#include "reduced_kernels.h"
#include "winograd.h"

namespace smsr {
namespace {

struct Narrow {
  using Register = __m256;
  // Sums, weights of one step and one broadcast pixel must fit 16 registers.
  static constexpr int kLanes = 8, kVectors = 3;
  static constexpr int rows(int vectors) { return vectors == 1 ? 12 : vectors == 2 ? 6 : 4; }
  static Register zero() { return _mm256_setzero_ps(); }
  static Register load(const float* p) { return _mm256_loadu_ps(p); }
  static Register broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  static void store(float* p, Register a) { _mm256_storeu_ps(p, a); }
  static Register add(Register a, Register b) { return _mm256_add_ps(a, b); }
  static Register subtract(Register a, Register b) { return _mm256_sub_ps(a, b); }
  static Register multiply_add(Register a, Register b, Register c) { return _mm256_fmadd_ps(a, b, c); }
  static Register relu(Register a) { return _mm256_max_ps(zero(), a); }
};
struct Wide : Narrow {
  static constexpr int kVectors = 2;  // divides every C; six rows by two vectors
};

#include "loops.h"

}  // namespace

extern const Kernels kernels_avx2;
const Kernels kernels_avx2 = {"avx2",         convolve_active, convolve_inactive, collect,
                              convolve_tiles, sum_row,         scale_add_row,     peak,
                              &dense_kernels};

}  // namespace smsr
