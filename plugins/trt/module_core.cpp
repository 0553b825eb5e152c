#include "module_core.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "checks.h"

namespace smsr::trt {
namespace {

constexpr int kReduction = contract::kChannelAttentionReduction;
constexpr int kMaxLayers = contract::kTensorrtMaxLayers, kMaxChannels = contract::kTensorrtMaxChannels;
constexpr int32_t kFloat32 = static_cast<int32_t>(cuda::Type::kFloat32);
constexpr int32_t kFloat16 = static_cast<int32_t>(cuda::Type::kFloat16);
constexpr const char* kTypeNames[] = {contract::kComputeTypes[0], contract::kComputeTypes[2]};

static_assert(std::string_view(kTypeNames[kFloat32]) == "float32");
static_assert(std::string_view(kTypeNames[kFloat16]) == "float16");
static_assert(sizeof(State) == 56, "no padding: the state is saved and compared as bytes");

std::string text(const std::vector<int64_t>& counts) {
  std::string joined;
  for (const int64_t count : counts) joined += (joined.empty() ? "" : ", ") + std::to_string(count);
  return "[" + joined + "]";
}

const char* name_of(ElementType type) {
  if (type == ElementType::kOther) return "another type";
  return kTypeNames[type == ElementType::kFloat16 ? kFloat16 : kFloat32];
}

ElementType element_type(int32_t compute) {
  return compute == kFloat16 ? ElementType::kFloat16 : ElementType::kFloat32;
}

std::vector<int64_t> integers_of(const std::string& where, const Field& field) {
  const bool wide = field.type == FieldType::kInt64;
  if ((!wide && field.type != FieldType::kInt32) || field.data == nullptr)
    raise(where, "attribute " + std::string(field.name), "a list of integers", "another type or nothing",
          kExportAgain);
  if (field.length < 1 || field.length > kMaxLayers)
    raise(where, "attribute " + std::string(field.name),
          "1.." + std::to_string(kMaxLayers) + " counts, one per layer", std::to_string(field.length),
          kExportAgain);
  std::vector<int64_t> values;
  for (int64_t i = 0; i < field.length; ++i)
    values.push_back(wide ? static_cast<const int64_t*>(field.data)[i]
                          : static_cast<const int32_t*>(field.data)[i]);
  return values;
}

void set_dense_channels(const std::string& where, const std::vector<int64_t>& counts, State* state) {
  for (const int64_t count : counts)
    if (count < 0 || count > kMaxChannels)
      raise(where, "attribute dense_channels", "counts within 0..C", text(counts), kExportAgain);
  state->layers = static_cast<int32_t>(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) state->dense_channels[i] = static_cast<int32_t>(counts[i]);
}

int32_t compute_of(const std::string& where, const std::string& name) {
  for (const int32_t type : {kFloat32, kFloat16})
    if (name == kTypeNames[type]) return type;
  raise(where, "attribute compute", "float32 or float16 on GPUs", "'" + name + "'", kExportAgain);
}

void refuse_unknown_fields(const std::string& where, const Field* fields, int count) {
  const std::string expected =
      std::string(op::kDenseChannelsAttribute) + ", " + op::kLayoutAttribute + ", " + op::kComputeAttribute;
  for (int i = 0; i < count; ++i) {
    const std::string_view name = fields[i].name;
    if (name != op::kDenseChannelsAttribute && name != op::kLayoutAttribute && name != op::kComputeAttribute)
      raise(where, "attributes", expected, "'" + std::string(name) + "'", "remove it");
  }
}

// The contract's letters, from features (N, C, H, W).
contract::Letters letters_of(const Dimensions& features, int64_t layers) {
  contract::Letters letters;
  for (size_t i = 0; i < 4; ++i) letters[kLayout[i]] = features.size[i];
  letters['L'] = layers;
  letters['R'] = letters['C'] / kReduction;
  return letters;
}

Dimensions expected_shape(int input, const contract::Letters& letters) {
  const contract::TensorShape& shape = op::kInputShapes[input];
  Dimensions dims;
  dims.rank = shape.rank;
  for (size_t i = 0; i < static_cast<size_t>(shape.rank); ++i)
    dims.size[i] = contract::size_of(shape.sizes[i], letters);
  return dims;
}

}  // namespace

void report(const char* text) noexcept {
  const char* choice = std::getenv("SMSR_TRT_LOG");
  if (choice != nullptr && std::strcmp(choice, "0") == 0) return;
  std::fprintf(stderr, "smsr: %s\n", text);
}

Module::Module(const char* name, const State& state) : where_(where_of(op::kName, name)), state_(state) {
  description_ = std::string(op::kComputeAttribute) + "=" + kTypeNames[state.compute] + " " +
                 op::kDenseChannelsAttribute + "=";
  for (int32_t i = 0; i < state.layers; ++i)
    description_ += (i == 0 ? "" : ",") + std::to_string(state.dense_channels[i]);
  description_ += std::string(" interface=") + contract::kInterfaceHash;
}

Module Module::from_fields(const char* name, const Field* fields, int count) {
  const std::string where = where_of(op::kName, name);
  if (fields == nullptr || count < 0) count = 0;
  refuse_unknown_fields(where, fields, count);
  State state{};
  std::memcpy(state.interface_hash, contract::kInterfaceHash, sizeof state.interface_hash);
  set_dense_channels(where, integers_of(where, only_field(where, fields, count, op::kDenseChannelsAttribute)),
                     &state);
  check_layout(where, fields, count);
  state.compute =
      compute_of(where, string_of(where, only_field(where, fields, count, op::kComputeAttribute)));
  return Module(name, state);
}

Module Module::from_state(const char* name, const void* bytes, size_t count) {
  const std::string where = where_of(op::kName, name);
  if (bytes == nullptr || count != sizeof(State))
    raise(where, "saved plugin", std::to_string(sizeof(State)) + " bytes", std::to_string(count),
          kBuildAgain);
  State state;
  std::memcpy(&state, bytes, sizeof state);
  const std::string_view hash(state.interface_hash, sizeof state.interface_hash);
  if (hash != contract::kInterfaceHash)
    raise(where, "saved plugin", std::string("interface ") + contract::kInterfaceHash, std::string(hash),
          kBuildAgain);
  const bool valid = (state.compute == kFloat32 || state.compute == kFloat16) && state.layers >= 1 &&
                     state.layers <= kMaxLayers;
  if (!valid) raise(where, "saved plugin", "type and layers as written", "damaged bytes", kBuildAgain);
  set_dense_channels(where, {state.dense_channels, state.dense_channels + state.layers}, &state);
  return Module(name, state);
}

State Module::state() const { return state_; }

void Module::fail(const std::string& what, const std::string& expected, const std::string& got,
                  const std::string& advice) const {
  raise(where_, what, expected, got, advice);
}

void Module::check_counts(int inputs, int outputs) const {
  if (inputs == op::kInputs && outputs == kOutputs) return;
  fail("node", std::to_string(op::kInputs) + " inputs and 1 output",
       std::to_string(inputs) + " and " + std::to_string(outputs), kExportAgain);
}

void Module::check_types(const ElementType* inputs) const {
  const ElementType expected = element_type(state_.compute);
  for (int i = 0; i < op::kInputs; ++i)
    if (inputs[i] != expected)
      fail(std::string("type of ") + op::kInputNames[i],
           std::string(name_of(expected)) + " as attribute compute says", name_of(inputs[i]), kExportAgain);
}

bool Module::supports(int position, const Tensor& tensor, const Tensor& features) const {
  if (position < 0 || position >= kTensors) return false;
  if (tensor.type != element_type(state_.compute)) return false;
  if (position == op::kInputs) return tensor.type == features.type && tensor.format == features.format;
  if (tensor.format == Format::kLinear) return true;
  // Channels are a multiple of 16, so kHWC8 has no padding: it is N H W C.
  return position == op::kFeatures && tensor.format == Format::kHwc8 && tensor.type == ElementType::kFloat16;
}

void Module::check_shapes(const std::array<Dimensions, op::kInputs>& inputs) const {
  const Dimensions& features = inputs[op::kFeatures];
  if (features.rank != 4) fail("features", "(N, C, H, W)", text(features), kExportAgain);
  const int64_t c = features.size[1];
  if (c < 1 || c % kReduction != 0 || c > kMaxChannels)
    fail("features' channels",
         "a fixed multiple of " + std::to_string(kReduction) + ", at most " + std::to_string(kMaxChannels),
         text(features), kExportAgain);
  for (int32_t i = 0; i < state_.layers; ++i)
    if (state_.dense_channels[i] > c)
      fail("attribute dense_channels", "counts within 0.." + std::to_string(c),
           std::to_string(state_.dense_channels[i]), kExportAgain);
  const contract::Letters letters = letters_of(features, state_.layers);
  // Without the features, whose layout differs from the contract's shape.
  for (int i = op::kFeatures + 1; i < op::kInputs; ++i) {
    const Dimensions &dims = inputs[static_cast<size_t>(i)], expected = expected_shape(i, letters);
    if (!fits(dims, expected))
      fail(std::string("shape of ") + op::kInputNames[i], text(expected), text(dims), kExportAgain);
  }
}

cuda::Shape Module::shape(const Tensor& features) const {
  const Dimensions& d = features.dims;
  const auto in_range = [](int64_t size) { return size >= 1 && size <= std::numeric_limits<int32_t>::max(); };
  if (d.rank != 4 || !in_range(d.size[0]) || !in_range(d.size[1]) || !in_range(d.size[2]) ||
      !in_range(d.size[3]))
    fail("features", "(N, C, H, W) of 1 or more", text(d), "set the profile's or the input's shape");
  if (features.type != element_type(state_.compute))
    fail("type of features", name_of(element_type(state_.compute)), name_of(features.type), kExportAgain);
  if (features.format == Format::kOther)
    fail("format of features", "linear or HWC8", "another one", "report this as an error of the plugin");
  cuda::Shape made{};
  made.batch = static_cast<int32_t>(d.size[0]);
  made.channels = static_cast<int32_t>(d.size[1]);
  made.height = static_cast<int32_t>(d.size[2]);
  made.width = static_cast<int32_t>(d.size[3]);
  made.layers = state_.layers;
  made.type = static_cast<cuda::Type>(state_.compute);
  made.layout = features.format == Format::kHwc8 ? cuda::Layout::kNhwc : cuda::Layout::kNchw;
  return made;
}

size_t Module::workspace_bytes(const Tensor& features) const {
  const cuda::Shape size = shape(features);
  const size_t bytes = cuda::workspace_bytes(size);
  if (bytes == 0)
    fail("features", "a shape that the kernels support (less than 2^31 elements)", text(features.dims),
         "use a smaller profile or picture");
  return bytes + cuda::kWorkspaceAlignment - 1;
}

void Module::enqueue(const Tensor& features, const void* const* inputs, void* output, void* workspace,
                     cudaStream_t stream) const {
  cuda::Params params{};
  params.shape = shape(features);
  params.dense_channels = state_.dense_channels;
  std::copy(inputs, inputs + op::kInputs, params.inputs);
  params.output = output;
  const size_t bytes = cuda::workspace_bytes(params.shape);
  const Status status = cuda::sparse_mask_module(params, aligned(workspace), bytes, stream);
  if (status != Status::kOk)
    fail("kernel", "ok", cuda::describe(status), "features were " + text(features.dims));
}

}  // namespace smsr::trt

SMSR_EXPORT const char* smsr_interface_hash() { return smsr::contract::kInterfaceHash; }
