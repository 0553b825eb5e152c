// Scratch memory cut into aligned parts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "scratch.h"

namespace smsr {

constexpr size_t kPartAlignment = 64;

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Parts one after the other from `base` on, which may be null to learn the size.
class Cursor {
 public:
  explicit Cursor(void* base) : start_(reinterpret_cast<uintptr_t>(base)), at_(start_) { align(); }
  template <class T>
  T* take(int64_t count) {
    T* part = reinterpret_cast<T*>(at_);
    at_ += static_cast<size_t>(count) * sizeof(T);
    align();
    return part;
  }
  // Enough for any base of the parts taken.
  size_t bytes() const { return at_ - start_ + kPartAlignment; }

 private:
  void align() { at_ = (at_ + kPartAlignment - 1) / kPartAlignment * kPartAlignment; }
  uintptr_t start_, at_;
};

inline ScratchSlots take_scratch(int64_t floats, Cursor* cursor) {
  const int64_t size = divide_up(floats, 16) * 16, slots = scratch_slots();
  return {cursor->take<std::atomic<bool>>(slots), cursor->take<float>(slots * size), size};
}

}  // namespace smsr
