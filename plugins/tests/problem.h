// Made-up inputs of the module, owned; and a small thread pool in the shape of smsr::Parallel.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels.h"
#include "module/sparse_mask_module.h"
#include "smsr_contract.h"

namespace smsr::testing {

// As ONNX Runtime allocates tensors: from the beginning of a cache line.
template <class T>
struct CacheLineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};
  CacheLineAllocator() = default;
  template <class Other>
  CacheLineAllocator(const CacheLineAllocator<Other>&) {}
  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
  void deallocate(T* data, size_t) { ::operator delete(data, kLine); }
  bool operator==(const CacheLineAllocator&) const { return true; }
  bool operator!=(const CacheLineAllocator&) const { return false; }
};
using Floats = std::vector<float, CacheLineAllocator<float>>;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Calls are served by `threads - 1` workers and the caller, tasks handed out one by one. Workers sleep soon
// after a call, so that they leave the processors to what is computed between calls.
class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  ~Pool() {
    stop_ = true;
    begin_round();
    for (std::thread& worker : workers_) worker.join();
  }
  Parallel parallel() { return {this, run}; }

 private:
  static void run(void* context, size_t tasks, void (*fn)(void*, size_t), void* argument) {
    Pool& pool = *static_cast<Pool*>(context);
    pool.fn_ = fn;
    pool.argument_ = argument;
    pool.tasks_ = tasks;
    pool.next_ = 0;
    pool.busy_ = pool.workers_.size();
    pool.begin_round();
    pool.drain();
    while (pool.busy_.load() > 0) pause();
  }
  static void pause() { std::this_thread::yield(); }
  void drain() {
    for (size_t i = next_.fetch_add(1); i < tasks_; i = next_.fetch_add(1)) fn_(argument_, i);
  }
  void work() {
    for (unsigned seen = 0;; ++seen) {
      await_round_after(seen);
      if (stop_) return;
      drain();
      busy_.fetch_sub(1);
    }
  }

  void begin_round() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      round_.fetch_add(1);
    }
    begun_.notify_all();
  }
  void await_round_after(unsigned seen) {
    for (int turn = 0; turn < kTurnsAwake; ++turn) {
      if (round_.load() != seen) return;
      pause();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    begun_.wait(lock, [&] { return round_.load() != seen; });
  }

  static constexpr int kTurnsAwake = 500;
  std::mutex mutex_;
  std::condition_variable begun_;
  std::vector<std::thread> workers_;
  std::atomic<bool> stop_{false};
  std::atomic<unsigned> round_{0};
  std::atomic<size_t> next_{0}, busy_{0};
  size_t tasks_ = 0;
  void (*fn_)(void*, size_t) = nullptr;
  void* argument_ = nullptr;
};

struct Spec {
  Shape shape;
  std::vector<int64_t> dense;
  std::string mask;
  int64_t dead = 0;
  float theta = 0.0f;
  bool with_nan = true;  // some inactive pixels have a NaN margin
  double share = 0.4;    // of active pixels, masks "clustered" and "random"
};

// How the weights are prepared: not at all (pixel by pixel), or for Winograd; and the same in reduced
// precision.
struct Mode {
  bool winograd = true;
  const ReducedKernels* reduced = nullptr;
  const char* name() const {
    if (reduced != nullptr) return winograd ? " reduced Winograd" : " reduced direct";
    return winograd ? " Winograd" : " direct";
  }
};
using Halves = std::vector<Reduced, CacheLineAllocator<Reduced>>;

class Problem {
 public:
  explicit Problem(const Spec& spec) : spec_(spec), random_(12345) {
    const Shape& s = spec.shape;
    const int64_t c = s.channels, layers = s.layers, reduced = c / contract::kChannelAttentionReduction;
    features_ = uniform(s.batch * s.height * s.width * c, -2.0f, 2.0f);
    conv_ = uniform(layers * 9 * c * c, -1.0f, 1.0f, std::sqrt(6.0 / (9.0 * static_cast<double>(c))));
    collect_ = uniform(layers * c * c, -1.0f, 1.0f, std::sqrt(3.0 / static_cast<double>(layers * c)));
    collect_bias_ = uniform(c, -0.5f, 0.5f);
    squeeze_ = uniform(c * reduced, -1.0f, 1.0f);
    squeeze_bias_ = uniform(reduced, 0.0f, 1.0f);
    excite_ = uniform(reduced * c, -1.0f, 1.0f);
    excite_bias_ = uniform(c, -1.0f, 1.0f);
    kill_channels();
    make_margin();
    prepared_.resize(index(prepared_weights_size(layers, c)));
    prepare_weights(conv_.data(), layers, c, prepared_.data());
  }

  Params params(float* output, const Mode& mode = {}) const {
    const Shape& s = spec_.shape;
    Params p{};
    p.shape = s;
    p.dense_channels = spec_.dense.data();
    p.features_row_stride = p.output_row_stride = s.width * s.channels;
    p.features_image_stride = p.output_image_stride = s.height * p.features_row_stride;
    p.margin_row_stride = s.width;
    p.margin_image_stride = s.height * s.width;
    p.theta = spec_.theta;
    p.features = features_.data();
    p.margin = margin_.data();
    p.conv_weights = conv_.data();
    p.prepared_weights = mode.winograd ? prepared_.data() : nullptr;
    p.reduced_weights = mode.reduced != nullptr ? reduced(*mode.reduced) : nullptr;
    p.reduced_tiles = mode.winograd;
    p.collect_weight = collect_.data();
    p.collect_bias = collect_bias_.data();
    p.squeeze_weight = squeeze_.data();
    p.squeeze_bias = squeeze_bias_.data();
    p.excite_weight = excite_.data();
    p.excite_bias = excite_bias_.data();
    p.output = output;
    return p;
  }
  size_t outputs() const { return features_.size(); }
  const Floats& features() const { return features_; }

  // Multiply-adds the module needs at this mask, convolutions and collect.
  double macs() const {
    const double c = static_cast<double>(spec_.shape.channels);
    double active = 0.0, inactive = 0.0, in = c;
    for (const int64_t dense : spec_.dense) {
      const double out = static_cast<double>(dense);
      active += 9.0 * c * c + c * c;
      inactive += 9.0 * in * out + out * c;
      in = out;
    }
    double on = 0.0;
    for (const float margin : margin_) on += margin - spec_.theta > 0.0f ? 1.0 : 0.0;
    return on * active + (static_cast<double>(margin_.size()) - on) * inactive;
  }

 private:
  Floats uniform(int64_t count, float low, float high, double factor = 1.0) {
    std::uniform_real_distribution<float> draw(low, high);
    Floats values(static_cast<size_t>(count));
    for (float& value : values) value = static_cast<float>(factor) * draw(random_);
    return values;
  }

  // Dead channels, as the export leaves them: zero columns of their own layer, zero rows of whatever reads
  // them.
  void kill_channels() {
    const int64_t c = spec_.shape.channels, layers = spec_.shape.layers;
    for (int64_t layer = 0; layer < layers; ++layer)
      for (int64_t k = c - spec_.dead; k < c; ++k)
        for (int64_t other = 0; other < c; ++other) {
          for (int64_t tap = 0; tap < 9; ++tap) {
            conv_[index(((layer * 9 + tap) * c + other) * c + k)] = 0.0f;
            if (layer > 0) conv_[index(((layer * 9 + tap) * c + k) * c + other)] = 0.0f;
          }
          collect_[index((layer * c + k) * c + other)] = 0.0f;
        }
  }

  // A smooth random field; its top share is active.
  Floats field(bool smooth) {
    const Shape& s = spec_.shape;
    Floats values(index(s.height * s.width));
    std::uniform_real_distribution<float> draw(-1.0f, 1.0f);
    if (!smooth) {
      for (float& value : values) value = draw(random_);
      return values;
    }
    for (int wave = 0; wave < 24; ++wave) {
      const float fy = 0.25f * draw(random_), fx = 0.25f * draw(random_), phase = 6.3f * draw(random_);
      for (int64_t y = 0; y < s.height; ++y)
        for (int64_t x = 0; x < s.width; ++x)
          values[index(y * s.width + x)] +=
              std::sin(fy * static_cast<float>(y) + fx * static_cast<float>(x) + phase);
    }
    return values;
  }

  bool is_active(int64_t y, int64_t x, float value, float threshold) const {
    const Shape& s = spec_.shape;
    if (spec_.mask == "off") return false;
    if (spec_.mask == "on") return true;
    if (spec_.mask == "one") return y == s.height / 2 && x == s.width / 3;
    if (spec_.mask == "border") return y == 0 || x == 0 || y == s.height - 1 || x == s.width - 1;
    return value > threshold;
  }

  void make_margin() {
    const Shape& s = spec_.shape;
    std::uniform_real_distribution<float> size(0.01f, 3.0f);
    for (int64_t n = 0; n < s.batch; ++n) {
      const Floats values = field(spec_.mask == "clustered");
      Floats sorted = values;
      std::sort(sorted.begin(), sorted.end());
      const double below = (1.0 - spec_.share) * static_cast<double>(sorted.size());
      const float threshold = sorted[std::min(sorted.size() - 1, static_cast<size_t>(below))];
      for (int64_t y = 0; y < s.height; ++y)
        for (int64_t x = 0; x < s.width; ++x) {
          const bool active = is_active(y, x, values[index(y * s.width + x)], threshold);
          const bool nan = spec_.with_nan && !active && (7 * y + 3 * x) % 11 == 0;
          margin_.push_back(nan ? kNaN : spec_.theta + (active ? size(random_) : -size(random_)));
        }
    }
  }

  static size_t index(int64_t i) { return static_cast<size_t>(i); }

  const Reduced* reduced(const ReducedKernels& kernels) const {
    const int64_t layers = spec_.shape.layers, c = spec_.shape.channels;
    if (reduced_.empty()) {
      reduced_.resize(index(reduced_weights_size(layers, c)));
      prepare_reduced_weights(kernels, conv_.data(), collect_.data(), layers, c, reduced_.data());
    }
    return reduced_.data();
  }

  Spec spec_;
  std::mt19937 random_;
  Floats features_, margin_, conv_, prepared_, collect_, collect_bias_, squeeze_, squeeze_bias_, excite_,
      excite_bias_;
  mutable Halves reduced_;  // made when first needed
};

}  // namespace smsr::testing
