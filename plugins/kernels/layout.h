// Scratch memory cut into aligned parts, on the CPU and in CUDA. C++14, as status.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace smsr {

// Bytes of a cache line: parts that start one are loaded and stored fastest.
constexpr size_t kCacheLine = 64;

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Hands out parts one after the other, each from a multiple of `alignment` bytes on. With a null base all
// parts are null, and only their size counts.
class Cursor {
 public:
  Cursor(void* base, size_t alignment) : base_(nullptr), bytes_(0), alignment_(alignment) {
    if (base != nullptr)
      base_ = reinterpret_cast<char*>(rounded(static_cast<size_t>(reinterpret_cast<uintptr_t>(base))));
  }
  void* take_bytes(size_t count) {
    void* const part = base_ == nullptr ? nullptr : base_ + bytes_;
    bytes_ += rounded(count);
    return part;
  }
  template <class T, class Count>
  T* take(Count count) {
    return static_cast<T*>(take_bytes(static_cast<size_t>(count) * sizeof(T)));
  }
  // All parts so far, from an aligned base on.
  size_t bytes() const { return bytes_; }
  // The same from any base on.
  size_t bytes_unaligned() const { return bytes_ + alignment_; }

 private:
  size_t rounded(size_t bytes) const { return (bytes + alignment_ - 1) / alignment_ * alignment_; }
  char* base_;
  size_t bytes_, alignment_;
};

}  // namespace smsr
