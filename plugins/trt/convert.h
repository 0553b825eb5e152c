// Shared by both adapters: TensorRT's structures converted to module_core.h's, and the creators' names.
#pragma once

#include <NvInferRuntime.h>

#include <array>
#include <type_traits>
#include <vector>

#include "branch_core.h"
#include "module_core.h"

namespace smsr::trt {

inline Field to_field(const nvinfer1::PluginField& field) {
  FieldType type = FieldType::kOther;
  if (field.type == nvinfer1::PluginFieldType::kINT32) type = FieldType::kInt32;
  if (field.type == nvinfer1::PluginFieldType::kCHAR) type = FieldType::kChar;
#if NV_TENSORRT_MAJOR >= 10
  if (field.type == nvinfer1::PluginFieldType::kINT64) type = FieldType::kInt64;
#endif
  return {field.name != nullptr ? field.name : "", field.data, type, field.length};
}

// Node: Module or Branch.
template <class Node>
Node to_node(const char* name, const nvinfer1::PluginFieldCollection* collection) {
  std::vector<Field> fields;
  if (collection != nullptr && collection->fields != nullptr)
    for (int32_t i = 0; i < collection->nbFields; ++i) fields.push_back(to_field(collection->fields[i]));
  return Node::from_fields(name, fields.data(), static_cast<int>(fields.size()));
}

inline ElementType to_type(nvinfer1::DataType type) {
  if (type == nvinfer1::DataType::kFLOAT) return ElementType::kFloat32;
  return type == nvinfer1::DataType::kHALF ? ElementType::kFloat16 : ElementType::kOther;
}

inline Format to_format(nvinfer1::TensorFormat format) {
  if (format == nvinfer1::TensorFormat::kLINEAR) return Format::kLinear;
  return format == nvinfer1::TensorFormat::kHWC8 ? Format::kHwc8 : Format::kOther;
}

inline Dimensions to_dimensions(const nvinfer1::Dims& dims) {
  Dimensions made;
  made.rank = dims.nbDims;
  for (int i = 0; i < dims.nbDims && i < kMaxRank; ++i) made.size[static_cast<size_t>(i)] = dims.d[i];
  return made;
}

// A dynamic dimension becomes kUnknown.
inline Dimensions to_dimensions(const nvinfer1::DimsExprs& dims) {
  Dimensions made;
  made.rank = dims.nbDims;
  for (int i = 0; i < dims.nbDims && i < kMaxRank; ++i) {
    const nvinfer1::IDimensionExpr* size = dims.d[i];
    made.size[static_cast<size_t>(i)] = size->isConstant() ? size->getConstantValue() : kUnknown;
  }
  return made;
}

inline Tensor to_tensor(const nvinfer1::PluginTensorDesc& desc) {
  return {to_dimensions(desc.dims), to_type(desc.type), to_format(desc.format)};
}

// The profile's largest tensor.
inline Tensor largest(const nvinfer1::DynamicPluginTensorDesc& desc) {
  return {to_dimensions(desc.max), to_type(desc.desc.type), to_format(desc.desc.format)};
}

// dims_of(i): Dimensions of input i.
template <class Node, class DimsOf>
std::array<Dimensions, Node::kInputs> input_shapes(const DimsOf& dims_of) {
  std::array<Dimensions, Node::kInputs> shapes;
  for (int i = 0; i < Node::kInputs; ++i) shapes[static_cast<size_t>(i)] = dims_of(i);
  return shapes;
}

// Of the node's only output.
template <class Node>
nvinfer1::DimsExprs output_shape(const nvinfer1::DimsExprs& features, nvinfer1::IExprBuilder& expressions) {
  nvinfer1::DimsExprs shape = features;
  if (Node::kOutputChannels != 0) shape.d[1] = expressions.constant(Node::kOutputChannels);
  return shape;
}

// What the creators of all versions announce: the operator's name and its attributes. TensorRT's ONNX parser
// passes on the announced attributes and drops all others.
template <class Interface, class Node>
class AnnouncingCreator : public Interface {
 public:
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return &collection_; }
  const char* getPluginName() const noexcept override { return Node::kName; }
  const char* getPluginVersion() const noexcept override { return contract::kOperatorVersionText; }
  const char* getPluginNamespace() const noexcept override { return contract::kDomain; }

 private:
  using Type = nvinfer1::PluginFieldType;
  static constexpr int32_t kFields =
      std::is_same_v<Node, Module> ? 3 : 2;  // only modules have dense channels
  const std::array<nvinfer1::PluginField, 3> fields_{
      nvinfer1::PluginField(op::kLayoutAttribute, nullptr, Type::kCHAR, 1),
      nvinfer1::PluginField(op::kComputeAttribute, nullptr, Type::kCHAR, 1),
      nvinfer1::PluginField(op::kDenseChannelsAttribute, nullptr, Type::kINT32, 1)};
  const nvinfer1::PluginFieldCollection collection_{kFields, fields_.data()};
};

// The library's only creator of this class.
template <class Creator>
Creator* creator() {
  static Creator made;
  return &made;
}

}  // namespace smsr::trt
