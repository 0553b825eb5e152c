// Every instruction that is not C++, so that the same sources run on a GPU and, compiled by a C++ compiler,
// on the emulated one of tests/cuda/emulate. C++17, no standard headers: compiles with NVRTC too.
#pragma once

#ifdef SMSR_CUDA_EMULATED
#include "emulated_primitives.h"
#else

#define SMSR_KERNEL(threads, blocks_per_processor) __global__ __launch_bounds__(threads, blocks_per_processor)
#define SMSR_DEVICE __device__ __forceinline__
#define SMSR_HOST_DEVICE __host__ __device__ __forceinline__

namespace smsr::cuda {

using uint32 = unsigned int;
using uint16 = unsigned short;
using uint8 = unsigned char;

// 16 bytes: the most that one thread loads or stores by one instruction.
struct alignas(16) Vector {
  uint32 word[4];
};

SMSR_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
SMSR_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }
SMSR_DEVICE int block_y() { return static_cast<int>(blockIdx.y); }
SMSR_DEVICE int blocks_x() { return static_cast<int>(gridDim.x); }
SMSR_DEVICE int blocks_y() { return static_cast<int>(gridDim.y); }
SMSR_DEVICE void sync_block() { __syncthreads(); }

SMSR_DEVICE void sync_warp() { __syncwarp(); }
// What the emulated GPU stops at where it is not so.
SMSR_DEVICE void check_emulated(bool) {}

// The block's dynamic shared memory, aligned to 128 bytes.
SMSR_DEVICE void* shared_memory() {
  extern __shared__ __align__(128) uint4 smsr_shared_memory[];
  return smsr_shared_memory;
}
// A place in shared memory as the instructions below take it: bytes from an address that is a multiple of
// 128.
SMSR_DEVICE uint32 shared_address(const void* at) {
  return static_cast<uint32>(__cvta_generic_to_shared(at));
}

SMSR_DEVICE uint32 shuffle_xor(uint32 value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
SMSR_DEVICE float shuffle_xor(float value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
SMSR_DEVICE uint32 shuffle_up(uint32 value, int lanes) { return __shfl_up_sync(0xffffffffu, value, lanes); }
SMSR_DEVICE uint32 shuffle(uint32 value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }
SMSR_DEVICE uint32 ballot(bool value) { return __ballot_sync(0xffffffffu, value); }
SMSR_DEVICE uint32 atomic_add(uint32* at, uint32 value) { return atomicAdd(at, value); }
// What this thread wrote before, or has seen, is there for whoever sees what it writes after.
SMSR_DEVICE void fence_device() { __threadfence(); }
// Waits until other blocks have raised the number to `least`; what they wrote before is then there.
SMSR_DEVICE void wait_for_count(const uint32* at, uint32 least) {
#if __CUDA_ARCH__ >= 700
  uint32 now;
  do {
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(at) : "memory");
  } while (now < least);
  fence_device();
#endif
}
SMSR_DEVICE int count_bits(uint32 value) { return __popc(value); }

SMSR_DEVICE float exponential(float value) { return expf(value); }
// Half to even.
SMSR_DEVICE int round_to_even(float value) { return __float2int_rn(value); }
SMSR_DEVICE uint32 float_bits(float value) { return __float_as_uint(value); }
SMSR_DEVICE float bits_float(uint32 bits) { return __uint_as_float(bits); }
SMSR_DEVICE float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }

// Half precision as bits, so that no header of one CUDA version is needed.
SMSR_DEVICE float half_to_float(uint16 bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
SMSR_DEVICE uint16 float_to_half(float value) {
  uint16 bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
SMSR_DEVICE uint32 floats_to_halves(float low, float high) {
#if __CUDA_ARCH__ >= 800
  uint32 pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return static_cast<uint32>(float_to_half(low)) | static_cast<uint32>(float_to_half(high)) << 16;
#endif
}

// The same of max(low, 0) and max(high, 0); NaN stays.
SMSR_DEVICE uint32 floats_to_positive_halves(float low, float high) {
#if __CUDA_ARCH__ >= 800
  uint32 pair;
  asm("cvt.rn.relu.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return floats_to_halves(low < 0.0f ? 0.0f : low, high < 0.0f ? 0.0f : high);
#endif
}

// Loads through the read-only path where `exists`, else returns zeros: one predicated instruction, no branch.
SMSR_DEVICE Vector load_or_zero(const void* from, bool exists) {
  Vector v;
  asm volatile(
      "{ .reg .pred p; setp.ne.u32 p, %5, 0;\n"
      " mov.b32 %0, 0; mov.b32 %1, 0; mov.b32 %2, 0; mov.b32 %3, 0;\n"
      " @p ld.global.nc.v4.b32 {%0, %1, %2, %3}, [%4]; }"
      : "=&r"(v.word[0]), "=&r"(v.word[1]), "=&r"(v.word[2]), "=&r"(v.word[3])
      : "l"(from), "r"(static_cast<uint32>(exists)));
  return v;
}
// Loads data that no running kernel writes.
SMSR_DEVICE Vector load_constant(const Vector* from) { return load_or_zero(from, true); }

// Loads 16 bytes, of packed weights or sums, from global or shared memory; stores 16 bytes to global memory.
SMSR_DEVICE Vector load_weights(const Vector* from) { return *from; }
SMSR_DEVICE void store_vector(Vector* to, const Vector& value) { *to = value; }
SMSR_DEVICE void store_word(uint32* to, uint32 value) { *to = value; }

// Brings 128 bytes of global memory to the second-level cache.
SMSR_DEVICE void prefetch(const void* from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(from)); }

// Copies 16 bytes from global to shared memory, from sm_80 on asynchronously: complete after
// copies_arrive().
SMSR_DEVICE void copy_to_shared(Vector* to, const Vector* from) {
#if __CUDA_ARCH__ >= 800
  const uint32 address = static_cast<uint32>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from) : "memory");
#else
  *to = *from;
#endif
}
SMSR_DEVICE void copies_arrive() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// What follows up to the products exists from sm_80 on; the host launches no kernel that uses it on others.

// Copies 16 bytes from global to shared memory asynchronously, past the first-level cache, or zeros where
// they do not exist (then `from` is not read): complete for this thread once it has waited for the group of
// the copy.
SMSR_DEVICE void copy_or_zero(uint32 to, const void* from, bool exists) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(exists ? 16 : 0)
               : "memory");
#else
  __trap();
#endif
}
// The thread's copies since it called this before are a group.
SMSR_DEVICE void commit_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  __trap();
#endif
}
// Waits for all of the thread's groups but the last kLeft.
template <int kLeft>
SMSR_DEVICE void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#else
  __trap();
#endif
}

// Loads 16 bytes from shared memory.
SMSR_DEVICE Vector load_shared(uint32 from) {
  Vector v;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.word[0]), "=r"(v.word[1]), "=r"(v.word[2]), "=r"(v.word[3])
               : "r"(from)
               : "memory");
  return v;
}

// Four 8 x 8 matrices of halves: lane 8 m + r brings the address of row r (16 bytes) of matrix m; lane 4 g +
// t gets numbers 2 t and 2 t + 1 of row g of matrix m in to[m].
SMSR_DEVICE void load_matrices(uint32 (&to)[4], uint32 row) {
#if __CUDA_ARCH__ >= 800
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(row)
               : "memory");
#else
  __trap();
#endif
}

// D [16, 8] += A [16, 16] * B [16, 8], spread over a warp; lane = 4 g + t (PTX ISA, fragments of
// mma.m16n8k16):
//   a<r>, r = 0..3   A: row g + 8 (r % 2), columns 2 t + 8 (r / 2) and the next
//   b<r>, r = 0, 1   B: rows 2 t + 8 r and the next, column g
//   d[i], i = 0..3   D: row g + 8 (i / 2), column 2 t + i % 2
SMSR_DEVICE void multiply_16x8x16(float (&d)[4], uint32 a0, uint32 a1, uint32 a2, uint32 a3, uint32 b0,
                                  uint32 b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#elif __CUDA_ARCH__ >= 750
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(b0));
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a2), "r"(a3), "r"(b1));
#else
  __trap();  // never launched there: the host chooses tile_volta.cuh
#endif
}

// Four products D [8, 8] += A [8, 4] * B [4, 8] at once, one per quad pair: lanes 4 p to 4 p + 3 and 4 p + 16
// to 4 p + 19. With r = lane % 4 + 4 (lane / 16) (PTX ISA, fragments of mma.m8n8k4):
//   a0, a1           A: row r, columns 0 to 3
//   b0, b1           B: rows 0 to 3, column r
//   d[i], i = 0..7   D: row (lane & 1) + (i & 2) + 4 (lane / 16), column (i & 4) + (lane & 2) + (i & 1)
SMSR_DEVICE void multiply_quad_pairs(float (&d)[8], uint32 a0, uint32 a1, uint32 b0, uint32 b1) {
  asm volatile(
      "mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 {%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9}, {%10, "
      "%11}, "
      "{%0, %1, %2, %3, %4, %5, %6, %7};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])
      : "r"(a0), "r"(a1), "r"(b0), "r"(b1));
}

}  // namespace smsr::cuda

#endif
