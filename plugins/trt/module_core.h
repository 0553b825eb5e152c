// The common part of both TensorRT adapters, in types of its own: attributes from fields, saved state, types,
// formats, shapes, workspace, launch. Contains nothing of TensorRT and no arithmetic. Tensors are N C H W, as
// in TensorRT.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

#include "cuda/sparse_mask_module_cuda.h"
#include "smsr_contract.h"
#include "smsr_shapes.h"

// A symbol that the library exports by its plain name, see exports.map.
#define SMSR_EXPORT extern "C" __attribute__((visibility("default")))

namespace smsr::trt {

namespace op = contract::sparse_mask_module;

constexpr int kOutputs = 1;
constexpr int kTensors = op::kInputs + kOutputs;
constexpr int kMaxRank = 8;
constexpr int64_t kUnknown = contract::kUnknownSize;
// More than any GPU has, so that TensorRT refuses the layer: the only way to refuse a profile in TensorRT 8.
// 0 means that the layer needs none; TensorRT would run the profile's smaller shapes in the memory of other
// layers.
constexpr size_t kRefusedWorkspace = size_t{1} << 46;

enum class FieldType { kInt32, kInt64, kChar, kOther };
struct Field {
  std::string_view name;
  const void* data;
  FieldType type;
  int64_t length;  // entries, not bytes
};

enum class ElementType { kFloat32, kFloat16, kOther };
enum class Format { kLinear, kHwc8, kOther };

struct Dimensions {
  int rank = 0;
  std::array<int64_t, kMaxRank> size{};
};

struct Tensor {
  Dimensions dims;
  ElementType type;
  Format format;
};

// What an engine file saves of a plugin. Fixed size and the machine's byte order: an engine belongs to one
// machine, too.
struct State {
  char interface_hash[16];
  int32_t compute;  // cuda::Type
  int32_t layers;
  int32_t dense_channels[contract::kTensorrtMaxLayers];
};

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One node. All functions throw Error with one line "where: what: expected, got; what to do".
class Module {
 public:
  static constexpr const char* kName = op::kName;
  static constexpr int kInputs = op::kInputs;
  static constexpr int kOutputChannels = 0;  // as many as the features have
  using Saved = State;

  // `name`: the layer, for error texts; may be null.
  static Module from_fields(const char* name, const Field* fields, int count);
  static Module from_state(const char* name, const void* bytes, size_t count);
  State state() const;

  // Everything but the shapes in which two nodes can differ: for the timing cache and the engine inspector.
  const std::string& description() const { return description_; }

  void check_counts(int inputs, int outputs) const;
  // All inputs must have the type that `compute` names.
  void check_types(const ElementType* inputs) const;
  // Whether tensor `position` (inputs, then the output) may have this type and format, given the features'.
  bool supports(int position, const Tensor& tensor, const Tensor& features) const;
  // All inputs must have the contract's shapes; kUnknown is accepted for everything but the channels.
  void check_shapes(const std::array<Dimensions, op::kInputs>& inputs) const;

  // Bytes that suffice for features of this size and any smaller.
  size_t workspace_bytes(const Tensor& features) const;
  // `workspace` has workspace_bytes() of these or larger features. Allocates nothing unless it fails.
  void enqueue(const Tensor& features, const void* const* inputs, void* output, void* workspace,
               cudaStream_t stream) const;

 private:
  Module(const char* name, const State& state);
  cuda::Shape shape(const Tensor& features) const;
  [[noreturn]] void fail(const std::string& what, const std::string& expected, const std::string& got,
                         const std::string& advice) const;

  std::string where_;
  std::string description_;
  State state_;
};

// Writes one line to stderr unless SMSR_TRT_LOG=0. Not TensorRT's logger: its finder's layout differs between
// TensorRT 10 and 11, and a library built for one would crash on its first message in the other.
void report(const char* text) noexcept;

// Keeps exceptions from TensorRT: reports what `body` throws, and then returns `otherwise`.
template <class Result, class Body>
Result guarded(Result otherwise, const Body& body) noexcept {
  try {
    return body();
  } catch (const std::exception& error) {
    report(error.what());
  } catch (...) {
    report("unknown error");
  }
  return otherwise;
}

}  // namespace smsr::trt
