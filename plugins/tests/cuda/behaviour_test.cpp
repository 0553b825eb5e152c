// What no single call of the contract's cases shows: a second call in the same memory, a NaN in the features,
// a margin equal to theta, and the sums of units that channel attention adds up.
#include "behaviour_test.h"

#include <cmath>
#include <cstring>

#include "cuda/attention.cuh"
#include "cuda/launch.h"
#include "cuda/module.h"
#include "emulated_buffer.h"
#include "expect.h"
#include "machine.h"

namespace smsr::testing {
namespace {

struct Choice {
  cuda::Kernels kernels;
  cuda::Type type;
  const char* name;
};
constexpr Choice kChoices[] = {{cuda::Kernels::kFloat, cuda::Type::kFloat32, "float32"},
                               {cuda::Kernels::kTensorCore, cuda::Type::kFloat16, "float16"},
                               {cuda::Kernels::kVolta, cuda::Type::kFloat16, "float16, sm_72"},
                               {cuda::Kernels::kStaged, cuda::Type::kFloat16, "float16, staged"}};

// The output of one call, in memory that holds other numbers before. The workspace stays as the call before
// left it.
Bytes call(const Choice& choice, EmulatedCase* tensors) {
  emulated::gpu = {};
  std::memset(tensors->output.data(), 0x11, tensors->output.bytes().size());
  const cuda::Device device = {emulated::gpu.processors, emulated::gpu.shared_memory};
  const Status status =
      cuda::launch_module(choice.kernels, device, tensors->params, tensors->workspace.data(),
                          cuda::workspace_bytes(tensors->params.shape), nullptr);
  expect(status == Status::kOk, std::string(choice.name) + ": " + cuda::describe(status));
  return tensors->output.bytes();
}

void set_number(Buffer* buffer, cuda::Type type, int64_t at, float value) {
  const uint16_t half = to_half(value);
  char* const data = static_cast<char*>(buffer->data());
  type == cuda::Type::kFloat16 ? std::memcpy(data + 2 * at, &half, 2) : std::memcpy(data + 4 * at, &value, 4);
}

bool is_nan(const Bytes& bytes, cuda::Type type, size_t at) {
  uint16_t half;
  float value;
  std::memcpy(&half, &bytes[2 * at], 2);
  if (type == cuda::Type::kFloat16) return std::isnan(from_half(half));
  std::memcpy(&value, &bytes[4 * at], 4);
  return std::isnan(value);
}

const Spec kSpec = {{2, 21, 40, 32, 2}, {6, 3}, "clustered", 0, 0.0f, false};
constexpr int64_t kImage = 21 * 40 * 32;

void check_second_call(const Choice& choice) {
  const ModuleCase module_case(kSpec, choice.type);
  EmulatedCase tensors(module_case, cuda::Layout::kNhwc);
  const Bytes first = call(choice, &tensors);
  for (const char* which : {"second", "third"})
    expect(call(choice, &tensors) == first, std::string(choice.name) + ": the " + which + " call differs");
}

// The mean over the image carries it to all of its image, through the ReLU of the convolutions and the
// squeeze; the other image keeps its bits.
void check_nan(const Choice& choice, const char* mask) {
  Spec spec = kSpec;
  spec.mask = mask;
  const ModuleCase module_case(spec, choice.type);
  EmulatedCase tensors(module_case, cuda::Layout::kNhwc);
  const Bytes before = call(choice, &tensors);
  set_number(tensors.inputs[op::kFeatures].get(), choice.type, kImage + (8 * 40 + 11) * 32 + 3,
             std::numeric_limits<float>::quiet_NaN());
  const Bytes after = call(choice, &tensors);
  const std::string where = std::string(choice.name) + ", mask " + mask;
  const size_t half = before.size() / 2;
  expect(std::equal(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(half), after.begin()),
         where + ": a NaN reaches the other image");
  bool all = true;
  for (size_t i = static_cast<size_t>(kImage); i < 2 * static_cast<size_t>(kImage); ++i)
    all = all && is_nan(after, choice.type, i);
  expect(all, where + ": NaN lost");
}

// Margins equal to theta are those of inactive pixels: the bits of a mask that is off.
void check_equal_margin(const Choice& choice) {
  Spec spec = kSpec;
  spec.mask = "off";
  spec.theta = 1.25f;
  const ModuleCase module_case(spec, choice.type);
  EmulatedCase tensors(module_case, cuda::Layout::kNhwc);
  const Bytes off = call(choice, &tensors);
  for (int64_t i = 0; i < 2 * 21 * 40; ++i)
    set_number(tensors.inputs[op::kMargin].get(), choice.type, i, 1.25f);
  expect(call(choice, &tensors) == off, std::string(choice.name) + ": a margin equal to theta is active");
}

// Sums of whole numbers are exact, so the order of additions does not matter. Every lane of every segment has
// rows: row r of channel c of layer l is 1 + (7 r + 5 c + 3 l) % 11.
int value_of(int64_t row, int channel, int layer) {
  return static_cast<int>(1 + (7 * row + 5 * channel + 3 * layer) % 11);
}

void check_unit_sums(int channels) {
  constexpr int kLayers = 2, kImages = 2;
  const int lanes = cuda::kReduceThreads / (channels / cuda::kQuad);
  const int active[] = {0, cuda::kSegments * lanes * 2 + 5, cuda::kSegments * lanes * 3 + 9};
  const int inactive[] = {0, cuda::kSegments * lanes + 3, cuda::kSegments * lanes * 2 + 4};
  const int dense[kLayers] = {channels, 3}, units = active[kImages] + inactive[kImages];
  std::vector<float> unit_sums(static_cast<size_t>(kLayers * units * channels));
  for (int layer = 0; layer < kLayers; ++layer)
    for (int row = 0; row < units; ++row)
      for (int channel = 0; channel < channels; ++channel)
        unit_sums[static_cast<size_t>((layer * units + row) * channels + channel)] =
            row >= active[kImages] && channel >= dense[layer]
                ? std::numeric_limits<float>::quiet_NaN()
                : static_cast<float>(value_of(row, channel, layer));
  std::vector<float> segments(static_cast<size_t>(kImages * kLayers * cuda::kSegments * channels), -1.0f);
  emulated::gpu = {};
  const cuda::DenseChannels packed =
      static_cast<cuda::DenseChannels>(dense[0]) | static_cast<cuda::DenseChannels>(dense[1]) << 8;
  cuda::launch(cuda::reduce_units, cuda::kSegments * kLayers * kImages, 1, cuda::kReduceThreads,
               cuda::kReduceShared, nullptr,
               cuda::ReduceParams{unit_sums.data(), segments.data(), active, inactive, units, kImages,
                                  kLayers, channels, packed});
  for (int image = 0; image < kImages; ++image)
    for (int layer = 0; layer < kLayers; ++layer)
      for (int channel = 0; channel < channels; ++channel) {
        int64_t expected = 0;
        for (int row = active[image]; row < active[image + 1]; ++row)
          expected += value_of(row, channel, layer);
        if (channel < dense[layer])
          for (int row = inactive[image]; row < inactive[image + 1]; ++row)
            expected += value_of(active[kImages] + row, channel, layer);
        double got = 0.0;
        for (int segment = 0; segment < cuda::kSegments; ++segment)
          got += static_cast<double>(segments[static_cast<size_t>(
              ((image * kLayers + layer) * cuda::kSegments + segment) * channels + channel)]);
        if (got != static_cast<double>(expected))
          expect(false, "sums of units, image " + std::to_string(image) + ", layer " + std::to_string(layer) +
                            ", channel " + std::to_string(channel) + " of " + std::to_string(channels) +
                            ": expected " + std::to_string(expected) + ", got " + std::to_string(got));
      }
  expect(true, "sums of units");
}

}  // namespace

void check_behaviour() {
  for (const int channels : {16, 64, 80, 128}) check_unit_sums(channels);
  for (const Choice& choice : kChoices) {
    check_second_call(choice);
    check_nan(choice, "on");
    check_nan(choice, "off");
    check_equal_margin(choice);
  }
  emulated::gpu = {};
}

}  // namespace smsr::testing
