// NEON with float16 multiplicands (FEAT_FP16 and FEAT_FHM): FMLAL multiplies float16 and sums in float32. As
// many multiply-adds per instruction as in float32; what it saves is memory traffic.
#include <arm_neon.h>

#include "isa/register.h"
#include "kernels.h"
#include "layout.h"

namespace smsr {
namespace {

#include "isa/neon-inl.h"

inline float16x8_t broadcast_half(const Reduced* p) { return vreinterpretq_f16_u16(vld1q_dup_u16(p)); }
inline float32x4_t load_halves(const Reduced* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
inline void store_halves(Reduced* p, float32x4_t a) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a))); }

struct Narrow : Four {
  using Four::broadcast;
  using Four::load;
  using Four::multiply_add;
  using Four::store;
  using Multiplicand = float16x8_t;
  static constexpr int kReducedStep = 1;
  static Register load(const Reduced* p) { return load_halves(p); }
  static void store(Reduced* p, Register a) { store_halves(p, a); }
  static Multiplicand broadcast(const Reduced* p) { return broadcast_half(p); }
  static Multiplicand load_weights(const Reduced* p) {
    return vreinterpretq_f16_u16(vcombine_u16(vld1_u16(p), vdup_n_u16(0)));
  }
  static Register multiply_add(Multiplicand a, Multiplicand b, Register c) {
    return vfmlalq_low_f16(c, a, b);
  }
};

// Two registers: the eight float16 of one.
struct Wide {
  using Register = float32x4x2_t;
  using Multiplicand = float16x8_t;
  static constexpr int kLanes = 8, kVectors = 2, kReducedStep = 1;
  static constexpr int rows(int vectors) { return vectors == 1 ? 12 : 6; }
  static Register zero() { return {{vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)}}; }
  static Register load(const float* p) { return {{vld1q_f32(p), vld1q_f32(p + 4)}}; }
  static Register broadcast(const float* p) {
    const float32x4_t all = vld1q_dup_f32(p);
    return {{all, all}};
  }
  static void store(float* p, Register a) {
    vst1q_f32(p, a.val[0]);
    vst1q_f32(p + 4, a.val[1]);
  }
  static Register add(Register a, Register b) {
    return {{vaddq_f32(a.val[0], b.val[0]), vaddq_f32(a.val[1], b.val[1])}};
  }
  static Register subtract(Register a, Register b) {
    return {{vsubq_f32(a.val[0], b.val[0]), vsubq_f32(a.val[1], b.val[1])}};
  }
  static Register multiply_add(Register a, Register b, Register c) {
    return {{vfmaq_f32(c.val[0], a.val[0], b.val[0]), vfmaq_f32(c.val[1], a.val[1], b.val[1])}};
  }
  static Register relu(Register a) {
    const float32x4_t none = vdupq_n_f32(0.0f);
    return {{vmaxq_f32(a.val[0], none), vmaxq_f32(a.val[1], none)}};
  }

  static Register load(const Reduced* p) { return {{load_halves(p), load_halves(p + 4)}}; }
  static void store(Reduced* p, Register a) {
    store_halves(p, a.val[0]);
    store_halves(p + 4, a.val[1]);
  }
  static Multiplicand broadcast(const Reduced* p) { return broadcast_half(p); }
  static Multiplicand load_weights(const Reduced* p) { return vreinterpretq_f16_u16(vld1q_u16(p)); }
  static Register multiply_add(Multiplicand a, Multiplicand b, Register c) {
    return {{vfmlalq_low_f16(c.val[0], a, b), vfmlalq_high_f16(c.val[1], a, b)}};
  }
};

#include "isa/variant-inl.h"
#include "isa/variant-reduced-inl.h"

Reduced round_to_float16(float value) {
  Reduced rounded[4];
  store_halves(rounded, vdupq_n_f32(value));
  return rounded[0];
}

constexpr ReducedKernels kFloat16 = make_reduced_kernels("float16", round_to_float16);

}  // namespace

extern const Kernels kernels_neonfp16;
constexpr Kernels kernels_neonfp16 = make_kernels("neonfp16", &kFloat16);

}  // namespace smsr
