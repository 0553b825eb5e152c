// A node as TensorRT shows it to a plugin: descriptions of tensors, symbolic dimensions, attributes' fields.
#pragma once

#include <NvInferRuntime.h>

#include <deque>
#include <set>

#include "boundary.h"

namespace smsr::testing {

// The numbers of Dims: int32_t in TensorRT 8, int64_t since 10.
using Size = std::remove_reference_t<decltype(nvinfer1::Dims{}.d[0])>;

inline nvinfer1::Dims dims_of(const Node& node, int tensor) {
  const Sizes sizes = sizes_of(node, tensor);
  nvinfer1::Dims dims{};
  dims.nbDims = static_cast<int32_t>(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) dims.d[i] = static_cast<Size>(sizes[i]);
  return dims;
}

// Features and output in `format`, all else linear.
inline nvinfer1::PluginTensorDesc desc_of(const Node& node, int tensor, nvinfer1::DataType type,
                                          nvinfer1::TensorFormat format) {
  nvinfer1::PluginTensorDesc desc{};
  desc.dims = dims_of(node, tensor);
  desc.type = type;
  desc.format = tensor == op::kFeatures || tensor == op::kInputs ? format : nvinfer1::TensorFormat::kLINEAR;
  desc.scale = 1.0F;
  return desc;
}

inline std::vector<nvinfer1::PluginTensorDesc> descs_of(const Node& node, nvinfer1::DataType type,
                                                        nvinfer1::TensorFormat format) {
  std::vector<nvinfer1::PluginTensorDesc> descs;
  for (int i = 0; i <= op::kInputs; ++i) descs.push_back(desc_of(node, i, type, format));
  return descs;
}

// N, H, W unknown while the engine is built; the profile reaches from one pixel to `largest`.
inline std::vector<nvinfer1::DynamicPluginTensorDesc> dynamic_descs_of(const Node& largest,
                                                                       nvinfer1::DataType type,
                                                                       nvinfer1::TensorFormat format) {
  Node unknown = largest, smallest = largest;
  unknown.n = unknown.h = unknown.w = -1;
  smallest.n = smallest.h = smallest.w = 1;
  std::vector<nvinfer1::DynamicPluginTensorDesc> descs;
  for (int i = 0; i <= op::kInputs; ++i) {
    nvinfer1::DynamicPluginTensorDesc desc{};
    desc.desc = desc_of(unknown, i, type, format);
    desc.min = dims_of(smallest, i);
    desc.max = dims_of(largest, i);
    descs.push_back(desc);
  }
  return descs;
}

// A dimension that is a number, or unknown (-1): then its value means nothing.
class FakeDimension final : public nvinfer1::IDimensionExpr {
 public:
  explicit FakeDimension(int64_t size) : impl_(size) { mImpl = &impl_; }

 private:
  struct Impl final : nvinfer1::apiv::VDimensionExpr {
    explicit Impl(int64_t value) : size(value) {}
    bool isConstant() const noexcept override { return size >= 0; }
    Size getConstantValue() const noexcept override { return static_cast<Size>(size >= 0 ? size : 12345); }
#if NV_TENSORRT_MAJOR >= 10
    bool isSizeTensor() const noexcept override { return false; }
#endif
    int64_t size;
  };
  Impl impl_;
};

// Counts what is asked of it: this plugin's shape rule copies dimensions and needs no expression.
class FakeExpressions final : public nvinfer1::IExprBuilder {
 public:
  FakeExpressions() { mImpl = &impl_; }
  int asked() const { return impl_.asked; }

 private:
  struct Impl final : nvinfer1::apiv::VExprBuilder {
    const nvinfer1::IDimensionExpr* constant(Size) noexcept override { return ++asked, nullptr; }
    const nvinfer1::IDimensionExpr* operation(nvinfer1::DimensionOperation, const nvinfer1::IDimensionExpr&,
                                              const nvinfer1::IDimensionExpr&) noexcept override {
      return ++asked, nullptr;
    }
#if NV_TENSORRT_MAJOR >= 10
    const nvinfer1::IDimensionExpr* declareSizeTensor(int32_t, const nvinfer1::IDimensionExpr&,
                                                      const nvinfer1::IDimensionExpr&) noexcept override {
      return ++asked, nullptr;
    }
#endif
    int asked = 0;
  };
  Impl impl_;
};

// Symbolic shapes of a node's inputs.
class FakeShapes {
 public:
  explicit FakeShapes(const Node& node) {
    for (int i = 0; i < op::kInputs; ++i) {
      nvinfer1::DimsExprs shape{};
      for (const int64_t size : sizes_of(node, i)) {
        dimensions_.emplace_back(size);
        shape.d[shape.nbDims++] = &dimensions_.back();
      }
      shapes_.push_back(shape);
    }
  }
  const nvinfer1::DimsExprs* data() const { return shapes_.data(); }

 private:
  std::deque<FakeDimension> dimensions_;
  std::vector<nvinfer1::DimsExprs> shapes_;
};

inline bool same_dimensions(const nvinfer1::DimsExprs& left, const nvinfer1::DimsExprs& right) {
  if (left.nbDims != right.nbDims) return false;
  for (int i = 0; i < left.nbDims; ++i)
    if (left.d[i] != right.d[i]) return false;
  return true;
}

// A node's attributes as the ONNX parser hands them over; each may be changed before use.
struct NodeFields {
  explicit NodeFields(const Node& node, const char* type) : counts(node.dense_channels), compute(type) {}
  // `without`: an attribute the node lacks.
  const nvinfer1::PluginFieldCollection* collection(const std::string& without = "") {
    using nvinfer1::PluginFieldType;
    list.clear();
    const auto add = [&](const char* name, const void* data, PluginFieldType type, size_t length) {
      if (without != name) list.emplace_back(name, data, type, static_cast<int32_t>(length));
    };
    add(op::kDenseChannelsAttribute, counts.data(), counts_type, counts.size());
    add(op::kLayoutAttribute, layout.data(), PluginFieldType::kCHAR, layout.size());
    add(op::kComputeAttribute, compute.data(), PluginFieldType::kCHAR, compute.size());
    fields.nbFields = static_cast<int32_t>(list.size());
    fields.fields = list.data();
    return &fields;
  }
  std::vector<int32_t> counts;
  nvinfer1::PluginFieldType counts_type = nvinfer1::PluginFieldType::kINT32;
  std::string layout = "NCHW", compute;
  std::vector<nvinfer1::PluginField> list;
  nvinfer1::PluginFieldCollection fields{};
};

// A way to run the plugin: the type of all tensors, the format of features and output.
struct Way {
  const char* compute;
  nvinfer1::DataType type;
  nvinfer1::TensorFormat format;
  cuda::Type cuda_type;
  cuda::Layout layout;
  size_t bytes;
};
inline constexpr Way kWays[] = {
    {"float32", nvinfer1::DataType::kFLOAT, nvinfer1::TensorFormat::kLINEAR, cuda::Type::kFloat32,
     cuda::Layout::kNchw, 4},
    {"float16", nvinfer1::DataType::kHALF, nvinfer1::TensorFormat::kLINEAR, cuda::Type::kFloat16,
     cuda::Layout::kNchw, 2},
    {"float16", nvinfer1::DataType::kHALF, nvinfer1::TensorFormat::kHWC8, cuda::Type::kFloat16,
     cuda::Layout::kNhwc, 2},
};
inline constexpr nvinfer1::DataType kTypes[] = {nvinfer1::DataType::kFLOAT, nvinfer1::DataType::kHALF,
                                                nvinfer1::DataType::kINT8, nvinfer1::DataType::kINT32};
inline constexpr nvinfer1::TensorFormat kFormats[] = {
    nvinfer1::TensorFormat::kLINEAR, nvinfer1::TensorFormat::kCHW2,  nvinfer1::TensorFormat::kHWC8,
    nvinfer1::TensorFormat::kCHW4,   nvinfer1::TensorFormat::kCHW16, nvinfer1::TensorFormat::kCHW32,
    nvinfer1::TensorFormat::kHWC};

// Offers every (type, format) for each tensor in turn, as the builder does; `supports(position, type,
// format)` is the plugin's answer given what was chosen before. Returns the whole combinations it takes.
template <class Supports>
int count_combinations(const Supports& supports, int position = 0) {
  if (position > op::kInputs) return 1;
  int count = 0;
  for (const auto type : kTypes)
    for (const auto format : kFormats)
      if (supports(position, type, format)) count += count_combinations(supports, position + 1);
  return count;
}

// `supports` as above, on descriptions of linear tensors.
template <class Supports>
void check_combinations(const Supports& supports, const Way& way) {
  const int expected = way.type == nvinfer1::DataType::kHALF ? 2 : 1;
  expect(count_combinations(supports) == expected,
         std::string(way.compute) + ": number of combinations of formats");
}

// The profile that the drivers configure reaches to this.
inline Node largest_node() {
  Node largest = unlike_node();
  largest.n = 3, largest.h = 31, largest.w = 17;
  return largest;
}

// `bytes` of workspace are what the plugin just said for largest_node(); `too_large(node)` is what it says
// for one of too many elements.
template <class TooLarge>
void check_workspace(size_t bytes, const Way& way, const TooLarge& too_large) {
  const cuda::Shape& asked = recorded().asked;
  Node huge = largest_node();
  expect(bytes > 0 && asked.batch == huge.n && asked.height == huge.h && asked.width == huge.w &&
             asked.type == way.cuda_type && asked.layout == way.layout,
         "workspace of the profile's largest shape");
  huge.h = huge.w = 1 << 15;
  // TensorRT takes 0 for "none needed"; so much memory no GPU has.
  refused([&] { return too_large(huge) >= size_t{1} << 40; }, "less than 2^31 elements",
          "workspace of a profile too large");
}

// `run()` queues the layer, and fails where the kernels do.
template <class Run>
void check_kernel_failure(const Run& run) {
  recorded().next = Status::kBadDevice;
  refused([&] { return run() != 0; }, std::string("kernel: expected ok, got ") + describe(Status::kBadDevice),
          "a failing kernel");
  recorded().next = Status::kOk;
}

// What the ONNX parser may pass on: it drops attributes that are not announced.
inline void check_announced(const nvinfer1::PluginFieldCollection& collection) {
  std::set<std::string> names;
  for (int32_t i = 0; i < collection.nbFields; ++i) names.insert(collection.fields[i].name);
  expect(names == std::set<std::string>{"dense_channels", "layout", "compute"}, "creator's fields");
}

// `creates(fields)`: whether the creator makes a plugin of them.
template <class Creates>
void check_bad_fields(const Creates& creates) {
  const auto refuse = [&](NodeFields fields, const std::string& part, const std::string& without = "") {
    refused([&] { return !creates(fields.collection(without)); }, part, "field: " + part);
  };
  const NodeFields good(unlike_node(), "float32");
  for (const char* name : {"dense_channels", "layout", "compute"})
    refuse(good, std::string("'body.0': attribute ") + name + ": expected a value, got none", name);
  NodeFields bad = good;
  bad.counts[1] = -1;
  refuse(bad, "expected counts within 0..C, got [24, -1, 3, 0, 7]");
  bad = good;
  bad.counts.assign(9, 0);
  refuse(bad, "expected 1..8 counts, one per layer, got 9");
  bad = good;
  bad.counts_type = nvinfer1::PluginFieldType::kFLOAT32;
  refuse(bad, "attribute dense_channels: expected a list of integers");
  bad = good;
  bad.compute = "bfloat16";
  refuse(bad, "attribute compute: expected float32 or float16 on GPUs, got 'bfloat16'");
  bad = good;
  bad.layout = "NHWC";
  refuse(bad, "attribute layout: expected NCHW, got 'NHWC'");
  refused([&] { return !creates(nullptr); }, "attribute dense_channels", "no fields at all");
}

// `shape_of(inputs, count, expressions, output)`: whether the plugin gave an output shape.
template <class ShapeOf>
void check_shape_rule(const ShapeOf& shape_of, const Node& node) {
  FakeExpressions expressions;
  const auto fails = [&](const Node& of) {
    const FakeShapes shapes(of);
    nvinfer1::DimsExprs output{};
    return !shape_of(shapes.data(), op::kInputs, expressions, &output) ||
           !same_dimensions(output, shapes.data()[op::kFeatures]);
  };
  expect(!fails(node), "output's shape, all known");
  Node dynamic = node;
  dynamic.n = dynamic.h = dynamic.w = -1;
  expect(!fails(dynamic), "output's shape, N H W unknown");
  expect(expressions.asked() == 0, "no expression made");
  Node other = node;
  other.dense_channels.push_back(0);  // conv_weights have one layer more
  refused([&] { return fails(other); }, "shape of conv_weights: expected (5, 9, 64, 64), got (6, 9, 64, 64)",
          "another number of layers");
  other = node;
  other.c = 72;
  refused([&] { return fails(other); }, "features' channels", "72 channels");
  other.c = 16;  // fewer than 24 dense ones
  refused([&] { return fails(other); }, "attribute dense_channels: expected counts within 0..16, got 24",
          "C + 1 dense channels");
  const FakeShapes shapes(node);
  nvinfer1::DimsExprs output{};
  refused([&] { return !shape_of(shapes.data(), 9, expressions, &output); }, "got 9 and 1", "9 inputs");
}

}  // namespace smsr::testing
