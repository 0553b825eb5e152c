// kernels/cuda/primitives.cuh for the emulated GPU. Matrix instructions have the lane layouts of the PTX ISA.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../half.h"
#include "machine.h"

#define SMSR_KERNEL(threads, blocks_per_processor)
#define SMSR_DEVICE inline
#define SMSR_HOST_DEVICE inline

namespace smsr::cuda {

using uint32 = uint32_t;
using uint16 = uint16_t;
using uint8 = uint8_t;

struct alignas(16) Vector {
  uint32 word[4];
};

inline int thread_index() { return emulated::place().thread; }
inline int block_x() { return emulated::place().block_x; }
inline int block_y() { return emulated::place().block_y; }
inline int blocks_x() { return emulated::place().blocks_x; }
inline int blocks_y() { return emulated::place().blocks_y; }
inline void sync_block() { emulated::sync_block(); }
inline void sync_warp() {
  emulated::meet_warp([](void* const(&)[32]) {}, nullptr);
}
inline void check_emulated(bool expected) {
  if (!expected) emulated::fail("an expectation of the kernel does not hold");
}
inline void* shared_memory() { return emulated::shared_memory(); }
inline uint32 shared_address(const void* at) {
  return static_cast<uint32>(static_cast<const char*>(at) - static_cast<const char*>(shared_memory()));
}
inline void* from_shared_address(uint32 at) { return static_cast<char*>(shared_memory()) + at; }

inline uint32 float_bits(float value) {
  uint32 bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float bits_float(uint32 bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

struct Shuffle {
  uint32 value, got;
  int from;  // lane; a lane outside the warp: its own value
};
inline uint32 shuffle_from(uint32 value, int from) {
  Shuffle mine = {value, 0, from};
  emulated::meet_warp(
      [](void* const(&brought)[32]) {
        for (int lane = 0; lane < 32; ++lane) {
          auto* to = static_cast<Shuffle*>(brought[lane]);
          const int at = to->from < 0 || to->from > 31 ? lane : to->from;
          to->got = static_cast<const Shuffle*>(brought[at])->value;
        }
      },
      &mine);
  return mine.got;
}
inline uint32 shuffle_xor(uint32 value, int mask) {
  return shuffle_from(value, (thread_index() % 32) ^ mask);
}
inline float shuffle_xor(float value, int mask) { return bits_float(shuffle_xor(float_bits(value), mask)); }
inline uint32 shuffle_up(uint32 value, int lanes) { return shuffle_from(value, thread_index() % 32 - lanes); }
inline uint32 shuffle(uint32 value, int lane) { return shuffle_from(value, lane); }
inline uint32 ballot(bool value) {
  uint32 bits = value ? 1 : 0;
  emulated::meet_warp(
      [](void* const(&brought)[32]) {
        uint32 all = 0;
        for (int lane = 0; lane < 32; ++lane) all |= *static_cast<uint32*>(brought[lane]) << lane;
        for (int lane = 0; lane < 32; ++lane) *static_cast<uint32*>(brought[lane]) = all;
      },
      &bits);
  return bits;
}
inline uint32 atomic_add(uint32* at, uint32 value) {
  emulated::let_others_take();
  const uint32 before = *at;
  *at = before + value;
  return before;
}
inline void fence_device() {}
inline void wait_for_count(const uint32* at, uint32 least) { emulated::wait_for_count(at, least); }
inline int count_bits(uint32 value) { return __builtin_popcount(value); }
inline float exponential(float value) { return std::exp(value); }
inline int round_to_even(float value) { return static_cast<int>(std::nearbyint(value)); }
inline float multiply_add(float a, float b, float c) { return std::fma(a, b, c); }

inline float half_to_float(uint16 bits) { return testing::from_half(bits); }
inline uint16 float_to_half(float value) { return testing::to_half(value); }
inline uint32 floats_to_halves(float low, float high) {
  return static_cast<uint32>(float_to_half(low)) | static_cast<uint32>(float_to_half(high)) << 16;
}
inline uint32 floats_to_positive_halves(float low, float high) {
  return floats_to_halves(low < 0.0f ? 0.0f : low, high < 0.0f ? 0.0f : high);
}
inline float half_of_pair(uint32 pair, int which) {
  return half_to_float(static_cast<uint16>(pair >> (16 * which)));
}

inline Vector load_or_zero(const void* from, bool there) {
  Vector v = {{0, 0, 0, 0}};
  if (emulated::counting) emulated::note(emulated::Access::kGlobalLoad, from, there);
  if (!there) return v;
  if (reinterpret_cast<uintptr_t>(from) % 16 != 0) emulated::fail("a 16-byte load from an unaligned address");
  std::memcpy(&v, from, sizeof v);
  return v;
}
inline Vector load_constant(const Vector* from) { return load_or_zero(from, true); }
inline Vector load_weights(const Vector* from) {
  if (emulated::counting)
    emulated::note(emulated::is_shared(from) ? emulated::Access::kSharedLoad : emulated::Access::kGlobalLoad,
                   from, true);
  return *from;
}
inline void store_vector(Vector* to, const Vector& value) {
  if (emulated::counting) emulated::note(emulated::Access::kGlobalStore, to, true);
  *to = value;
}
inline void prefetch(const void*) {}
inline void store_word(uint32* to, uint32 value) {
  if (emulated::counting) emulated::note(emulated::Access::kGlobalStore, to, true);
  *to = value;
}
inline void note_copy(bool copies, const void* to, const void* from, bool exists) {
  if (!emulated::counting) return;
  emulated::note(emulated::Access::kCopy, from, copies && exists);
  emulated::note(emulated::Access::kSharedStore, to, copies);
}
inline void copy_to_shared(Vector* to, const Vector* from) {
  note_copy(true, to, from, true);
  emulated::start_copy(to, from, sizeof(Vector));
}
inline void copy_or_zero(uint32 to, const void* from, bool exists) {
  note_copy(true, from_shared_address(to), from, exists);
  if (to % 16 != 0 || (exists && reinterpret_cast<uintptr_t>(from) % 16 != 0))
    emulated::fail("a 16-byte copy to or from an unaligned address");
  emulated::start_copy(from_shared_address(to), exists ? from : nullptr, sizeof(Vector));
}
inline void commit_copies() { emulated::commit_copies(); }
template <int kLeft>
inline void wait_for_copies() {
  emulated::wait_for_copies(kLeft);
}

inline Vector load_shared(uint32 from) {
  if (from % 16 != 0) emulated::fail("a 16-byte load from an unaligned address");
  Vector v;
  if (emulated::counting) emulated::note(emulated::Access::kSharedLoad, from_shared_address(from), true);
  std::memcpy(&v, from_shared_address(from), sizeof v);
  return v;
}

struct MatrixRows {
  void* row;  // 16 bytes
  uint32* to;
};
inline void load_matrices(uint32 (&to)[4], uint32 row) {
  if (row % 16 != 0) emulated::fail("a row of a matrix at an unaligned address");
  MatrixRows mine = {from_shared_address(row), to};
  emulated::meet_warp(
      [](void* const(&brought)[32]) {
        void* rows[32];
        for (int lane = 0; lane < 32; ++lane) rows[lane] = static_cast<MatrixRows*>(brought[lane])->row;
        if (emulated::counting) emulated::note_rows(rows);
        for (int lane = 0; lane < 32; ++lane)
          for (int m = 0; m < 4; ++m)
            std::memcpy(static_cast<MatrixRows*>(brought[lane])->to + m,
                        static_cast<char*>(rows[8 * m + lane / 4]) + 4 * (lane % 4), 4);
      },
      &mine);
}
inline void copies_arrive() { emulated::finish_copies(); }

struct Mma {
  float* d;
  uint32 a[4], b[2];
};

inline void multiply_16x8x16(float (&d)[4], uint32 a0, uint32 a1, uint32 a2, uint32 a3, uint32 b0,
                             uint32 b1) {
  Mma mine = {d, {a0, a1, a2, a3}, {b0, b1}};
  emulated::meet_warp(
      [](void* const(&brought)[32]) {
        float a[16][16], b[16][8];
        for (int lane = 0; lane < 32; ++lane) {
          const auto* from = static_cast<const Mma*>(brought[lane]);
          const int g = lane / 4, t = lane % 4;
          for (int odd = 0; odd < 2; ++odd) {
            for (int r = 0; r < 4; ++r)
              a[g + 8 * (r % 2)][2 * t + 8 * (r / 2) + odd] = half_of_pair(from->a[r], odd);
            for (int r = 0; r < 2; ++r) b[2 * t + 8 * r + odd][g] = half_of_pair(from->b[r], odd);
          }
        }
        if (emulated::counting) emulated::note_mma();
        float d[16][8] = {};
        for (int row = 0; row < 16; ++row)
          for (int k = 0; k < 16; ++k)
            for (int column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
        for (int lane = 0; lane < 32; ++lane)
          for (int i = 0; i < 4; ++i)
            static_cast<const Mma*>(brought[lane])->d[i] += d[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2];
      },
      &mine);
}

inline void multiply_quad_pairs(float (&d)[8], uint32 a0, uint32 a1, uint32 b0, uint32 b1) {
  Mma mine = {d, {a0, a1, 0, 0}, {b0, b1}};
  emulated::meet_warp(
      [](void* const(&brought)[32]) {
        float a[4][8][4], b[4][4][8];  // [quad pair]
        for (int lane = 0; lane < 32; ++lane) {
          const auto* from = static_cast<const Mma*>(brought[lane]);
          const int pair = lane / 4 % 4, r = lane % 4 + 4 * (lane / 16);
          for (int k = 0; k < 4; ++k) {
            a[pair][r][k] = half_of_pair(from->a[k / 2], k % 2);
            b[pair][k][r] = half_of_pair(from->b[k / 2], k % 2);
          }
        }
        for (int lane = 0; lane < 32; ++lane)
          for (int i = 0; i < 8; ++i) {
            const int pair = lane / 4 % 4, row = (lane & 1) + (i & 2) + 4 * (lane / 16);
            const int column = (i & 4) + (lane & 2) + (i & 1);
            float sum = 0.0f;
            for (int k = 0; k < 4; ++k) sum += a[pair][row][k] * b[pair][k][column];
            static_cast<const Mma*>(brought[lane])->d[i] += sum;
          }
      },
      &mine);
}

}  // namespace smsr::cuda
