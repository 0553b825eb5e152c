// A NaN in the features stays one: in the sums that it reaches by the contract's definition, and nowhere
// else. What it reaches is worked out here from the operators' definitions, not from the kernels.
#include "check.h"
#include "dense_problem.h"
#include "isa/dispatch.h"

namespace smsr::testing {
namespace {

bool is_nan(float value) { return std::isnan(value); }

// Whether the two hold the same bits.
bool same(const float* a, const float* b, int64_t count) {
  return std::memcmp(a, b, static_cast<size_t>(count) * sizeof(float)) == 0;
}

// Rows or columns [first, last] of an image.
struct Span {
  int64_t first, last;
  bool holds(int64_t at) const { return first <= at && at <= last; }
  Span wider(int64_t by) const { return {first - by, last + by}; }
};

int64_t round_down(int64_t value, int64_t to) {
  return value >= 0 ? value / to * to : -((to - 1 - value) / to * to);
}

// What the NaN of one number must reach, and what it may: Winograd's tiles share sums of the 6x6 inputs.
struct Reach {
  Span must, may;
};

Reach convolved(int64_t at, bool winograd) {
  const Span neighbours = Span{at, at}.wider(1), tiles{round_down(at - 1, 4), round_down(at + 1, 4) + 3};
  return {neighbours, winograd ? tiles : neighbours};
}

// The mask branch: convolution, 2x2 average, convolution, then pixels 2m and 2m + 1 from m and m + 1.
Span behind_convolution(Span full) {
  const Span half = Span{round_down(full.first, 2) / 2, round_down(full.last, 2) / 2}.wider(1);
  return {2 * (half.first - 1), 2 * half.last + 1};
}
Reach branched(int64_t at, bool winograd) {
  const Reach full = convolved(at, winograd);
  return {behind_convolution(full.must), behind_convolution(full.may)};
}

// All channels of the pixels that must be reached are NaN; what cannot be reached has `before`'s bits.
void expect_reached(const std::string& where, const Floats& before, const Floats& after, int64_t width,
                    int64_t channels, Reach rows, Reach columns) {
  bool reached = true, others = true;
  for (int64_t pixel = 0; pixel < static_cast<int64_t>(after.size()) / channels; ++pixel) {
    const int64_t y = pixel / width, x = pixel % width;
    const float* const values = after.data() + pixel * channels;
    if (rows.must.holds(y) && columns.must.holds(x))
      reached = reached && std::all_of(values, values + channels, is_nan);
    if (!rows.may.holds(y) || !columns.may.holds(x))
      others = others && same(values, before.data() + pixel * channels, channels);
  }
  expect(reached, where + ": NaN lost");
  expect(others, where + ": NaN where it does not reach");
}

constexpr int64_t kHeight = 17, kWidth = 23, kY = 8, kX = 10;

// Pixel (8, 10) of image `image`, channel 3.
Floats with_nan(const float* features, int64_t count, int64_t channels, int64_t image = 0) {
  Floats changed(features, features + count);
  changed[static_cast<size_t>(((image * kHeight + kY) * kWidth + kX) * channels + 3)] = kNaN;
  return changed;
}

template <class Problem>
Floats run_dense(const Problem& problem, const float* features, const Kernels& kernels, const Mode& mode,
                 float* Problem::Params::* result) {
  typename Problem::Params params = problem.params(nullptr, mode);
  Floats output(problem.outputs(), 0.0f);
  if (features != nullptr) params.features = features;
  params.*result = output.data();
  const size_t bytes = Problem::bytes(params);
  Floats memory(bytes / sizeof(float) + 1, kNaN);
  expect(Problem::run(params, kernels, Pool(1).parallel(), memory.data(), bytes) == Status::kOk,
         "NaN: status");
  return output;
}

void check_convolution(const std::string& where, int taps, const Kernels& kernels, const Mode& mode) {
  const DenseShape shape{1, kHeight, kWidth, 16, 32, taps};
  const ConvolutionProblem problem(shape, true, false);
  if (!problem.has(mode)) return;
  const Floats features =
      with_nan(problem.params(nullptr, mode).features, kHeight * kWidth * shape.inputs, shape.inputs);
  const Floats before = run_dense(problem, nullptr, kernels, mode, &DenseParams::output);
  const Floats after = run_dense(problem, features.data(), kernels, mode, &DenseParams::output);
  const bool tiles = mode.winograd || mode.reduced != nullptr;
  const auto reach = [&](int64_t at) { return taps == 1 ? Reach{{at, at}, {at, at}} : convolved(at, tiles); };
  expect_reached(where + " convolution of " + std::to_string(taps) + " taps", before, after, kWidth,
                 shape.outputs, reach(kY), reach(kX));
}

void check_branch(const std::string& where, const Kernels& kernels, const Mode& mode) {
  const BranchProblem problem(1, kHeight, kWidth, 64);
  if (!problem.has(mode)) return;
  const Floats features = with_nan(problem.params(nullptr, mode).features, kHeight * kWidth * 64, 64);
  const Floats before = run_dense(problem, nullptr, kernels, mode, &BranchParams::margin);
  const Floats after = run_dense(problem, features.data(), kernels, mode, &BranchParams::margin);
  const bool tiles = mode.winograd || mode.reduced != nullptr;
  expect_reached(where + " mask branch", before, after, kWidth, 1, branched(kY, tiles), branched(kX, tiles));
}

Floats run_module(const Problem& problem, const float* features, const Kernels& kernels, const Mode& mode) {
  Params params = problem.params(nullptr, mode);
  Floats output(problem.outputs(), 0.0f);
  if (features != nullptr) params.features = features;
  params.output = output.data();
  std::vector<char> memory(workspace_bytes(params.shape));
  expect(sparse_mask_module(params, kernels, Pool(1).parallel(), memory.data(), memory.size()) == Status::kOk,
         "NaN: status");
  return output;
}

// The mean over the image carries it to every pixel of its image, through the squeeze's ReLU; another image
// of the batch keeps its bits.
void check_module(const std::string& where, const char* mask, const Kernels& kernels, const Mode& mode) {
  const Problem problem({{2, kHeight, kWidth, 32, 2}, {20, 5}, mask, 0, 0.0f, false});
  const auto half = static_cast<int64_t>(problem.outputs()) / 2;
  const Floats features = with_nan(problem.features().data(), 2 * half, 32, 1);
  const Floats before = run_module(problem, nullptr, kernels, mode);
  const Floats after = run_module(problem, features.data(), kernels, mode);
  expect(same(before.data(), after.data(), half), where + " module, mask " + mask + ": other image changed");
  expect(std::all_of(after.begin() + half, after.end(), is_nan),
         where + " module, mask " + mask + ": NaN lost");
}

}  // namespace

void check_not_numbers() {
  const Kernels* variants[kMaxVariants];
  const size_t count = supported_variants(variants);
  for (size_t i = 0; i < count; ++i)
    for (const Mode& mode : modes(*variants[i])) {
      const std::string where = std::string("NaN ") + variants[i]->name + mode.name();
      check_convolution(where, 9, *variants[i], mode);
      check_convolution(where, 1, *variants[i], mode);
      check_branch(where, *variants[i], mode);
      for (const char* mask : {"on", "off"}) check_module(where, mask, *variants[i], mode);
    }
}

}  // namespace smsr::testing
