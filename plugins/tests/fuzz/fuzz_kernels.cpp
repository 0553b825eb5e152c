// Shapes, counts, strides and numbers from a fuzzer to the kernels' interfaces: what they refuse is refused
// without a crash, what they take is computed within memory of exactly the size that the interface names. Run
// by run.sh.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <vector>

#include "dense/dense_convolution.h"
#include "dense/mask_branch.h"
#include "isa/dispatch.h"
#include "module/sparse_mask_module.h"
#include "smsr_contract.h"

namespace {

using namespace smsr;

constexpr int64_t kMostNumbers = 1 << 15;  // of one tensor: small cases are fast ones

// The fuzzer's bytes, one after the other; zeros behind them.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  // Mostly small, sometimes anything.
  int64_t number() {
    const uint8_t first = byte();
    if (first < 0xf0) return first % 24;
    int64_t value = 0;
    for (int i = 0; i < 8; ++i) value = static_cast<int64_t>(static_cast<uint64_t>(value) << 8 | byte());
    return value >> (4 * (first & 0xf));
  }
  int64_t channels() { return byte() % 8 == 0 ? number() : 16 * (1 + byte() % 3); }
  float value() {
    static const float odd[] = {0.0f, -0.0f, 1e30f, -1e30f, 1e-40f, INFINITY, -INFINITY, NAN};
    const uint8_t one = byte();
    return one < 8 ? odd[one] : static_cast<float>(one - 128) / 64.0f;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

// Numbers in memory of exactly their size, so that the address sanitizer sees what is read or written past
// it. A product of sizes that are refused, or too large to be worth it, has no memory.
class Tensor {
 public:
  Tensor(Bytes* bytes, std::initializer_list<int64_t> sizes) {
    int64_t count = 1;
    for (const int64_t size : sizes)
      count =
          size < 0 || size > kMostNumbers || count * size > kMostNumbers ? kMostNumbers + 1 : count * size;
    fits_ = count <= kMostNumbers;
    if (!fits_) return;
    data_.reset(new float[static_cast<size_t>(count)]);
    for (int64_t i = 0; i < count; ++i) data_[static_cast<size_t>(i)] = bytes->value();
  }
  bool fits() const { return fits_; }
  float* data() const { return data_.get(); }

 private:
  std::unique_ptr<float[]> data_;
  bool fits_;
};

void run_tasks(void*, size_t tasks, void (*fn)(void*, size_t), void* argument) {
  for (size_t i = 0; i < tasks; ++i) fn(argument, i);
}
const Parallel kParallel{nullptr, run_tasks};

const Kernels& kernels_of(uint8_t choice) {
  static const Kernels* variants[kMaxVariants];
  static const size_t count = supported_variants(variants);
  return *variants[choice % count];
}

void require(bool fact) {
  if (!fact) std::abort();
}

// Calls with a shape that is refused must say so, whatever the pointers are.
template <class Call>
void call(size_t bytes, bool fits, const Call& run) {
  if (bytes == 0) {
    require(run(nullptr, 0) != Status::kOk);
    return;
  }
  if (!fits || bytes > size_t{1} << 24) return;
  const std::unique_ptr<char[]> memory(new char[bytes]);
  std::memset(memory.get(), 0xff, bytes);
  require(run(memory.get(), bytes - 1) != Status::kOk);  // too small by a byte
  run(memory.get(), bytes);
}

void convolution(Bytes* b) {
  const Kernels& kernels = kernels_of(b->byte());
  const DenseShape shape{
      b->number(),   b->number(),
      b->number(),   b->number(),
      b->channels(), static_cast<int>(b->byte() % 4 == 0 ? b->number() : b->byte() % 2 == 0 ? 9 : 1)};
  const bool winograd = b->byte() % 2 == 0, add = b->byte() % 2 == 0;
  const Tensor features(b, {shape.batch, shape.height, shape.width, shape.inputs});
  const Tensor weight(b, {shape.taps, shape.inputs, shape.outputs}), bias(b, {shape.outputs});
  const Tensor output(b, {shape.batch, shape.height, shape.width, shape.outputs});
  const Tensor addend(b, {shape.batch, shape.height, shape.width, shape.outputs});
  const bool fits = features.fits() && weight.fits() && bias.fits() && output.fits();
  std::vector<float> prepared;
  const bool good = dense_workspace_bytes(shape, false) > 0;
  if (fits && good && winograd) {
    prepared.resize(static_cast<size_t>(prepared_dense_weights(shape.inputs, shape.outputs, shape.taps)));
    if (!prepared.empty()) prepare_dense_weights(weight.data(), shape.inputs, shape.outputs, prepared.data());
  }
  const DenseParams params{
      shape,
      b->byte() % 2 == 0,
      features.data(),
      {weight.data(), prepared.empty() ? nullptr : prepared.data(), nullptr, bias.data()},
      add ? addend.data() : nullptr,
      output.data()};
  call(dense_workspace_bytes(shape, params.weights.winograd()), fits, [&](void* memory, size_t bytes) {
    return dense_convolution(params, kernels, kParallel, memory, bytes);
  });
}

void branch(Bytes* b) {
  const Kernels& kernels = kernels_of(b->byte());
  const BranchShape shape{b->number(), b->number(), b->number(), b->channels(), b->channels()};
  const int64_t q = shape.squeezed;
  const Tensor features(b, {shape.batch, shape.height, shape.width, shape.channels});
  const Tensor full(b, {9, shape.channels, q}), half(b, {9, q, q}), phases(b, {4, q, 4});
  const Tensor full_bias(b, {q}), half_bias(b, {q}), phases_bias(b, {4});
  const Tensor margin(b, {shape.batch, shape.height, shape.width});
  const BranchParams params{shape,
                            features.data(),
                            {full.data(), nullptr, nullptr, full_bias.data()},
                            half.data(),
                            half_bias.data(),
                            phases.data(),
                            phases_bias.data(),
                            margin.data()};
  const bool fits =
      features.fits() && full.fits() && half.fits() && phases.fits() && full_bias.fits() && margin.fits();
  call(branch_workspace_bytes(shape, false), fits,
       [&](void* memory, size_t bytes) { return mask_branch(params, kernels, kParallel, memory, bytes); });
}

void module(Bytes* b) {
  const Kernels& kernels = kernels_of(b->byte());
  constexpr int64_t kMost = 12;
  Shape shape{b->number(), b->number(), b->number(), b->channels(), b->number()};
  if (shape.layers < int64_t{1} << 32) shape.layers %= kMost;
  const int64_t c = shape.channels, l = shape.layers, r = c / contract::kChannelAttentionReduction;
  std::vector<int64_t> dense(static_cast<size_t>(l > 0 && l < kMost ? l : 1));
  for (int64_t& count : dense) count = b->number();
  const bool winograd = b->byte() % 2 == 0;
  Params p{};
  p.shape = shape;
  p.dense_channels = dense.data();
  p.theta = b->value();
  const Tensor features(b, {shape.batch, shape.height, shape.width, c});
  const Tensor margin(b, {shape.batch, shape.height, shape.width});
  const Tensor conv(b, {l, 9, c, c}), collect(b, {l, c, c}), collect_bias(b, {c});
  const Tensor squeeze(b, {c, r}), squeeze_bias(b, {r}), excite(b, {r, c}), excite_bias(b, {c});
  const Tensor output(b, {shape.batch, shape.height, shape.width, c});
  const bool fits = features.fits() && margin.fits() && conv.fits() && collect.fits() &&
                    collect_bias.fits() && squeeze.fits() && excite.fits() && output.fits();
  if (fits) {
    p.features_row_stride = p.output_row_stride = shape.width * c;
    p.features_image_stride = p.output_image_stride = shape.height * shape.width * c;
    p.margin_row_stride = shape.width;
    p.margin_image_stride = shape.height * shape.width;
  }
  p.features = features.data();
  p.margin = margin.data();
  p.conv_weights = conv.data();
  p.collect_weight = collect.data();
  p.collect_bias = collect_bias.data();
  p.squeeze_weight = squeeze.data();
  p.squeeze_bias = squeeze_bias.data();
  p.excite_weight = excite.data();
  p.excite_bias = excite_bias.data();
  p.output = output.data();
  std::vector<float> prepared;
  const size_t bytes = workspace_bytes(shape);
  if (fits && bytes > 0 && winograd) {
    prepared.resize(static_cast<size_t>(prepared_weights_size(l, c)));
    prepare_weights(conv.data(), l, c, prepared.data());
    p.prepared_weights = prepared.data();
  }
  call(bytes, fits,
       [&](void* memory, size_t size) { return sparse_mask_module(p, kernels, kParallel, memory, size); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes bytes(data, size);
  switch (bytes.byte() % 3) {
    case 0:
      convolution(&bytes);
      break;
    case 1:
      branch(&bytes);
      break;
    default:
      module(&bytes);
  }
  return 0;
}
