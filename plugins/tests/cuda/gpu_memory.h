// A GPU's memory for tests that also run on the emulated one: as Buffer of host_memory.h.
#pragma once

#include "expect.h"
#include "gpu.h"

namespace smsr::testing {

class GpuMemory {
 public:
  explicit GpuMemory(size_t bytes) : buffer_(bytes) { buffer_.fill(0xff); }
  explicit GpuMemory(const Bytes& from) : buffer_(from) {}
  void* data() const { return buffer_.data(); }
  Bytes bytes() const {
    expect(buffer_.canaries_alive(), "nothing written behind a tensor");
    Bytes all = buffer_.read();
    all.resize(buffer_.bytes());
    return all;
  }

 private:
  DeviceBuffer buffer_;
};

}  // namespace smsr::testing
