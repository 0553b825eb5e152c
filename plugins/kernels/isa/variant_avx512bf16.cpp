// AVX-512 with BF16: products of two pairs of bfloat16 are summed into a float, twice the multiply-adds of
// float32 per instruction. float32 is computed as in variant_avx512.cpp.
#include <immintrin.h>

#include <cstring>

#include "isa/register.h"
#include "kernels.h"
#include "layout.h"

namespace smsr {
namespace {

#include "isa/avx256-inl.h"
#include "isa/avx512-inl.h"

inline int load_pair(const Reduced* p) {
  int pair;
  std::memcpy(&pair, p, sizeof pair);
  return pair;
}

struct Wide : Wide512 {
  using Wide512::broadcast;
  using Wide512::load;
  using Wide512::multiply_add;
  using Wide512::store;
  using Multiplicand = __m512bh;
  static constexpr int kReducedStep = 2;
  static Register load(const Reduced* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    // Masked, all lanes, as in isa/avx512-inl.h.
    return _mm512_castsi512_ps(
        _mm512_maskz_slli_epi32(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, bits), 16));
  }
  static void store(Reduced* p, Register a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(a));
  }
  static Multiplicand broadcast(const Reduced* p) { return (__m512bh)_mm512_set1_epi32(load_pair(p)); }
  static Multiplicand broadcast_first(const Reduced* p) { return (__m512bh)_mm512_set1_epi32(*p); }
  static Multiplicand load_weights(const Reduced* p) { return (__m512bh)_mm512_loadu_si512(p); }
  static Multiplicand load_first_weights(const Reduced* p) {
    return (__m512bh)_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(0xffff));
  }
  static Register multiply_add(Multiplicand a, Multiplicand b, Register c) {
    return _mm512_dpbf16_ps(c, a, b);
  }
};

struct Narrow : Narrow512 {
  using Narrow512::broadcast;
  using Narrow512::load;
  using Narrow512::multiply_add;
  using Narrow512::store;
  using Multiplicand = __m256bh;
  static constexpr int kReducedStep = 2;
  static Register load(const Reduced* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static void store(Reduced* p, Register a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), (__m128i)_mm256_cvtneps_pbh(a));
  }
  static Multiplicand broadcast(const Reduced* p) { return (__m256bh)_mm256_set1_epi32(load_pair(p)); }
  static Multiplicand broadcast_first(const Reduced* p) { return (__m256bh)_mm256_set1_epi32(*p); }
  static Multiplicand load_weights(const Reduced* p) {
    return (__m256bh)_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Multiplicand load_first_weights(const Reduced* p) {
    const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return (__m256bh)_mm256_and_si256(all, _mm256_set1_epi32(0xffff));
  }
  static Register multiply_add(Multiplicand a, Multiplicand b, Register c) {
    return _mm256_dpbf16_ps(c, a, b);
  }
};

#include "isa/variant-inl.h"
#include "isa/variant-reduced-inl.h"

// As the processor rounds: nearest even, NaN stays NaN, what is below the smallest normal number becomes 0.
Reduced round_to_bfloat16(float value) {
  Reduced rounded[8];
  const __m128i bits = (__m128i)_mm256_cvtneps_pbh(_mm256_set1_ps(value));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(rounded), bits);
  return rounded[0];
}

constexpr ReducedKernels kBfloat16 = make_reduced_kernels("bfloat16", round_to_bfloat16);

}  // namespace

extern const Kernels kernels_avx512bf16;
constexpr Kernels kernels_avx512bf16 = make_kernels("avx512bf16", &kBfloat16);

}  // namespace smsr
