// A node as TensorRT presents it to a plugin: tensor descriptions, symbolic dimensions, fields of attributes.
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

// N, H, W are unknown while the engine is built; the profile is from one pixel to `largest`.
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

// A known dimension, or an unknown one (-1), whose value has no meaning.
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

// Counts its calls: this plugin's shape rule copies dimensions and needs no expression.
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

// A node's attributes as the ONNX parser passes them; each may be changed before use.
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

}  // namespace smsr::testing
