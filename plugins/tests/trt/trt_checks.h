// The checks that the drivers of both plugin interfaces run, in terms of what a plugin answers.
#pragma once

#include "trt_tensors.h"

namespace smsr::testing {

// A combination that the plugin supports: the type of all tensors, the format of features and output.
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

// Tries every (type, format) for each tensor in turn, as the builder does. supports(position, type, format)
// is the plugin's answer given the earlier tensors' choices. Returns the number of combinations it supports.
template <class Supports>
int count_combinations(const Supports& supports, int position = 0) {
  if (position > op::kInputs) return 1;
  int count = 0;
  for (const auto type : kTypes)
    for (const auto format : kFormats)
      if (supports(position, type, format)) count += count_combinations(supports, position + 1);
  return count;
}

inline nvinfer1::PluginTensorDesc& static_desc(nvinfer1::PluginTensorDesc& desc) { return desc; }
inline nvinfer1::PluginTensorDesc& static_desc(nvinfer1::DynamicPluginTensorDesc& desc) { return desc.desc; }

// linear: descriptions of linear tensors; chosen: those of this way. supports(position, descriptions) is the
// plugin's answer.
template <class Descs, class Supports>
void check_formats(Descs linear, const Descs& chosen, const Way& way, const Supports& supports) {
  const int expected = way.type == nvinfer1::DataType::kHALF ? 2 : 1;
  const auto tries = [&](int position, nvinfer1::DataType type, nvinfer1::TensorFormat format) {
    nvinfer1::PluginTensorDesc& desc = static_desc(linear[static_cast<size_t>(position)]);
    desc.type = type;
    desc.format = format;
    return supports(position, linear.data());
  };
  expect(count_combinations(tries) == expected,
         std::string(way.compute) + ": number of combinations of formats");
  for (int i = 0; i <= op::kInputs; ++i) expect(supports(i, chosen.data()), "its own format is supported");
}

// The names of a plugin or a creator.
inline void check_names(const char* name, const char* version, const char* name_space, const char* what) {
  expect(same(name, "SparseMaskModule") && same(version, "1") && same(name_space, "smsr"), what);
}

// The largest node of the profile that the drivers configure.
inline Node largest_node() {
  Node largest = unlike_node();
  largest.n = 3, largest.h = 31, largest.w = 17;
  return largest;
}

// workspace(node): the bytes that the plugin asks for. Returns those of largest_node().
template <class WorkspaceOf>
size_t check_workspace(const Way& way, const WorkspaceOf& workspace) {
  const size_t bytes = workspace(largest_node());
  const cuda::Shape& asked = recorded().asked;
  Node huge = largest_node();
  expect(bytes > 0 && asked.batch == huge.n && asked.height == huge.h && asked.width == huge.w &&
             asked.type == way.cuda_type && asked.layout == way.layout,
         "workspace of the profile's largest shape");
  huge.h = huge.w = 1 << 15;
  // 0 would mean "none needed"; no GPU has so much memory.
  refused([&] { return workspace(huge) >= size_t{1} << 40; }, "less than 2^31 elements",
          "workspace of a profile too large");
  return bytes;
}

inline cudaStream_t some_stream() { return reinterpret_cast<cudaStream_t>(0x1234); }

// enqueue(descriptions, inputs, outputs, workspace) queues the layer on some_stream(); not 0: it failed.
template <class Enqueue>
void check_launch(const Node& node, const Way& way, size_t workspace, const Enqueue& enqueue) {
  const auto descs = descs_of(node, way.type, way.format);
  const Buffers buffers(node, way.bytes, workspace);
  void* const outputs[] = {buffers.output()};
  const auto run = [&] { return enqueue(descs.data(), buffers.inputs(), outputs, buffers.workspace()); };
  expect(run() == 0, "enqueue");
  expect_launch(node, buffers, way.cuda_type, way.layout, some_stream(), way.compute);
  recorded().next = Status::kBadDevice;
  refused([&] { return run() != 0; }, std::string("kernel: expected ok, got ") + describe(Status::kBadDevice),
          "a failing kernel");
  recorded().next = Status::kOk;
}

// refuses(descriptions) of a node whose margin has another width.
template <class Refuses>
void check_wrong_margin(const Node& node, const Way& way, const Refuses& refuses) {
  auto descs = descs_of(node, way.type, way.format);
  descs[op::kMargin].dims.d[3] += 1;
  refused([&] { return refuses(descs.data()); }, "shape of margin", "a margin of another width");
}

// The ONNX parser drops attributes that are not announced.
inline void check_announced(const nvinfer1::PluginFieldCollection& collection) {
  std::set<std::string> names;
  for (int32_t i = 0; i < collection.nbFields; ++i) names.insert(collection.fields[i].name);
  expect(names == std::set<std::string>{"dense_channels", "layout", "compute"}, "creator's fields");
}

// creates(fields): whether the creator makes a plugin of them.
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

// shape_of(inputs, count, expressions, output): whether the plugin gave an output shape.
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
