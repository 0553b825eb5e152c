// Scratch memory for tasks that do not know which thread runs them: one slot for each thread the machine
// has. A task takes the lowest free one, so that a lone thread keeps to the same, cached memory.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <thread>

#include "layout.h"

namespace smsr {

// The same number throughout the process, or a workspace's size could change under it.
inline int64_t scratch_slots() {
  constexpr unsigned kMostSlots = 64;
  static const unsigned slots = std::clamp(std::thread::hardware_concurrency(), 1u, kMostSlots);
  return slots;
}

struct ScratchSlots {
  std::atomic<bool>* taken;  // [scratch_slots()]
  float* memory;             // [scratch_slots(), size]
  int64_t size;              // floats per slot, whole cache lines

  void reset() const {
    for (int64_t i = 0; i < scratch_slots(); ++i) new (taken + i) std::atomic<bool>(false);
  }
};

inline ScratchSlots take_scratch(int64_t floats, Cursor* cursor) {
  constexpr int64_t kLine = kCacheLine / sizeof(float);
  const int64_t size = divide_up(floats, kLine) * kLine, slots = scratch_slots();
  return {cursor->take<std::atomic<bool>>(slots), cursor->take<float>(slots * size), size};
}

// Holds a slot; waits for one where more threads than slots run.
class Scratch {
 public:
  explicit Scratch(const ScratchSlots& slots) : taken_(slots.taken) {
    for (int64_t i = 0;; i = (i + 1) % scratch_slots()) {
      if (!taken_[i].exchange(true, std::memory_order_acquire)) {
        taken_ += i;
        data_ = slots.memory + i * slots.size;
        return;
      }
      if (i + 1 == scratch_slots()) std::this_thread::yield();
    }
  }
  ~Scratch() { taken_->store(false, std::memory_order_release); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  float* data() const { return data_; }

 private:
  std::atomic<bool>* taken_;
  float* data_;
};

}  // namespace smsr
