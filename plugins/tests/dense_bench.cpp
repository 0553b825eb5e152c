// Times the dense convolutions and the mask branch, direct and by Winograd:
// smsr_dense_bench [--cpu-time] [H W [THREADS [VARIANT]]]. Medians of interleaved rounds; peak: multiply-adds
// in registers only, measured in between. GMAC/s count what direct convolutions do: with Winograd, which does
// fewer, the share of the peak may exceed 1.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "check.h"
#include "dense_problem.h"
#include "isa/dispatch.h"
#include "measure.h"

namespace smsr::testing {
namespace {

template <class Problem>
class Timed {
 public:
  Timed(const Problem& problem, const Mode& mode) : problem_(problem), output_(problem.outputs()) {
    params_ = problem.params(output_.data(), mode);
    workspace_.resize(Problem::bytes(params_));
  }
  double once(const Kernels& kernels, Pool* pool) {
    const double start = now();
    Problem::run(params_, kernels, pool->parallel(), workspace_.data(), workspace_.size());
    return seconds_since(start);
  }

 private:
  const Problem& problem_;
  Floats output_;
  typename Problem::Params params_;
  std::vector<char> workspace_;
};

template <class Problem>
void measure(const char* name, const Problem& problem, const Kernels& kernels, int threads, Pool* pool) {
  std::vector<Mode> all = modes(kernels);
  all.erase(std::remove_if(all.begin(), all.end(), [&](const Mode& mode) { return !problem.has(mode); }),
            all.end());
  std::vector<Timed<Problem>> runs;
  for (const Mode& mode : all) runs.emplace_back(problem, mode);
  std::vector<std::vector<double>> times(runs.size());
  std::vector<double> peaks;
  for (int round = 0; round < 24; ++round) {
    peaks.push_back(measure_peak(kernels, threads, pool));
    for (size_t k = 0; k < runs.size(); ++k) {
      const double seconds = runs[k].once(kernels, pool);
      if (round > 0) times[k].push_back(seconds);  // the first touches the memory
    }
  }
  for (size_t k = 0; k < runs.size(); ++k) {
    const double seconds = median(times[k]), rate = problem.macs() / seconds;
    std::printf("%-10s %-22s %-17s %8.2f ms (best %8.2f) %7.1f GMAC/s, %.3f of peak\n", kernels.name, name,
                all[k].name(), 1e3 * seconds, 1e3 * *std::min_element(times[k].begin(), times[k].end()),
                rate / 1e9, rate / median(peaks));
  }
  std::fflush(stdout);
}

void measure_all(const Kernels& kernels, int64_t h, int64_t w, int threads) {
  Pool pool(threads);
  const auto convolution = [&](const char* name, int64_t inputs, int64_t outputs, int taps, bool add) {
    const ConvolutionProblem problem({1, h, w, inputs, outputs, taps}, false, add);
    measure(name, problem, kernels, threads, &pool);
  };
  convolution("3x3 3->64", 3, 64, 9, false);
  convolution("3x3 64->64", 64, 64, 9, false);
  convolution("3x3 64->64 add", 64, 64, 9, true);
  convolution("3x3 64->16", 64, 16, 9, false);
  convolution("1x1 64->64", 64, 64, 1, false);
  convolution("1x1 64->64 add", 64, 64, 1, true);
  measure("mask branch 64", BranchProblem(1, h, w, 64), kernels, threads, &pool);
}

}  // namespace
}  // namespace smsr::testing

int main(int count, char** words) {
  using namespace smsr::testing;
  std::vector<std::string> rest;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(words[i], "--cpu-time") == 0)
      cpu_time = true;
    else
      rest.emplace_back(words[i]);
  }
  const int64_t h = rest.size() >= 2 ? std::atoll(rest[0].c_str()) : 256;
  const int64_t w = rest.size() >= 2 ? std::atoll(rest[1].c_str()) : 256;
  const int threads = rest.size() >= 3 ? std::atoi(rest[2].c_str()) : 2;
  const std::string variant = rest.size() >= 4 ? rest[3] : "";
  if (rest.size() == 1 || rest.size() > 4 || h < 1 || w < 1 || threads < 1 || !can_run(variant)) {
    std::fprintf(stderr,
                 "usage: smsr_dense_bench [--cpu-time] [H W [THREADS [VARIANT]]]; VARIANT: one of %s\n",
                 smsr::supported_variant_names());
    return 2;
  }
  const smsr::Kernels* variants[smsr::kMaxVariants];
  const size_t supported = smsr::supported_variants(variants);
  for (size_t i = 0; i < supported; ++i)
    if (variant.empty() || variant == variants[i]->name) measure_all(*variants[i], h, w, threads);
  return 0;
}
