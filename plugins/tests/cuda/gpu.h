// Shared by gpu_test and gpu_bench: device memory that frees itself; CUDA errors end the program.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "module_case.h"

namespace smsr::testing {

inline void check_cuda(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::printf("FAILED %s: %s\n", what, cudaGetErrorString(status));
  std::exit(1);
}

// Device memory with canary bytes behind its end, which a write past the end changes.
class DeviceBuffer {
 public:
  explicit DeviceBuffer(size_t bytes) : bytes_(bytes) {
    check_cuda(cudaMalloc(&data_, bytes + kCanaryBytes), "cudaMalloc");
    check_cuda(cudaMemset(data_, kCanaryByte, bytes + kCanaryBytes), "cudaMemset");
  }
  explicit DeviceBuffer(const Bytes& from) : DeviceBuffer(from.size()) {
    check_cuda(cudaMemcpy(data_, from.data(), bytes_, cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  ~DeviceBuffer() { cudaFree(data_); }
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  void fill(int byte) { check_cuda(cudaMemset(data_, byte, bytes_), "cudaMemset"); }
  Bytes read() const {
    Bytes all(bytes_ + kCanaryBytes);
    check_cuda(cudaMemcpy(all.data(), data_, all.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return all;
  }
  bool canaries_alive() const {
    const Bytes all = read();
    for (size_t i = bytes_; i < all.size(); ++i)
      if (all[i] != kCanaryByte) return false;
    return true;
  }

 private:
  static constexpr size_t kCanaryBytes = 256;
  static constexpr unsigned char kCanaryByte = 0xA5;
  size_t bytes_;
  void* data_ = nullptr;
};

// A case's tensors in device memory.
class DeviceCase {
 public:
  DeviceCase(const ModuleCase& module_case, cuda::Layout layout)
      : shape_(module_case.shape(layout)),
        output(module_case.output_bytes()),
        workspace(cuda::workspace_bytes(shape_)) {
    void* pointers[op::kInputs];
    for (int i = 0; i < op::kInputs; ++i) {
      inputs_.push_back(std::make_unique<DeviceBuffer>(module_case.input(i, layout)));
      pointers[i] = inputs_.back()->data();
    }
    params = module_case.params(layout, pointers, output.data());
  }
  Status run(cudaStream_t stream) {
    return cuda::sparse_mask_module(params, workspace.data(), workspace.bytes(), stream);
  }

 private:
  cuda::Shape shape_;
  std::vector<std::unique_ptr<DeviceBuffer>> inputs_;

 public:
  DeviceBuffer output, workspace;
  cuda::Params params;
};

}  // namespace smsr::testing
