// TensorRT's structures as module_core.h's, for both adapters.
#pragma once

#include <NvInferRuntime.h>

#include <array>
#include <vector>

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

inline Module to_module(const char* name, const nvinfer1::PluginFieldCollection* collection) {
  std::vector<Field> fields;
  if (collection != nullptr && collection->fields != nullptr)
    for (int32_t i = 0; i < collection->nbFields; ++i) fields.push_back(to_field(collection->fields[i]));
  return Module::from_fields(name, fields.data(), static_cast<int>(fields.size()));
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

// Dynamic dimensions become kUnknown.
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

// The largest tensor of the profile.
inline Tensor largest(const nvinfer1::DynamicPluginTensorDesc& desc) {
  return {to_dimensions(desc.max), to_type(desc.desc.type), to_format(desc.desc.format)};
}

// `dims_of` gives the Dimensions of input i.
template <class DimsOf>
std::array<Dimensions, op::kInputs> input_shapes(const DimsOf& dims_of) {
  std::array<Dimensions, op::kInputs> shapes;
  for (int i = 0; i < op::kInputs; ++i) shapes[static_cast<size_t>(i)] = dims_of(i);
  return shapes;
}

// The node's attributes, which both creators announce: TensorRT's ONNX parser passes these and drops all
// others.
inline std::array<nvinfer1::PluginField, 3> attribute_fields() {
  using nvinfer1::PluginFieldType;
  return {nvinfer1::PluginField(op::kDenseChannelsAttribute, nullptr, PluginFieldType::kINT32, 1),
          nvinfer1::PluginField(op::kLayoutAttribute, nullptr, PluginFieldType::kCHAR, 1),
          nvinfer1::PluginField(op::kComputeAttribute, nullptr, PluginFieldType::kCHAR, 1)};
}

}  // namespace smsr::trt
