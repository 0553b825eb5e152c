// Every variant this CPU has against the double-precision reference, on the contract's cases and a few of its
// own. `smsr_kernel_test GROUP...` runs only these groups of checks (kGroups below), `--emulated` before them
// spares what check.h says; `--groups` names them, but for those that are part of others.
#include <cstdio>
#include <cstdlib>

#include "check.h"
#include "dense/dense_convolution.h"
#include "dense/mask_branch.h"
#include "isa/dispatch.h"
#include "module/reference.h"
#include "problem.h"
#include "smsr_contract.h"

namespace smsr::testing {
namespace {

double worst_error[2][2] = {};  // float32, reduced; direct, Winograd

struct Run : Buffers {
  Run(const Problem& problem, const Kernels& kernels, Pool* pool, const Mode& mode = {})
      : Buffers(problem.outputs(), workspace_bytes(problem.params(nullptr).shape)) {
    status =
        sparse_mask_module(problem.params(output(), mode), kernels, pool->parallel(), workspace(), bytes());
  }
  Status status;
};

// All images, without the residual.
reference::Doubles reference_of(const Problem& problem) {
  const Params params = problem.params(nullptr);
  reference::Doubles all;
  for (int64_t n = 0; n < params.shape.batch; ++n) {
    const reference::Doubles image = reference::module_without_residual(params, n);
    all.insert(all.end(), image.begin(), image.end());
  }
  return all;
}

void check_variant(const std::string& where, const Problem& problem, const reference::Doubles& expected,
                   const Kernels& kernels, const Mode& mode) {
  static Pool one(1);
  const Run run(problem, kernels, &one, mode);
  expect(run.status == Status::kOk, where + ": status " + describe(run.status));
  const double error = relative_error(expected, problem.features().data(), run.output());
  double& worst = worst_error[mode.reduced != nullptr][mode.winograd];
  worst = std::max(worst, error);
  expect(error <= tolerance(mode), where + ": relative error " + std::to_string(error));
  expect(run.canaries_alive(), where + ": wrote behind a buffer");
  for (Pool* pool : tested_pools())
    expect(run.same_bits(Run(problem, kernels, pool, mode)), where + ": threads change bits");
}

void check_case(const std::string& name, const Spec& spec) {
  const Problem problem(spec);
  const reference::Doubles expected = reference_of(problem);
  for (const Kernels* kernels : tested_variants())
    for (const Mode& mode : modes(*kernels))
      check_variant(name + " " + kernels->name + mode.name(), problem, expected, *kernels, mode);
}

// For sanitizers and emulators, which make a program many times slower.
bool is_small(const contract::Case& c) { return c.n * c.h * c.w * c.channels <= 200 * 32; }

void check_contract_cases() {
  for (const contract::Case& c : contract::kCases) {
    Spec spec{{c.n, c.h, c.w, c.channels, c.layers}, {c.dense, c.dense + c.layers}, c.mask, c.dead};
    check_case(c.name, spec);
    if (emulated && !is_small(c)) continue;
    spec.theta = 1.25f;
    check_case(std::string(c.name) + " theta 1.25", spec);
  }
}

void check_small_cases() {
  for (const contract::Case& c : contract::kCases)
    if (is_small(c))
      check_case(c.name,
                 {{c.n, c.h, c.w, c.channels, c.layers}, {c.dense, c.dense + c.layers}, c.mask, c.dead});
}

void check_own_cases() {
  // Many steps of four rows (see workspace.h) and more layers than one tile has segments.
  check_case("steps", {{1, 21, 600, 16, 10}, {8, 3, 16, 0, 1, 5, 0, 2, 9, 4}, "clustered"});
  check_case("channels_80", {{1, 7, 9, 80, 2}, {33, 80}, "random"});
  check_case("channels_112", {{1, 6, 9, 112, 3}, {64, 7, 0}, "random"});
}

// Rows and images further apart than they are long; what lies between must stay as it was.
void check_strides() {
  const Problem problem({{2, 6, 7, 32, 2}, {5, 3}, "random"});
  const Kernels& kernels = *selected_variant();
  Pool pool(2);
  const Run packed(problem, kernels, &pool);
  Params p = problem.params(nullptr);
  const int64_t row = p.features_row_stride, wide = row + 48, image = 6 * wide + 32;
  Floats features(static_cast<size_t>(2 * image), kNaN), output(features.size(), 7.0f);
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t y = 0; y < 6; ++y)
      std::copy_n(p.features + (n * 6 + y) * row, row, features.data() + n * image + y * wide);
  p.features = features.data();
  p.output = output.data();
  p.features_row_stride = p.output_row_stride = wide;
  p.features_image_stride = p.output_image_stride = image;
  std::vector<char> workspace(workspace_bytes(p.shape));
  const Status status = sparse_mask_module(p, kernels, pool.parallel(), workspace.data(), workspace.size());
  expect(status == Status::kOk, "strides: status");
  bool same = true, untouched = true;
  for (int64_t i = 0; i < 2 * image; ++i) {
    const int64_t n = i / image, y = (i % image) / wide, x = (i % image) % wide;
    const float value = output[static_cast<size_t>(i)];
    if (y < 6 && x < row)
      same = same && value == packed.output()[(n * 6 + y) * row + x];
    else
      untouched = untouched && value == 7.0f;
  }
  expect(same, "strides: same values as packed");
  expect(untouched, "strides: gaps untouched");
}

void check_refusals() {
  const Problem problem({{1, 3, 4, 16, 1}, {5}, "on"});
  Floats output(problem.outputs());
  std::vector<char> workspace(workspace_bytes({1, 3, 4, 16, 1}));
  Pool pool(1);
  const auto status = [&](const Params& p, size_t bytes) {
    return sparse_mask_module(p, *selected_variant(), pool.parallel(), workspace.data(), bytes);
  };
  Params p = problem.params(output.data());
  expect(status(p, workspace.size() - 1) == Status::kSmallWorkspace, "refuses a small workspace");
  p.shape.channels = 17;
  expect(status(p, workspace.size()) == Status::kBadChannels, "refuses 17 channels");
  p = problem.params(output.data());
  p.shape.height = int64_t{1} << 40;
  expect(status(p, workspace.size()) == Status::kBadSize, "refuses 2^40 rows");
  p = problem.params(nullptr);
  expect(status(p, workspace.size()) == Status::kBadPointer, "refuses a null output");
  for (const int64_t bad : {int64_t{-1}, int64_t{17}}) {
    p = problem.params(output.data());
    p.dense_channels = &bad;
    expect(status(p, workspace.size()) == Status::kBadDenseChannels, "refuses dense channels outside 0..C");
  }
  p = problem.params(output.data());
  p.shape.layers = 0;
  expect(status(p, workspace.size()) == Status::kBadLayers, "refuses no layers");
  for (int64_t Params::* stride :
       {&Params::features_row_stride, &Params::margin_row_stride, &Params::output_row_stride}) {
    p = problem.params(output.data());
    p.*stride -= 1;
    expect(status(p, workspace.size()) == Status::kBadStride, "refuses rows that overlap");
  }
  p = problem.params(output.data());
  p.output = const_cast<float*>(p.features) + problem.outputs() - 1;
  expect(status(p, workspace.size()) == Status::kOverlap, "refuses an output that overlaps the features");
}

// Products of sizes that overflow 64 bits, or that no memory holds: refused before anything is multiplied.
void check_huge_sizes() {
  const int64_t huge = int64_t{1} << 62, most = 1 << 16;
  expect(workspace_bytes({1, 3, 4, most, 1}) > 0, "takes 65536 channels");
  for (const int64_t channels : {most + 16, huge})
    expect(workspace_bytes({1, 5, 2, channels, 1}) == 0, "module: refuses channels above 65536");
  expect(workspace_bytes({1, 3, 4, 16, 1000}) > 0, "takes 1000 layers");
  for (const int64_t layers : {int64_t{1001}, huge})
    expect(workspace_bytes({1, 3, 4, 16, layers}) == 0, "module: refuses layers above 1000");
  expect(workspace_bytes({int64_t{1} << 36, 4, 4, 16, 1}) > 0, "takes a batch of 2^40 pixels");
  for (const int64_t batch : {(int64_t{1} << 36) + 1, huge}) {
    expect(workspace_bytes({batch, 4, 4, 16, 1}) == 0, "module: refuses a batch of more");
    expect(dense_workspace_bytes({batch, 4, 4, 16, 16, 9}, false) == 0,
           "convolution: refuses a batch of more");
    expect(branch_workspace_bytes({batch, 4, 4, 16, 16}, false) == 0, "mask branch: refuses a batch of more");
  }
  expect(dense_workspace_bytes({1, 4, 4, huge, 16, 9}, false) == 0, "convolution: refuses 2^62 inputs");
  expect(dense_workspace_bytes({1, 4, 4, 16, huge, 9}, false) == 0, "convolution: refuses 2^62 outputs");
  expect(branch_workspace_bytes({1, 4, 4, huge, 16}, false) == 0, "mask branch: refuses 2^62 channels");
  expect(branch_workspace_bytes({1, 4, 4, 16, huge}, false) == 0, "mask branch: refuses 2^62 squeezed ones");
}

void check_huge_strides() {
  const Problem problem({{2, 3, 4, 16, 1}, {5}, "on"});
  Floats output(problem.outputs());
  std::vector<char> workspace(workspace_bytes({2, 3, 4, 16, 1}));
  for (int64_t Params::* stride :
       {&Params::features_row_stride, &Params::features_image_stride, &Params::margin_row_stride,
        &Params::margin_image_stride, &Params::output_row_stride, &Params::output_image_stride})
    for (const int64_t bad : {int64_t{1} << 58, INT64_MAX, INT64_MIN}) {
      Params p = problem.params(output.data());
      p.*stride = bad;
      expect(sparse_mask_module(p, *selected_variant(), Pool(1).parallel(), workspace.data(),
                                workspace.size()) == Status::kBadStride,
             "refuses strides that no memory holds");
    }
}

// Prepared weights that the kernels cannot use, and no threads.
void check_kernel_refusals() {
  const Problem problem({{1, 3, 4, 16, 1}, {5}, "on"});
  Floats output(problem.outputs());
  std::vector<char> workspace(workspace_bytes({1, 3, 4, 16, 1}));
  Kernels single = *selected_variant();
  single.reduced = nullptr;
  const Halves weights(static_cast<size_t>(reduced_weights_size(1, 16)));
  Params p = problem.params(output.data());
  p.reduced_weights = weights.data();
  expect(sparse_mask_module(p, single, Pool(1).parallel(), workspace.data(), workspace.size()) ==
             Status::kNoReducedKernels,
         "refuses reduced weights without reduced kernels");
  p.reduced_weights = nullptr;
  expect(sparse_mask_module(p, single, {nullptr, nullptr}, workspace.data(), workspace.size()) ==
             Status::kBadPointer,
         "refuses no threads");
}

void check_dispatch() {
  const char* given = std::getenv(kVariantVariable);
  const std::string before = given != nullptr ? given : "";
  const Kernels* variants[kMaxVariants];
  const size_t count = supported_variants(variants);
  for (size_t i = 0; i < count; ++i) {
    setenv(kVariantVariable, variants[i]->name, 1);
    expect(selected_variant() == variants[i], std::string("SMSR_CPU forces ") + variants[i]->name);
    for (size_t j = 0; j < i; ++j)
      expect(variants[i]->module.next.active != variants[j]->module.next.active,
             "variants have code of their own");
  }
  setenv(kVariantVariable, "nonesuch", 1);
  expect(selected_variant() == nullptr, "SMSR_CPU=nonesuch selects nothing");
  unsetenv(kVariantVariable);
  expect(selected_variant() == variants[0], "the best variant is the default");
  if (!before.empty()) setenv(kVariantVariable, before.c_str(), 1);
}

void check_winograd_choice() {
  const std::pair<const char*, WinogradChoice> choices[] = {{"", WinogradChoice::kOn},
                                                            {"1", WinogradChoice::kOn},
                                                            {"0", WinogradChoice::kOff},
                                                            {"no", WinogradChoice::kBad}};
  for (const auto& [text, choice] : choices) {
    setenv(kWinogradVariable, text, 1);
    expect(winograd_choice() == choice, std::string("SMSR_WINOGRAD=") + text);
  }
  unsetenv(kWinogradVariable);
}

void check_refused() {
  check_refusals();
  check_huge_sizes();
  check_huge_strides();
  check_kernel_refusals();
}

struct Group {
  const char* name;
  void (*check)();
} const kGroups[] = {
    {"dispatch", check_dispatch},
    {"winograd_choice", check_winograd_choice},
    {"refusals", check_refused},
    {"strides", check_strides},
    {"scratch", check_scratch},
    {"nan", check_not_numbers},
    {"contract", check_contract_cases},
    {"large", check_own_cases},
    {"convolutions", check_dense_convolutions},
    {"branches", check_mask_branches},
    {"small", check_small_cases},  // of "contract"
};

int print_groups() {
  for (const Group& group : kGroups)
    if (&group + 1 != std::end(kGroups)) std::printf("%s\n", group.name);
  return 0;
}

// The groups named; where none is, all but the last. False where a name is none's.
bool run_groups(int count, char** names) {
  for (int i = 0; i < count; ++i) {
    const auto named = [&](const Group& group) { return std::strcmp(group.name, names[i]) == 0; };
    if (std::any_of(std::begin(kGroups), std::end(kGroups), named)) continue;
    std::fprintf(stderr, "smsr_kernel_test: error: groups: expected");
    for (const Group& group : kGroups) std::fprintf(stderr, " %s", group.name);
    std::fprintf(stderr, ", got %s; name some of them, or none for all\n", names[i]);
    return false;
  }
  for (const Group& group : kGroups) {
    const auto names_it = [&](const char* name) { return std::strcmp(group.name, name) == 0; };
    const bool of_all = count == 0 && &group + 1 != std::end(kGroups);
    if (of_all || std::any_of(names, names + count, names_it)) group.check();
  }
  return true;
}

}  // namespace
}  // namespace smsr::testing

int main(int count, char** arguments) {
  using namespace smsr::testing;
  if (count == 2 && std::strcmp(arguments[1], "--groups") == 0) return print_groups();
  std::printf("variants: %s\n", smsr::supported_variant_names());
  emulated = count > 1 && std::strcmp(arguments[1], "--emulated") == 0;
  const int options = emulated ? 2 : 1;
  if (!run_groups(count - options, arguments + options)) return 2;
  for (const int reduced : {0, 1})
    std::printf("largest relative error, %s: direct %.1e, Winograd %.1e\n", reduced ? "reduced" : "float32",
                worst_error[reduced][0], worst_error[reduced][1]);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
