// Registers of AVX-512 F, BW, DQ, VL (isa/register.h): 32 of 16 floats, or of 8 for the few dense outputs of
// inactive pixels. Needs from the includer: an unnamed namespace; immintrin.h; isa/avx256-inl.h.

// 24 sums, the weights of one step and a broadcast pixel fit 32 registers.
constexpr int rows_for(int vectors) { return vectors <= 3 ? 8 : 6; }

struct Wide512 {
  using Register = __m512;
  static constexpr int kLanes = 16, kVectors = 4;
  static constexpr int rows(int vectors) { return rows_for(vectors); }
  static Register zero() { return _mm512_setzero_ps(); }
  static Register load(const float* p) { return _mm512_loadu_ps(p); }
  static Register broadcast(const float* p) { return _mm512_set1_ps(*p); }
  static void store(float* p, Register a) { _mm512_storeu_ps(p, a); }
  static Register add(Register a, Register b) { return _mm512_add_ps(a, b); }
  static Register subtract(Register a, Register b) { return _mm512_sub_ps(a, b); }
  static Register multiply_add(Register a, Register b, Register c) { return _mm512_fmadd_ps(a, b, c); }
  // Masked, all lanes: GCC 12 warns falsely of an uninitialised value in _mm512_max_ps.
  static Register relu(Register a) { return _mm512_maskz_max_ps(0xffff, zero(), a); }
};
struct Narrow512 : Eight {
  static constexpr int kVectors = 4;
  static constexpr int rows(int vectors) { return rows_for(vectors); }
};
