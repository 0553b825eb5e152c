// Dense convolutions and the mask branch, every variant, direct and by Winograd, against the references.
#include "check.h"
#include "dense/reference.h"
#include "dense_problem.h"
#include "isa/dispatch.h"
#include "smsr_contract.h"

namespace smsr::testing {
namespace {

using reference::Doubles;

Doubles reference_image(const DenseParams& p, int64_t n) { return reference::dense_convolution(p, n); }
Doubles reference_image(const BranchParams& p, int64_t n) { return reference::mask_branch(p, n); }

template <class Problem>
Doubles reference_of(const Problem& problem) {
  Doubles all;
  for (int64_t n = 0; n < problem.batch(); ++n) {
    const Doubles image = reference_image(problem.params(nullptr, {false}), n);
    all.insert(all.end(), image.begin(), image.end());
  }
  return all;
}

// `start`: what the output holds before, for runs in place.
template <class Problem>
struct Run : Buffers {
  Run(const Problem& problem, const Kernels& kernels, Pool* pool, const Mode& mode,
      const Floats* start = nullptr)
      : Buffers(problem.outputs(), Problem::bytes(problem.params(nullptr, mode))) {
    if (start != nullptr) std::copy(start->begin(), start->end(), output());
    typename Problem::Params params = problem.params(output(), mode);
    use_in_place(start != nullptr, &params);
    status = Problem::run(params, kernels, pool->parallel(), workspace(), bytes());
  }
  Status status;

 private:
  static void use_in_place(bool, BranchParams*) {}
  static void use_in_place(bool yes, DenseParams* params) {
    if (yes) params->addend = params->output;
  }
};

template <class Problem>
void check_variant(const std::string& where, const Problem& problem, const Doubles& expected,
                   const Kernels& kernels, const Mode& mode) {
  static Pool one(1);
  const Run<Problem> run(problem, kernels, &one, mode);
  expect(run.status == Status::kOk, where + ": status " + describe(run.status));
  const double error = relative_error(expected, nullptr, run.output());
  expect(error <= tolerance(mode), where + ": relative error " + std::to_string(error));
  expect(run.canaries_alive(), where + ": wrote behind a buffer");
  for (Pool* pool : tested_pools())
    expect(run.same_bits(Run<Problem>(problem, kernels, pool, mode)), where + ": threads change bits");
  if constexpr (std::is_same_v<Problem, ConvolutionProblem>)
    if (!problem.addend().empty())
      for (Pool* pool : {&one, tested_pools().back()})
        expect(run.same_bits(Run<Problem>(problem, kernels, pool, mode, &problem.addend())),
               where + ": in place differs");
}

template <class Problem>
void check_case(const std::string& name, const Problem& problem) {
  const Doubles expected = reference_of(problem);
  for (const Kernels* kernels : tested_variants())
    for (const Mode& mode : modes(*kernels))
      if (problem.has(mode))
        check_variant(name + " " + kernels->name + mode.name(), problem, expected, *kernels, mode);
}

void check_convolution(const std::string& name, const DenseShape& shape) {
  check_case(name, ConvolutionProblem(shape, false, false));
  check_case(name + " relu", ConvolutionProblem(shape, true, false));
  check_case(name + " add", ConvolutionProblem(shape, false, true));
  check_case(name + " add relu", ConvolutionProblem(shape, true, true));
}

void check_branch_size(int64_t n, int64_t h, int64_t w, int64_t c) {
  std::string name = "branch";
  for (const int64_t size : {n, h, w, c}) name += ' ' + std::to_string(size);
  check_case(name, BranchProblem(n, h, w, c));
}

void check_convolution_refusals() {
  const ConvolutionProblem problem({1, 3, 4, 5, 16, 9}, false, false);
  Floats output(problem.outputs());
  std::vector<char> workspace(ConvolutionProblem::bytes(problem.params(output.data(), {false})));
  Pool pool(1);
  const auto status = [&](const DenseParams& p, size_t bytes) {
    return dense_convolution(p, *selected_variant(), pool.parallel(), workspace.data(), bytes);
  };
  DenseParams p = problem.params(output.data(), {false});
  expect(status(p, workspace.size() - 1) == Status::kSmallWorkspace, "convolution refuses a small workspace");
  p.shape.outputs = 17;
  expect(status(p, workspace.size()) == Status::kBadChannels, "convolution refuses 17 outputs");
  p = problem.params(output.data(), {false});
  p.shape.taps = 4;
  expect(status(p, workspace.size()) == Status::kBadSize, "convolution refuses 4 taps");
  p = problem.params(output.data(), {false});
  p.shape.height = int64_t{1} << 40;
  expect(status(p, workspace.size()) == Status::kBadSize, "convolution refuses 2^40 rows");
  p = problem.params(nullptr, {false});
  expect(status(p, workspace.size()) == Status::kBadPointer, "convolution refuses a null output");
  p = problem.params(const_cast<float*>(p.features), {false});
  expect(status(p, workspace.size()) == Status::kOverlap, "convolution refuses the features as output");
  p = problem.params(output.data(), {false});
  p.weights.prepared = output.data();
  expect(status(p, workspace.size()) == Status::kNoWinograd, "convolution refuses Winograd for 5 inputs");
}

// Weights of reduced precision for kernels without it.
template <class Problem>
void check_reduced_refusal(const Problem& problem, DenseWeights Problem::Params::* weights) {
  Floats output(problem.outputs());
  Kernels single = *selected_variant();
  single.reduced = nullptr;
  const Halves reduced(1);
  auto params = problem.params(output.data(), {false});
  (params.*weights).reduced = reduced.data();
  std::vector<char> workspace(Problem::bytes(params));
  expect(Problem::run(params, single, Pool(1).parallel(), workspace.data(), workspace.size()) ==
             Status::kNoReducedKernels,
         "refuses reduced weights without reduced kernels");
}

void check_branch_refusals() {
  const BranchProblem problem(1, 3, 4, 16);
  Floats margin(problem.outputs());
  std::vector<char> workspace(BranchProblem::bytes(problem.params(margin.data(), {false})));
  Pool pool(1);
  const auto status = [&](const BranchParams& p, size_t bytes) {
    return mask_branch(p, *selected_variant(), pool.parallel(), workspace.data(), bytes);
  };
  BranchParams p = problem.params(margin.data(), {false});
  expect(status(p, workspace.size() - 1) == Status::kSmallWorkspace, "branch refuses a small workspace");
  p.shape.squeezed = 4;
  expect(status(p, workspace.size()) == Status::kBadChannels, "branch refuses 4 squeezed channels");
  p = problem.params(margin.data(), {false});
  p.shape.width = 0;
  expect(status(p, workspace.size()) == Status::kBadSize, "branch refuses an empty image");
  p = problem.params(nullptr, {false});
  expect(status(p, workspace.size()) == Status::kBadPointer, "branch refuses a null margin");
  p = problem.params(const_cast<float*>(p.features), {false});
  expect(status(p, workspace.size()) == Status::kOverlap, "branch refuses the features as margin");
}

}  // namespace

void check_dense_convolutions() {
  check_convolution_refusals();
  check_reduced_refusal(ConvolutionProblem({1, 3, 4, 16, 16, 9}, false, false), &DenseParams::weights);
  for (const contract::ConvolutionCase& c : contract::kConvolutionCases)
    check_convolution(c.name, {c.n, c.h, c.w, c.inputs, c.outputs, c.taps});
  check_convolution("wide", {1, 3, 700, 16, 16, 9});  // a task ends within a row, and spans rows
  check_convolution("wide 1x1", {1, 3, 130, 21, 32, 1});
}

void check_mask_branches() {
  check_branch_refusals();
  check_reduced_refusal(BranchProblem(1, 3, 4, 16), &BranchParams::full);
  for (const auto& size : contract::kBranchSizes) check_branch_size(size[0], size[1], size[2], size[3]);
  check_branch_size(1, 45, 301, 16);  // several tasks
}

}  // namespace smsr::testing
