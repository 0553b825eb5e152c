// Memory of the emulated GPU, and a case's tensors in it.
#pragma once

#include <cstring>
#include <memory>
#include <new>

#include "module_case.h"

namespace smsr::testing {

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

struct EmulatedCase {
  EmulatedCase(const ModuleCase& module_case, cuda::Layout layout)
      : workspace(cuda::workspace_bytes(module_case.shape(layout))), output(module_case.output_bytes()) {
    void* pointers[op::kInputs];
    for (int i = 0; i < op::kInputs; ++i) {
      inputs.push_back(std::make_unique<Buffer>(module_case.input(i, layout)));
      pointers[i] = inputs.back()->data();
    }
    params = module_case.params(layout, pointers, output.data());
  }
  std::vector<std::unique_ptr<Buffer>> inputs;
  Buffer workspace, output;
  cuda::Params params;
};

}  // namespace smsr::testing
