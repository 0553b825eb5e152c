// Registers of 8 floats, for AVX2 and for the narrow ones of AVX-512: isa/register.h but for kVectors and
// rows(). Needs from the includer: an unnamed namespace; immintrin.h.

struct Eight {
  using Register = __m256;
  static constexpr int kLanes = 8;
  static Register zero() { return _mm256_setzero_ps(); }
  static Register load(const float* p) { return _mm256_loadu_ps(p); }
  static Register broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  static void store(float* p, Register a) { _mm256_storeu_ps(p, a); }
  static Register add(Register a, Register b) { return _mm256_add_ps(a, b); }
  static Register subtract(Register a, Register b) { return _mm256_sub_ps(a, b); }
  static Register multiply_add(Register a, Register b, Register c) { return _mm256_fmadd_ps(a, b, c); }
  static Register relu(Register a) { return _mm256_max_ps(zero(), a); }
};
