// Weights of constant inputs, prepared once when a kernel is made.
#pragma once

#include <cstdint>
#include <memory>

#include "rows.h"

namespace smsr::ort {

void* allocate(size_t bytes);  // from the beginning of a cache line; null for 0
void release(void* data);

// Numbers that start where a cache line does.
template <class T>
class Aligned {
 public:
  Aligned() : Aligned(0) {}
  explicit Aligned(int64_t count)
      : data_(static_cast<T*>(allocate(static_cast<size_t>(count) * sizeof(T))), release) {}
  T* data() const { return data_.get(); }  // null where the count is 0

 private:
  std::unique_ptr<T, void (*)(void*)> data_;
};

// `count` numbers that fill(pointer) writes, unless there are none.
template <class T, class Fill>
Aligned<T> filled(int64_t count, const Fill& fill) {
  Aligned<T> made(count);
  if (made.data() != nullptr) fill(made.data());
  return made;
}

// At most one of the two is there.
struct PreparedWeights {
  Aligned<float> single;
  Aligned<Reduced> reduced;
};

}  // namespace smsr::ort
