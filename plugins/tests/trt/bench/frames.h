// Frames as smsr_runtime's TensorRT backend runs them: pixels of one byte a number up and down, converted on
// the GPU, with copies and computing of neighbouring frames on streams of their own.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "cuda.h"

namespace smsr::engine_bench {

// The plugin library's conversion of pixels.
class PixelLibrary {
 public:
  explicit PixelLibrary(const std::string& path);  // throws Failure
  void to_planes(const void* pixels, void* planes, const Size& size, cudaStream_t stream) const;
  void to_pixels(const void* planes, void* pixels, void* not_finite, const Size& size,
                 cudaStream_t stream) const;

 private:
  void* function(const char* name) const;

  std::string path_;
  void* library_;
};

// An engine with one picture's memory. queue: a run of it on `stream`.
struct EngineRun {
  void *image, *upscaled;
  Size size, upscaled_size;
  cudaStream_t stream;
  std::function<void()> queue;
};

class FramePipeline {
 public:
  // pixels: H x W x 3, of every frame. The run and the library must outlive this.
  FramePipeline(const PixelLibrary& library, const EngineRun& run, const std::vector<unsigned char>& pixels);
  ~FramePipeline();

  // The result of one frame. Throws Failure where the engine gives no numbers.
  std::vector<unsigned char> result();
  // Median milliseconds of a frame, from pinned to pinned memory, while no other is under way.
  double alone(int repeats);
  // Milliseconds per frame of many in a row.
  double overlapped(int repeats);

 private:
  struct Slot;
  void begin(Slot& slot);
  static void finish(const Slot& slot);

  const PixelLibrary& library_;
  const EngineRun& run_;
  size_t result_bytes_;
  DeviceMemory not_finite_;
  Stream uploads_, downloads_;
  std::vector<std::unique_ptr<Slot>> slots_;
};

}  // namespace smsr::engine_bench
