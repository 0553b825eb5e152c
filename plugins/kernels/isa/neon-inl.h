// Registers of NEON (isa/register.h): 32 of 4 floats.
// Needs from the includer: an unnamed namespace; arm_neon.h.

struct Four {
  using Register = float32x4_t;
  static constexpr int kLanes = 4, kVectors = 4;
  static constexpr int rows(int vectors) { return vectors <= 2 ? 12 : vectors == 3 ? 8 : 6; }
  static Register zero() { return vdupq_n_f32(0.0f); }
  static Register load(const float* p) { return vld1q_f32(p); }
  static Register broadcast(const float* p) { return vld1q_dup_f32(p); }
  static void store(float* p, Register a) { vst1q_f32(p, a); }
  static Register add(Register a, Register b) { return vaddq_f32(a, b); }
  static Register subtract(Register a, Register b) { return vsubq_f32(a, b); }
  static Register multiply_add(Register a, Register b, Register c) { return vfmaq_f32(c, a, b); }
  static Register relu(Register a) { return vmaxq_f32(a, zero()); }
};
