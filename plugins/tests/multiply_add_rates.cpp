// Multiply-adds per second of float32, int8 and bfloat16 instructions on x86-64, one thread, in registers
// alone (ADR 7). Stands alone: c++ -O2 -o rates multiply_add_rates.cpp && ./rates
#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

namespace {

constexpr int kSums = 12, kRounds = 3000000, kMeasurements = 15;

double cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

#define REGISTERS                                                                                            \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
      "xmm13", "xmm14", "xmm15"

// A step is the instructions that add to register `sum`; there are kSums of them, independent of each other.
#define KERNEL(name, step)                                                                                   \
  void name() {                                                                                              \
    for (int round = 0; round < kRounds; ++round)                                                            \
      asm volatile(step("0") step("1") step("2") step("3") step("4") step("5") step("6") step("7") step("8") \
                       step("9") step("10") step("11")::                                                     \
                           : REGISTERS);                                                                     \
  }

#define FMA_256(sum) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" sum "\n"
#define BYTES_256(sum)                     \
  "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\n" \
  "vpmaddwd %%ymm12, %%ymm13, %%ymm12\n"   \
  "vpaddd %%ymm12, %%ymm" sum ", %%ymm" sum "\n"
#define PAIRS_256(sum)                     \
  "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\n" \
  "vpmaddubsw %%ymm15, %%ymm14, %%ymm13\n" \
  "vpaddw %%ymm12, %%ymm13, %%ymm12\n"     \
  "vpmaddwd %%ymm12, %%ymm15, %%ymm12\n"   \
  "vpaddd %%ymm12, %%ymm" sum ", %%ymm" sum "\n"
#define VNNI_256(sum) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" sum "\n"
#define FMA_512(sum) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" sum "\n"
#define VNNI_512(sum) "vpdpbusd %%zmm14, %%zmm15, %%zmm" sum "\n"
#define BF16_512(sum) "vdpbf16ps %%zmm14, %%zmm15, %%zmm" sum "\n"
KERNEL(fma_256, FMA_256)
KERNEL(bytes_256, BYTES_256)
KERNEL(pairs_256, PAIRS_256)
KERNEL(vnni_256, VNNI_256)
KERNEL(fma_512, FMA_512)
KERNEL(vnni_512, VNNI_512)
KERNEL(bf16_512, BF16_512)

struct Kernel {
  const char* name;
  bool supported;
  int per_step;  // multiply-adds
  void (*run)();
  std::array<double, kMeasurements> rates;
};

}  // namespace

int main() {
  const bool avx512 = __builtin_cpu_supports("avx512f");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  // GCC 12 knows no name for AVX-VNNI: CPUID leaf 7, subleaf 1, bit 4 of EAX
  unsigned eax = 7, ebx = 0, ecx = 1, edx = 0;
  asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  Kernel kernels[] = {
      {"AVX2 vfmadd231ps", avx2, 8, fma_256, {}},
      {"AVX2 vpmaddubsw, vpmaddwd, vpaddd", avx2, 32, bytes_256, {}},
      {"AVX2 2 vpmaddubsw, vpaddw, vpmaddwd, vpaddd", avx2, 64, pairs_256, {}},
      {"AVX-VNNI vpdpbusd", avx2 && (eax >> 4 & 1), 32, vnni_256, {}},
      {"AVX-512 vfmadd231ps", avx512, 16, fma_512, {}},
      {"AVX512-VNNI vpdpbusd", avx512 && __builtin_cpu_supports("avx512vnni"), 64, vnni_512, {}},
      {"AVX512-BF16 vdpbf16ps", avx512 && __builtin_cpu_supports("avx512bf16"), 32, bf16_512, {}},
  };
  asm volatile("vzeroall" ::: REGISTERS);
  for (int measurement = 0; measurement < kMeasurements; ++measurement) {
    for (Kernel& kernel : kernels) {
      if (!kernel.supported) continue;
      const double start = cpu_seconds();
      kernel.run();
      kernel.rates[measurement] = 1e-9 * kSums * kRounds * kernel.per_step / (cpu_seconds() - start);
    }
  }
  for (Kernel& kernel : kernels) {
    std::sort(kernel.rates.begin(), kernel.rates.end());
    if (kernel.supported) std::printf("%-44s %6.1f GMAC/s\n", kernel.name, kernel.rates[kMeasurements / 2]);
  }
}
