// Runs one 3x3 convolution of 64 -> 64 channels on a SIZE x SIZE picture RUNS times, for tools that count
// instructions: smsr_dense_once SIZE RUNS direct|Winograd VARIANT. The difference of two counts leaves set-up
// out.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "dense_problem.h"
#include "isa/dispatch.h"

int main(int count, char** words) {
  using namespace smsr::testing;
  const smsr::Kernels* kernels = count == 5 ? smsr::find_variant(words[4]) : nullptr;
  if (kernels == nullptr) {
    std::fprintf(stderr, "usage: smsr_dense_once SIZE RUNS direct|Winograd VARIANT; VARIANT: one of %s\n",
                 smsr::supported_variant_names());
    return 2;
  }
  const int64_t size = std::atoll(words[1]);
  const ConvolutionProblem problem({1, size, size, 64, 64, 9}, false, false);
  Pool pool(1);
  Floats output(problem.outputs());
  auto params = problem.params(output.data(), Mode{std::string(words[3]) == "Winograd", nullptr});
  std::vector<char> workspace(ConvolutionProblem::bytes(params));
  for (int i = 0; i < std::atoi(words[2]); ++i)
    ConvolutionProblem::run(params, *kernels, pool.parallel(), workspace.data(), workspace.size());
  return 0;
}
