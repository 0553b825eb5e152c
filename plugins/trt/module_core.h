// What both TensorRT adapters do, in our own types: attributes from fields, saved state, types, formats,
// shapes, workspace, launch. Knows neither TensorRT nor arithmetic. Tensors are N C H W, as TensorRT sees
// them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

#include "kernels/cuda/sparse_mask_module_cuda.h"
#include "smsr_contract.h"

namespace smsr::trt {

namespace op = contract::sparse_mask_module;

constexpr int kOutputs = 1;
constexpr int kTensors = op::kInputs + kOutputs;
constexpr int kMaxRank = 8;
constexpr int64_t kUnknown = -1;  // a dynamic dimension
// More than any GPU has, so that TensorRT refuses the layer. 0 would say that it needs none: TensorRT 8
// cannot be told otherwise that a profile is too large, and would run its smaller shapes in memory of other
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

// What an engine file keeps of a plugin. Fixed size, the machine's byte order: engines do not travel either.
struct State {
  char interface_hash[16];
  int32_t compute;  // smsr_cuda_type
  int32_t layers;
  int32_t dense_channels[SMSR_CUDA_MAX_LAYERS];
};

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One node. All functions throw Error with one line "where: what: expected, got; what to do".
class Module {
 public:
  // `name`: the layer, for error texts; may be null.
  static Module from_fields(const char* name, const Field* fields, int count);
  static Module from_state(const char* name, const void* bytes, size_t count);
  State state() const;

  // All that tells two nodes apart but for shapes: for the timing cache and the engine inspector.
  const std::string& description() const { return description_; }

  void check_counts(int inputs, int outputs) const;
  // The one type T of all inputs against `compute`.
  void check_types(const ElementType* inputs) const;
  // Whether tensor `position` (inputs, then the output) may look so, given the features.
  bool supports(int position, const Tensor& tensor, const Tensor& features) const;
  // All inputs against the contract; kUnknown fits everything but the features' channels.
  void check_shapes(const std::array<Dimensions, op::kInputs>& inputs) const;

  // Enough for features of this size and any smaller.
  size_t workspace_bytes(const Tensor& features) const;
  // `workspace` as workspace_bytes() of these or larger features said. Allocates nothing where all is well.
  void enqueue(const Tensor& features, const void* const* inputs, void* output, void* workspace,
               cudaStream_t stream) const;

 private:
  Module(const char* name, const State& state);
  smsr_cuda_shape shape(const Tensor& features) const;
  [[noreturn]] void fail(const std::string& what, const std::string& expected, const std::string& got,
                         const std::string& advice) const;

  std::string where_;
  std::string description_;
  State state_;
};

// One line on stderr unless SMSR_TRT_LOG=0. Not TensorRT's logger: its finder has another layout in TensorRT
// 11 than in 10, and a library that met the other one would crash on its first message.
void report(const char* text) noexcept;

// The border that no exception may cross: what `body` throws is reported, `otherwise` comes back.
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
