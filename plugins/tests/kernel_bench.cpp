// Times the module per variant: smsr_kernel_bench [--json] [--cpu-time] [H W SHARE [THREADS [VARIANT]]];
// clustered masks. What is inside the time: one whole module (mask lists, convolutions, collect, attention,
// residual).
// --cpu-time: the process's CPU time in place of wall time, for one thread on a machine that others use too.
// Peak: multiply-adds in registers only, same threads, measured in between; medians of interleaved rounds.
// GMAC/s count the multiply-adds of the remaining network as direct convolutions would do them. Winograd does
// fewer, so the share of peak may exceed 1; SMSR_WINOGRAD=0 switches it off. Variants that multiply in
// reduced precision are timed in that, too; the peak is float32's.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "isa/dispatch.h"
#include "measure.h"
#include "problem.h"

namespace smsr::testing {
namespace {

struct Options {
  int64_t height = 256, width = 256;
  double share = 0.4;
  int threads = 2;
  std::string variant;  // empty: all
  bool json = false;
  bool understood = true;
};

// The splits of the published x2 checkpoint.
const std::vector<int64_t> kSplits[] = {
    {24, 9, 3, 0}, {16, 4, 1, 0}, {16, 7, 1, 0}, {3, 0, 0, 0}, {14, 5, 0, 0}};

struct Result {
  double seconds, best_seconds, gmacs, peak;
};

Result measure(const Problem& problem, const Kernels& kernels, const ReducedKernels* reduced, int threads,
               Pool* pool) {
  Floats output(problem.outputs());
  const Params params = problem.params(output.data(), {winograd_choice() == WinogradChoice::kOn, reduced});
  std::vector<char> workspace(workspace_bytes(params.shape));
  std::vector<double> times, peaks;
  const double budget = 1.5;
  const double begin = now();
  while (times.size() < 5 || seconds_since(begin) < budget) {
    peaks.push_back(measure_peak(kernels, threads, pool));
    const double start = now();
    sparse_mask_module(params, kernels, pool->parallel(), workspace.data(), workspace.size());
    times.push_back(seconds_since(start));
  }
  times.erase(times.begin());  // the first touches the memory
  const double seconds = median(times);
  const double best = *std::min_element(times.begin(), times.end());
  return {seconds, best, problem.macs() / seconds / 1e9, median(peaks) / 1e9};
}

void report(const Options& o, const std::vector<int64_t>& dense, const Kernels& kernels, const char* type,
            const Result& r) {
  std::string split;
  for (const int64_t d : dense) split += (split.empty() ? "" : " ") + std::to_string(d);
  const char* format = o.json ? "{\"variant\": \"%s\", \"compute\": \"%s\", \"dense\": \"%s\", \"h\": %lld, "
                                "\"w\": %lld, \"share\": %g, "
                                "\"threads\": %d, \"ms\": %.3f, \"best_ms\": %.3f, \"gmac_per_s\": %.2f, "
                                "\"peak_gmac_per_s\": %.2f, \"of_peak\": %.4f}\n"
                              : "%-10s %-8s [%-8s] %lldx%lld share %.2f threads %d: %8.2f ms (best %8.2f) "
                                "%7.1f GMAC/s, peak %6.1f, "
                                "%.3f of peak\n";
  std::printf(format, kernels.name, type, split.c_str(), static_cast<long long>(o.height),
              static_cast<long long>(o.width), o.share, o.threads, 1e3 * r.seconds, 1e3 * r.best_seconds,
              r.gmacs, r.peak, r.gmacs / r.peak);
  std::fflush(stdout);
}

Options parse(int count, char** words) {
  Options o;
  std::vector<std::string> rest;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(words[i], "--json") == 0)
      o.json = true;
    else if (std::strcmp(words[i], "--cpu-time") == 0)
      cpu_time = true;
    else
      rest.emplace_back(words[i]);
  }
  if (rest.size() >= 3) {
    o.height = std::atoll(rest[0].c_str());
    o.width = std::atoll(rest[1].c_str());
    o.share = std::atof(rest[2].c_str());
  }
  if (rest.size() >= 4) o.threads = std::atoi(rest[3].c_str());
  if (rest.size() >= 5) o.variant = rest[4];
  o.understood = (rest.empty() || (rest.size() >= 3 && rest.size() <= 5)) && o.height > 0 && o.width > 0 &&
                 o.share >= 0.0 && o.share <= 1.0 && o.threads > 0 && can_run(o.variant);
  return o;
}

}  // namespace
}  // namespace smsr::testing

int main(int count, char** words) {
  using namespace smsr::testing;
  const Options o = parse(count, words);
  if (!o.understood) {
    std::fprintf(
        stderr,
        "usage: smsr_kernel_bench [--json] [--cpu-time] [H W SHARE [THREADS [VARIANT]]]; VARIANT: one of "
        "%s; SMSR_WINOGRAD: 0 or 1\n",
        smsr::supported_variant_names());
    return 2;
  }
  const smsr::Kernels* variants[smsr::kMaxVariants];
  const size_t supported = smsr::supported_variants(variants);
  Pool pool(o.threads);
  if (!o.json)
    std::printf(smsr::winograd_choice() == smsr::WinogradChoice::kOn
                    ? "Winograd on: fewer multiply-adds than counted, the share of peak may exceed 1\n"
                    : "Winograd off\n");
  for (const std::vector<int64_t>& dense : kSplits) {
    Spec spec{{1, o.height, o.width, 64, 4}, dense, "clustered"};
    spec.share = o.share;
    const Problem problem(spec);
    for (size_t i = 0; i < supported; ++i)
      if (o.variant.empty() || o.variant == variants[i]->name) {
        const smsr::Kernels& kernels = *variants[i];
        report(o, dense, kernels, "float32", measure(problem, kernels, nullptr, o.threads, &pool));
        if (const smsr::ReducedKernels* reduced = kernels.reduced)
          report(o, dense, kernels, reduced->type, measure(problem, kernels, reduced, o.threads, &pool));
      }
  }
  return 0;
}
