#include "branch_core.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "checks.h"

namespace smsr::trt {
namespace {

constexpr int64_t kChannelStep = 16;  // C and Q are multiples of it
constexpr const char* kCompute = contract::kComputeTypes[2];

static_assert(std::string_view(kCompute) == "float16");

int64_t squeezed(int64_t channels) { return (channels / 4 + kChannelStep - 1) / kChannelStep * kChannelStep; }

}  // namespace

Branch::Branch(const char* name)
    : where_(where_of(branch_op::kName, name)),
      description_(std::string(branch_op::kComputeAttribute) + "=" + kCompute +
                   " interface=" + contract::kInterfaceHash) {}

Branch Branch::from_fields(const char* name, const Field* fields, int count) {
  const std::string where = where_of(branch_op::kName, name);
  if (fields == nullptr || count < 0) count = 0;
  for (int i = 0; i < count; ++i)
    if (fields[i].name != branch_op::kLayoutAttribute && fields[i].name != branch_op::kComputeAttribute)
      raise(where, "attributes",
            std::string(branch_op::kLayoutAttribute) + ", " + branch_op::kComputeAttribute,
            "'" + std::string(fields[i].name) + "'", "remove it");
  check_layout(where, fields, count);
  const std::string compute =
      string_of(where, only_field(where, fields, count, branch_op::kComputeAttribute));
  if (compute != kCompute)
    raise(where, "attribute compute", kCompute, "'" + compute + "'",
          "export without the mask branch's plugin");
  return Branch(name);
}

Branch Branch::from_state(const char* name, const void* bytes, size_t count) {
  const std::string where = where_of(branch_op::kName, name);
  if (bytes == nullptr || count != sizeof(BranchState))
    raise(where, "saved plugin", std::to_string(sizeof(BranchState)) + " bytes", std::to_string(count),
          kBuildAgain);
  const std::string_view hash(static_cast<const char*>(bytes), sizeof(BranchState));
  if (hash != contract::kInterfaceHash)
    raise(where, "saved plugin", std::string("interface ") + contract::kInterfaceHash, std::string(hash),
          kBuildAgain);
  return Branch(name);
}

BranchState Branch::state() const {
  BranchState state;
  std::memcpy(state.interface_hash, contract::kInterfaceHash, sizeof state.interface_hash);
  return state;
}

void Branch::check_counts(int inputs, int outputs) const {
  if (inputs == kInputs && outputs == kOutputs) return;
  raise(where_, "node", std::to_string(kInputs) + " inputs and 1 output",
        std::to_string(inputs) + " and " + std::to_string(outputs), kExportAgain);
}

void Branch::check_types(const ElementType* inputs) const {
  for (int i = 0; i < kInputs; ++i)
    if (inputs[i] != ElementType::kFloat16)
      raise(where_, std::string("type of ") + branch_op::kInputNames[i], kCompute, "another type",
            kExportAgain);
}

bool Branch::supports(int position, const Tensor& tensor, const Tensor&) const {
  if (position < 0 || position > kInputs || tensor.type != ElementType::kFloat16) return false;
  // Channels are a multiple of 16, so kHWC8 has no padding: it is N H W C.
  return tensor.format == (position == branch_op::kFeatures ? Format::kHwc8 : Format::kLinear);
}

void Branch::check_shapes(const std::array<Dimensions, kInputs>& inputs) const {
  const Dimensions& features = inputs[branch_op::kFeatures];
  if (features.rank != 4) raise(where_, "features", "(N, C, H, W)", text(features), kExportAgain);
  contract::Letters letters;
  letters['C'] = features.size[1];
  if (letters['C'] < 1 || letters['C'] % kChannelStep != 0 || letters['C'] > contract::kTensorrtMaxChannels)
    raise(where_, "features' channels",
          "a fixed multiple of 16, at most " + std::to_string(contract::kTensorrtMaxChannels), text(features),
          kExportAgain);
  letters['Q'] = squeezed(letters['C']);
  // Without the features, whose layout differs from the contract's shape.
  for (int i = branch_op::kFeatures + 1; i < kInputs; ++i) {
    const contract::TensorShape& shape = branch_op::kInputShapes[i];
    Dimensions expected;
    expected.rank = shape.rank;
    for (size_t axis = 0; axis < static_cast<size_t>(shape.rank); ++axis)
      expected.size[axis] = contract::size_of(shape.sizes[axis], letters);
    const Dimensions& dims = inputs[static_cast<size_t>(i)];
    if (!fits(dims, expected))
      raise(where_, std::string("shape of ") + branch_op::kInputNames[i], text(expected), text(dims),
            kExportAgain);
  }
}

cuda::BranchShape Branch::shape(const Tensor& features) const {
  const Dimensions& d = features.dims;
  const auto in_range = [](int64_t size) { return size >= 1 && size <= std::numeric_limits<int32_t>::max(); };
  if (d.rank != 4 || !std::all_of(d.size.begin(), d.size.begin() + 4, in_range))
    raise(where_, "features", "(N, C, H, W) of 1 or more", text(d), "set the profile's or the input's shape");
  if (features.type != ElementType::kFloat16 || features.format != Format::kHwc8)
    raise(where_, "features", "float16 in HWC8", "another type or format",
          "report this as an error of the plugin");
  return {static_cast<int32_t>(d.size[0]), static_cast<int32_t>(d.size[2]), static_cast<int32_t>(d.size[3]),
          static_cast<int32_t>(d.size[1]), static_cast<int32_t>(squeezed(d.size[1]))};
}

size_t Branch::workspace_bytes(const Tensor& features) const {
  const size_t bytes = cuda::branch_workspace_bytes(shape(features));
  if (bytes == 0)
    raise(where_, "features", "a shape that the kernels support (less than 2^31 elements)",
          text(features.dims), "use a smaller profile or picture");
  return bytes + cuda::kWorkspaceAlignment - 1;
}

void Branch::enqueue(const Tensor& features, const void* const* inputs, void* output, void* workspace,
                     cudaStream_t stream) const {
  cuda::BranchParams params{};
  params.shape = shape(features);
  std::copy(inputs, inputs + kInputs, params.inputs);
  params.margin = output;
  const size_t bytes = cuda::branch_workspace_bytes(params.shape);
  const Status status = cuda::mask_branch(params, aligned(workspace), bytes, stream);
  if (status != Status::kOk)
    raise(where_, "kernel", "ok", cuda::describe(status), "features were " + text(features.dims));
}

}  // namespace smsr::trt
