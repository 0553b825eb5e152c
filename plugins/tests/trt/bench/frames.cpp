#include "frames.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstring>

namespace smsr::engine_bench {
namespace {

constexpr int kSlots = 3;  // one uploads, one computes, one downloads
constexpr int kWarmUps = 5;
constexpr int kBytesOfNumber = 1;
constexpr char kWhere[] = "frames";

using ToPlanes = const char*(const void*, float*, int32_t, int32_t, int32_t, cudaStream_t);
using ToPixels = const char*(const float*, void*, uint32_t*, int32_t, int32_t, int32_t, cudaStream_t);

size_t numbers(const Size& size) {
  return size_t{3} * static_cast<size_t>(size.height) * static_cast<size_t>(size.width);
}

void check_launch(const char* refusal) {
  if (refusal != nullptr) throw Failure(kWhere, "a launch that succeeds", refusal, "check --pixels");
}

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

PixelLibrary::PixelLibrary(const std::string& path)
    : path_(path), library_(dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL)) {
  if (library_ == nullptr) throw Failure(path, "smsr's plugin library", dlerror(), "check --pixels");
}

void* PixelLibrary::function(const char* name) const {
  void* const symbol = dlsym(library_, name);
  if (symbol == nullptr)
    throw Failure(path_, "this release's plugin library", std::string("one without ") + name,
                  "build it again");
  return symbol;
}

void PixelLibrary::to_planes(const void* pixels, void* planes, const Size& size, cudaStream_t stream) const {
  const auto call = reinterpret_cast<ToPlanes*>(function("smsr_pixels_to_planes"));
  check_launch(call(pixels, static_cast<float*>(planes), size.height, size.width, kBytesOfNumber, stream));
}

void PixelLibrary::to_pixels(const void* planes, void* pixels, void* not_finite, const Size& size,
                             cudaStream_t stream) const {
  const auto call = reinterpret_cast<ToPixels*>(function("smsr_planes_to_pixels"));
  check_launch(call(static_cast<const float*>(planes), pixels, static_cast<uint32_t*>(not_finite),
                    size.height, size.width, kBytesOfNumber, stream));
}

struct FramePipeline::Slot {
  Slot(size_t from, size_t to)
      : image(from), result(to), device_image(from, kWhere), device_result(to, kWhere) {}
  PinnedMemory image, result;
  DeviceMemory device_image, device_result;
  Event uploaded, computed, downloaded;
};

FramePipeline::FramePipeline(const PixelLibrary& library, const EngineRun& run,
                             const std::vector<unsigned char>& pixels)
    : library_(library), run_(run), result_bytes_(numbers(run.upscaled_size)), not_finite_(4, kWhere) {
  for (int i = 0; i < kSlots; ++i) {
    slots_.push_back(std::make_unique<Slot>(pixels.size(), result_bytes_));
    std::memcpy(slots_.back()->image.data(), pixels.data(), pixels.size());
  }
  check(cudaMemset(not_finite_.data(), 0, 4), kWhere);
  check(cudaDeviceSynchronize(), kWhere);
}

FramePipeline::~FramePipeline() { cudaDeviceSynchronize(); }

void FramePipeline::begin(Slot& slot) {
  const size_t bytes = slot.device_image.bytes();
  check(cudaMemcpyAsync(slot.device_image.data(), slot.image.data(), bytes, cudaMemcpyHostToDevice, uploads_),
        kWhere);
  check(cudaEventRecord(slot.uploaded, uploads_), kWhere);
  check(cudaStreamWaitEvent(run_.stream, slot.uploaded, 0), kWhere);
  library_.to_planes(slot.device_image.data(), run_.image, run_.size, run_.stream);
  run_.queue();
  library_.to_pixels(run_.upscaled, slot.device_result.data(), not_finite_.data(), run_.upscaled_size,
                     run_.stream);
  check(cudaEventRecord(slot.computed, run_.stream), kWhere);
  check(cudaStreamWaitEvent(downloads_, slot.computed, 0), kWhere);
  check(cudaMemcpyAsync(slot.result.data(), slot.device_result.data(), result_bytes_, cudaMemcpyDeviceToHost,
                        downloads_),
        kWhere);
  check(cudaEventRecord(slot.downloaded, downloads_), kWhere);
}

void FramePipeline::finish(const Slot& slot) { check(cudaEventSynchronize(slot.downloaded), kWhere); }

std::vector<unsigned char> FramePipeline::result() {
  begin(*slots_[0]);
  finish(*slots_[0]);
  uint32_t flag = 0;
  check(cudaMemcpy(&flag, not_finite_.data(), 4, cudaMemcpyDeviceToHost), kWhere);
  if (flag != 0)
    throw Failure(kWhere, "finite numbers", "NaN or infinity", "compare the layers with --profile");
  const auto* bytes = static_cast<const unsigned char*>(slots_[0]->result.data());
  return {bytes, bytes + result_bytes_};
}

double FramePipeline::alone(int repeats) {
  std::vector<double> times;
  for (int i = 0; i < kWarmUps + repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    begin(*slots_[0]);
    finish(*slots_[0]);
    if (i >= kWarmUps) times.push_back(milliseconds_since(start));
  }
  std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
  return times[static_cast<size_t>(repeats / 2)];
}

double FramePipeline::overlapped(int repeats) {
  const int frames = kSlots * repeats;
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kSlots + frames; ++i) {
    Slot& slot = *slots_[static_cast<size_t>(i % kSlots)];
    if (i >= kSlots) finish(slot);
    if (i == kSlots)
      start = std::chrono::steady_clock::now();  // the first result is there, all others follow
    begin(slot);
  }
  for (const auto& slot : slots_) finish(*slot);
  return milliseconds_since(start) / (frames + kSlots - 1);
}

}  // namespace smsr::engine_bench
