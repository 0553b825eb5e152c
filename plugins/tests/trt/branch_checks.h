// The mask branch as TensorRT presents it to its plugin, and the checks that the drivers of both interfaces
// run.
#pragma once

#include <memory>

#include "trt_tensors.h"

namespace smsr::testing {

namespace branch_op = contract::mask_branch;
using nvinfer1::DataType;
using nvinfer1::TensorFormat;

struct BranchNode {
  int64_t n = 2, c = 64, h = 5, w = 9, q = 16;
};

// Index kInputs is the output.
inline Sizes sizes_of(const BranchNode& node, int tensor) {
  switch (tensor) {
    case branch_op::kFullWeight:
      return {9, node.c, node.q};
    case branch_op::kHalfWeight:
      return {9, node.q, node.q};
    case branch_op::kFullBias:
    case branch_op::kHalfBias:
      return {node.q};
    case branch_op::kPhasesWeight:
      return {4, node.q, 4};
    case branch_op::kPhasesBias:
      return {4};
    case branch_op::kInputs:
      return {node.n, 1, node.h, node.w};
    default:
      return {node.n, node.c, node.h, node.w};
  }
}

inline nvinfer1::PluginTensorDesc branch_desc(const BranchNode& node, int tensor) {
  nvinfer1::PluginTensorDesc desc{};
  for (const int64_t size : sizes_of(node, tensor)) desc.dims.d[desc.dims.nbDims++] = static_cast<Size>(size);
  desc.type = DataType::kHALF;
  desc.format = tensor == branch_op::kFeatures ? TensorFormat::kHWC8 : TensorFormat::kLINEAR;
  desc.scale = 1.0F;
  return desc;
}

inline std::vector<nvinfer1::PluginTensorDesc> branch_descs(const BranchNode& node) {
  std::vector<nvinfer1::PluginTensorDesc> descs;
  for (int i = 0; i <= branch_op::kInputs; ++i) descs.push_back(branch_desc(node, i));
  return descs;
}

// The profile's smallest picture has one pixel, the largest is the node's.
inline std::vector<nvinfer1::DynamicPluginTensorDesc> dynamic_branch_descs(const BranchNode& largest) {
  BranchNode unknown = largest, smallest = largest;
  unknown.n = unknown.h = unknown.w = -1;
  smallest.n = smallest.h = smallest.w = 1;
  std::vector<nvinfer1::DynamicPluginTensorDesc> descs;
  for (int i = 0; i <= branch_op::kInputs; ++i) {
    nvinfer1::DynamicPluginTensorDesc desc{};
    desc.desc = branch_desc(unknown, i);
    desc.min = branch_desc(smallest, i).dims;
    desc.max = branch_desc(largest, i).dims;
    descs.push_back(desc);
  }
  return descs;
}

// Makes constants, and nothing else.
class ConstantExpressions final : public nvinfer1::IExprBuilder {
 public:
  ConstantExpressions() { mImpl = &impl_; }

 private:
  struct Impl final : nvinfer1::apiv::VExprBuilder {
    const nvinfer1::IDimensionExpr* constant(Size value) noexcept override {
      made.emplace_back(static_cast<int64_t>(value));
      return &made.back();
    }
    const nvinfer1::IDimensionExpr* operation(nvinfer1::DimensionOperation, const nvinfer1::IDimensionExpr&,
                                              const nvinfer1::IDimensionExpr&) noexcept override {
      return nullptr;
    }
#if NV_TENSORRT_MAJOR >= 10
    const nvinfer1::IDimensionExpr* declareSizeTensor(int32_t, const nvinfer1::IDimensionExpr&,
                                                      const nvinfer1::IDimensionExpr&) noexcept override {
      return nullptr;
    }
#endif
    std::deque<FakeDimension> made;
  };
  Impl impl_;
};

// shape_of(inputs, count, expressions, output): whether the plugin gave an output shape.
template <class ShapeOf>
void check_branch_shapes(const ShapeOf& shape_of) {
  ConstantExpressions expressions;
  const auto shape = [&](const BranchNode& node, nvinfer1::DimsExprs* output, int* wrong_input = nullptr) {
    std::deque<FakeDimension> dimensions;
    std::vector<nvinfer1::DimsExprs> shapes;
    for (int i = 0; i < branch_op::kInputs; ++i) {
      nvinfer1::DimsExprs made{};
      for (int64_t size : sizes_of(node, i)) {
        if (wrong_input != nullptr && *wrong_input == i) size += 1;
        dimensions.emplace_back(size);
        made.d[made.nbDims++] = &dimensions.back();
      }
      shapes.push_back(made);
    }
    const bool given = shape_of(shapes.data(), branch_op::kInputs, expressions, output);
    if (given)
      expect(output->nbDims == 4 && output->d[0] == shapes[0].d[0] && output->d[2] == shapes[0].d[2] &&
                 output->d[3] == shapes[0].d[3] && output->d[1]->isConstant() &&
                 output->d[1]->getConstantValue() == 1,
             "margin's shape is (N, 1, H, W)");
    return given;
  };
  nvinfer1::DimsExprs output{};
  expect(shape({}, &output), "shapes, all known");
  expect(shape({-1, 128, -1, -1, 32}, &output), "shapes, N H W unknown");
  for (int i = 1; i < branch_op::kInputs; ++i)
    expect_branch_line(printed([&] { expect(!shape({}, &output, &i), "a wrong shape is refused"); }),
                       std::string("shape of ") + branch_op::kInputNames[i]);
  for (const int64_t channels : {int64_t{-1}, int64_t{72}, int64_t{144}})
    expect_branch_line(
        printed([&] { expect(!shape({2, channels, 5, 9, 16}, &output), "wrong channels are refused"); }),
        "features' channels");
}

// supports(position, descriptions): tries every type and format for each tensor in turn; float16 with
// features in HWC8 is the only combination.
template <class Supports>
void check_branch_formats(const Supports& supports) {
  std::vector<nvinfer1::PluginTensorDesc> descs = branch_descs({});
  for (int i = 0; i <= branch_op::kInputs; ++i) {
    const nvinfer1::PluginTensorDesc right = descs[static_cast<size_t>(i)];
    for (const DataType type : {DataType::kFLOAT, DataType::kHALF, DataType::kINT8, DataType::kINT32})
      for (const TensorFormat format :
           {TensorFormat::kLINEAR, TensorFormat::kCHW2, TensorFormat::kHWC8, TensorFormat::kCHW4,
            TensorFormat::kCHW16, TensorFormat::kCHW32, TensorFormat::kHWC}) {
        descs[static_cast<size_t>(i)].type = type;
        descs[static_cast<size_t>(i)].format = format;
        expect(supports(i, descs.data()) == (type == right.type && format == right.format),
               "branch: format of tensor " + std::to_string(i));
      }
    descs[static_cast<size_t>(i)] = right;
  }
}

// enqueue(descriptions, inputs, outputs, workspace) queues the layer on `stream`; not 0: it failed.
// workspace: bytes that the plugin asked for, from an address that is no multiple of anything.
template <class Enqueue>
void check_branch_launch(const BranchNode& node, size_t workspace, cudaStream_t stream,
                         const Enqueue& enqueue) {
  std::vector<std::vector<unsigned char>> storage;
  std::vector<const void*> inputs;
  const auto memory = [&](size_t bytes, size_t offset) {
    storage.emplace_back(bytes + kCanaries + 512, kCanary);
    unsigned char* start = storage.back().data();
    return start + (256 - reinterpret_cast<uintptr_t>(start) % 256) % 256 + offset;
  };
  const auto bytes_of = [&](int tensor) {
    size_t bytes = 2;
    for (const int64_t size : sizes_of(node, tensor)) bytes *= static_cast<size_t>(size);
    return bytes;
  };
  for (int i = 0; i < branch_op::kInputs; ++i) inputs.push_back(memory(bytes_of(i), 0));
  unsigned char* margin = memory(bytes_of(branch_op::kInputs), 0);
  unsigned char* scratch = memory(workspace, 1);
  void* const outputs[] = {margin};
  const auto descs = branch_descs(node);
  const int before = recorded().branch_launches;
  expect(enqueue(descs.data(), inputs.data(), outputs, scratch) == 0, "branch: enqueue");
  const cuda::BranchParams& p = recorded().branch;
  expect(recorded().branch_launches == before + 1 && recorded().stream == stream, "branch: launched once");
  expect(p.shape.batch == node.n && p.shape.channels == node.c && p.shape.height == node.h &&
             p.shape.width == node.w && p.shape.squeezed == node.q,
         "branch: shape");
  expect(std::equal(inputs.begin(), inputs.end(), p.inputs) && p.margin == margin, "branch: pointers");
  const size_t written = bytes_of(branch_op::kInputs);
  expect(std::all_of(margin, margin + written, [](unsigned char b) { return b == 0x3B; }), "branch: margin");
  const auto alive = [](const unsigned char* at) {
    return std::all_of(at, at + kCanaries, [](unsigned char b) { return b == kCanary; });
  };
  expect(alive(margin + written) && alive(scratch + workspace), "branch: nothing written behind");
  recorded().next = Status::kBadDevice;
  expect_branch_line(printed([&] {
                       expect(enqueue(descs.data(), inputs.data(), outputs, scratch) != 0, "branch: failure");
                     }),
                     std::string("kernel: expected ok, got ") + describe(Status::kBadDevice));
  recorded().next = Status::kOk;
}

// A branch's attributes as the ONNX parser passes them.
struct BranchFields {
  std::string layout = "NCHW", compute = "float16";
  std::vector<nvinfer1::PluginField> list;
  nvinfer1::PluginFieldCollection fields{};
  const nvinfer1::PluginFieldCollection* collection(const std::string& extra = "") {
    using nvinfer1::PluginFieldType;
    list.clear();
    list.emplace_back("layout", layout.data(), PluginFieldType::kCHAR, static_cast<int32_t>(layout.size()));
    list.emplace_back("compute", compute.data(), PluginFieldType::kCHAR,
                      static_cast<int32_t>(compute.size()));
    if (!extra.empty()) list.emplace_back(extra.c_str(), nullptr, PluginFieldType::kINT32, 0);
    fields.nbFields = static_cast<int32_t>(list.size());
    fields.fields = list.data();
    return &fields;
  }
};

// creates(fields): whether the creator makes a plugin of them.
template <class Creates>
void check_branch_fields(const nvinfer1::PluginFieldCollection& announced, const Creates& creates) {
  std::set<std::string> names;
  for (int32_t i = 0; i < announced.nbFields; ++i) names.insert(announced.fields[i].name);
  expect(names == std::set<std::string>{"layout", "compute"}, "branch: announced fields");
  const auto refuse = [&](BranchFields fields, const std::string& part, const std::string& extra = "") {
    expect_branch_line(printed([&] { expect(!creates(fields.collection(extra)), "branch: " + part); }), part);
  };
  BranchFields bad;
  bad.compute = "float32";
  refuse(bad, "attribute compute: expected float16, got 'float32'");
  bad = {};
  bad.layout = "NHWC";
  refuse(bad, "attribute layout: expected NCHW, got 'NHWC'");
  refuse({}, "got 'dense_channels'", "dense_channels");
}

}  // namespace smsr::testing
