#pragma once
// What an x86-64 CPU and its operating system offer, by the CPUID instruction. The compilers' own
// __builtin_cpu_supports is not used: the C++ runtime of `zig c++`, which builds the wheels, answers "no" to
// everything.

#if defined(__x86_64__)
#include <cpuid.h>

namespace smsr {

struct X86Features {
  bool avx2_fma = false;     // AVX2 and FMA
  bool avx512 = false;       // AVX-512 F, BW, DQ and VL
  bool avx512_bf16 = false;  // the dot product of bfloat16 pairs
};

// Which registers the operating system saves at a task switch (extended control register 0).
inline unsigned saved_registers() {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

inline X86Features x86_features() {
  constexpr unsigned kYmm = 0x06;  // XMM and YMM
  constexpr unsigned kZmm = 0xe6;  // and the mask registers, the upper halves of ZMM0-15, ZMM16-31
  X86Features features;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return features;
  const bool fma = c & bit_FMA, xgetbv_enabled = c & bit_OSXSAVE, avx = c & bit_AVX;
  if (!xgetbv_enabled || !avx || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
  const unsigned saved = saved_registers();
  features.avx2_fma = (saved & kYmm) == kYmm && fma && (b & bit_AVX2);
  constexpr unsigned kAvx512 = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);  // F, DQ, BW, VL
  features.avx512 = features.avx2_fma && (saved & kZmm) == kZmm && (b & kAvx512) == kAvx512;
  features.avx512_bf16 = features.avx512 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));
  return features;
}

}  // namespace smsr
#endif
