// CUDA's objects, which free themselves, and its errors as failures.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "session.h"

namespace smsr::engine_bench {

inline void check(cudaError_t status, const std::string& where) {
  if (status == cudaErrorMemoryAllocation)
    throw Failure(where, "enough GPU memory", cudaGetErrorString(status), "use a smaller picture or batch");
  if (status != cudaSuccess)
    throw Failure(where, "a CUDA call that succeeds", cudaGetErrorString(status), "check GPU and driver");
}

class DeviceMemory {
 public:
  DeviceMemory(size_t bytes, const std::string& what) : bytes_(bytes) {
    check(cudaMalloc(&data_, bytes), what + ", " + std::to_string(bytes) + " bytes");
    check(cudaMemset(data_, 0xff, bytes), what);  // NaN, so that what is not written is noticed
  }
  DeviceMemory(DeviceMemory&& other) noexcept : data_(other.data_), bytes_(other.bytes_) {
    other.data_ = nullptr;
  }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  DeviceMemory& operator=(DeviceMemory&&) = delete;
  ~DeviceMemory() { cudaFree(data_); }
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_;
};

class PinnedMemory {
 public:
  explicit PinnedMemory(size_t bytes) { check(cudaMallocHost(&data_, bytes), "pinned memory"); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  ~PinnedMemory() { cudaFreeHost(data_); }
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream"); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }
  operator cudaStream_t() const { return stream_; }
  void wait(const std::string& what) const { check(cudaStreamSynchronize(stream_), what); }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "event"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event_); }
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace smsr::engine_bench
