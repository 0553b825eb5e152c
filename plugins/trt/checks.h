// What the cores of both plugins share: one-line errors, attributes from fields, shapes.
#pragma once

#include <string>
#include <string_view>

#include "module_core.h"

namespace smsr::trt {

constexpr const char* kExportAgain = "export the model again with smsr-export --target trt";
constexpr const char* kBuildAgain = "build the engine again with this library";
constexpr const char* kLayout = contract::kLayouts[1];  // of TensorRT's dimensions, whatever the format is
static_assert(std::string_view(kLayout) == "NCHW");

// plugin: its name; name: the layer, may be null.
inline std::string where_of(const char* plugin, const char* name) {
  const std::string node = name != nullptr ? name : "";
  return node.empty() ? std::string(plugin) : std::string(plugin) + " '" + node + "'";
}

[[noreturn]] inline void raise(const std::string& where, const std::string& what, const std::string& expected,
                               const std::string& got, const std::string& advice) {
  throw Error(where + ": " + what + ": expected " + expected + ", got " + got + "; " + advice);
}

inline std::string text(const Dimensions& dims) {
  std::string joined;
  for (int i = 0; i < dims.rank && i < kMaxRank; ++i) {
    const int64_t size = dims.size[static_cast<size_t>(i)];
    joined += (i == 0 ? "" : ", ") + (size == kUnknown ? "?" : std::to_string(size));
  }
  return "(" + joined + ")";
}

// Some versions of the ONNX parser count a terminating zero, others do not.
inline std::string string_of(const std::string& where, const Field& field) {
  if (field.type != FieldType::kChar || field.data == nullptr || field.length < 0)
    raise(where, "attribute " + std::string(field.name), "a string", "another type or nothing", kExportAgain);
  std::string value(static_cast<const char*>(field.data), static_cast<size_t>(field.length));
  while (!value.empty() && value.back() == '\0') value.pop_back();
  return value;
}

inline const Field& only_field(const std::string& where, const Field* fields, int count, const char* name) {
  const Field* only = nullptr;
  for (int i = 0; i < count; ++i) {
    if (fields[i].name != name) continue;
    if (only != nullptr) raise(where, std::string("attribute ") + name, "it once", "it twice", kExportAgain);
    only = &fields[i];
  }
  if (only == nullptr) raise(where, std::string("attribute ") + name, "a value", "none", kExportAgain);
  return *only;
}

// The node's attribute layout, which must be NCHW.
inline void check_layout(const std::string& where, const Field* fields, int count) {
  const std::string layout = string_of(where, only_field(where, fields, count, op::kLayoutAttribute));
  if (layout != kLayout) raise(where, "attribute layout", kLayout, "'" + layout + "'", kExportAgain);
}

inline bool fits(const Dimensions& dims, const Dimensions& expected) {
  if (dims.rank != expected.rank) return false;
  for (size_t i = 0; i < static_cast<size_t>(dims.rank); ++i)
    if (dims.size[i] != kUnknown && expected.size[i] != kUnknown && dims.size[i] != expected.size[i])
      return false;
  return true;
}

// TensorRT promises no alignment.
inline void* aligned(void* workspace) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(workspace);
  return reinterpret_cast<void*>((address + cuda::kWorkspaceAlignment - 1) / cuda::kWorkspaceAlignment *
                                 cuda::kWorkspaceAlignment);
}

}  // namespace smsr::trt
