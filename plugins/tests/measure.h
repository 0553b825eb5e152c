// Clocks and the machine's peak, for the benchmarks.
#pragma once

#include <ctime>

#include "isa/dispatch.h"
#include "kernels.h"
#include "problem.h"

namespace smsr::testing {

inline bool cpu_time = false;

inline double now() {
  timespec time;
  clock_gettime(cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

inline double seconds_since(double start) { return now() - start; }

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Whether the variant (empty: all) and the environment name something there is.
inline bool can_run(const std::string& variant) {
  return (variant.empty() || find_variant(variant.c_str()) != nullptr) &&
         winograd_choice() != WinogradChoice::kBad;
}

// Multiply-adds a second of all threads together, about 10 ms.
inline double measure_peak(const Kernels& kernels, int threads, Pool* pool) {
  constexpr int64_t kRounds = 1000000;
  struct Work {
    const Kernels& kernels;
    std::atomic<int64_t> macs;
  } work{kernels, {0}};
  const auto task = [](void* argument, size_t) {
    auto* w = static_cast<Work*>(argument);
    w->macs += static_cast<int64_t>(w->kernels.peak(kRounds));
  };
  const double start = now();
  const Parallel parallel = pool->parallel();
  parallel.run(parallel.context, static_cast<size_t>(threads), task, &work);
  return static_cast<double>(work.macs) / seconds_since(start);
}

}  // namespace smsr::testing
