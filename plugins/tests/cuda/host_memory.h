// Memory of the emulated GPU.
#pragma once

#include <cstring>
#include <new>
#include <vector>

namespace smsr::testing {

using Bytes = std::vector<unsigned char>;

// Memory of exactly the given size (the address sanitizer detects accesses past its end), aligned to 256
// bytes and filled with 0xFF: NaN in both types, -1 as an index.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes), data_(::operator new(bytes, std::align_val_t(256))) {
    std::memset(data_, 0xff, bytes);
  }
  explicit Buffer(const Bytes& from) : Buffer(from.size()) { std::memcpy(data_, from.data(), bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { ::operator delete(data_, std::align_val_t(256)); }
  void* data() const { return data_; }
  Bytes bytes() const {
    const auto* from = static_cast<const unsigned char*>(data_);
    return Bytes(from, from + bytes_);
  }

 private:
  size_t bytes_;
  void* data_;
};

}  // namespace smsr::testing
