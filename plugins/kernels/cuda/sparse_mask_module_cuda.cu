// The API: checks all arguments, then queues the kernels for the type and the GPU.
#include <cstdlib>
#include <string>

#include "cuda/checks.h"
#include "cuda/module.h"
#include "cuda/sparse_mask_module_cuda.h"
#include "cuda/workspace.h"

namespace smsr::cuda {
namespace {

constexpr int64_t kMostValues = 2147483647;
constexpr int kStagedByDefault = 90;  // compute capability
constexpr int kStagedSharedMemory = 99 * 1024;  // what every GPU from sm_80 on has; the staged kernels fit

Status check_shape(const Shape& s) {
  if (s.batch < 1 || s.batch > kMaxBatch || s.height < 1 || s.width < 1) return Status::kBadSize;
  if (s.channels < kReduction || s.channels > kMaxChannels || s.channels % kReduction != 0)
    return Status::kBadChannels;
  if (s.layers < 1 || s.layers > kMaxLayers) return Status::kBadLayers;
  int64_t values = s.channels;  // below 2^31 before each product, so that none overflows
  for (const int32_t size : {s.batch, s.height, s.width})
    if ((values *= size) > kMostValues) return Status::kBadSize;
  if (s.type != Type::kFloat32 && s.type != Type::kFloat16) return Status::kBadType;
  if (s.layout != Layout::kNchw && s.layout != Layout::kNhwc) return Status::kBadType;
  return Status::kOk;
}

// Only N H W C is read and written by vectors: other layouts are transposed, and weights packed, by numbers.
Status check_pointers(const Params& p) {
  const Shape& s = p.shape;
  const uintptr_t number = s.type == Type::kFloat16 ? 2 : 4;
  const uintptr_t piece = s.layout == Layout::kNhwc ? sizeof(Vector) : number;
  for (int i = 0; i < op::kInputs; ++i)
    if (!is_aligned(p.inputs[i], i == op::kFeatures ? piece : number)) return Status::kBadPointer;
  if (!is_aligned(p.output, piece)) return Status::kBadPointer;
  const uintptr_t bytes = number * static_cast<uintptr_t>(s.batch) * static_cast<uintptr_t>(s.height) *
                          static_cast<uintptr_t>(s.width) * static_cast<uintptr_t>(s.channels);
  const uintptr_t from = reinterpret_cast<uintptr_t>(p.inputs[op::kFeatures]);
  const uintptr_t to = reinterpret_cast<uintptr_t>(p.output);
  return (from < to ? to - from : from - to) < bytes ? Status::kOverlap : Status::kOk;
}

Status check_params(const Params& p) {
  const Status status = check_shape(p.shape);
  if (status != Status::kOk) return status;
  if (p.dense_channels == nullptr) return Status::kBadPointer;
  for (int layer = 0; layer < p.shape.layers; ++layer)
    if (p.dense_channels[layer] < 0 || p.dense_channels[layer] > p.shape.channels)
      return Status::kBadDenseChannels;
  return check_pointers(p);
}

// Checks a call and lays out its workspace.
Status prepare(const Params& params, void* memory, size_t bytes, Workspace* workspace) {
  const Status status = check_params(params);
  if (status != Status::kOk) return status;
  if (!is_aligned(memory, kWorkspaceAlignment)) return Status::kBadPointer;
  *workspace = lay_out(params.shape, memory);
  return bytes < workspace->bytes ? Status::kSmallWorkspace : Status::kOk;
}

// The current device, and the kernels for it.
Status choose(Type type, Device* device, Kernels* kernels) {
  int number = 0, major = 0, minor = 0;
  if (cudaGetDevice(&number) != cudaSuccess) return Status::kBadDevice;
  const struct {
    cudaDeviceAttr attribute;
    int* value;
  } queries[] = {{cudaDevAttrComputeCapabilityMajor, &major},
                 {cudaDevAttrComputeCapabilityMinor, &minor},
                 {cudaDevAttrMultiProcessorCount, &device->processors},
                 {cudaDevAttrMaxSharedMemoryPerBlockOptin, &device->shared_memory}};
  for (const auto& query : queries)
    if (cudaDeviceGetAttribute(query.value, query.attribute, number) != cudaSuccess)
      return Status::kBadDevice;
  const int capability = 10 * major + minor;
  static const std::string name = [] {  // read once, and kept from what the process may change
    const char* given = std::getenv(kKernelVariable);
    return std::string(given == nullptr ? "" : given);
  }();
  return choose_kernels(name.c_str(), type, capability, kernels);
}

// Wider modules than the staged kernel's are the gathering kernel's.
Status launch_staged_or_wide(const Launch& launch) {
  if (launch.params.shape.channels > StagedTile::kColumns) return launch_with<HalfTile>(launch);
  return launch.device.shared_memory < kStagedSharedMemory ? Status::kBadDevice : launch_staged(launch);
}

Status launch_prepared(Kernels kernels, const Launch& launch) {
  switch (kernels) {
    case Kernels::kTensorCore:
      return launch_with<HalfTile>(launch);
    case Kernels::kFloat:
      return launch_with<FloatTile>(launch);
    case Kernels::kStaged:
      return launch_staged_or_wide(launch);
    case Kernels::kVolta:
#ifdef SMSR_CUDA_VOLTA
      return launch_with<VoltaTile>(launch);
#else
      break;
#endif
  }
  return Status::kBadDevice;
}

}  // namespace

Status choose_kernels(const char* name, Type type, int capability, Kernels* kernels) {
  const std::string chosen = name == nullptr ? "" : name;
  if (!chosen.empty() && chosen != "staged" && chosen != "gather") return Status::kBadKernel;
  if (capability < 72) return Status::kBadDevice;
  const bool can_stage = type == Type::kFloat16 && capability >= 80;
  if (chosen == "staged" && !can_stage) return Status::kBadKernel;
  // Where it was measured, the staged kernel is the faster one.
  const bool staged = chosen.empty() ? can_stage && capability == kStagedByDefault : chosen == "staged";
  *kernels = staged                   ? Kernels::kStaged
             : type == Type::kFloat32 ? Kernels::kFloat
             : capability < 75        ? Kernels::kVolta
                                      : Kernels::kTensorCore;
  return Status::kOk;
}

bool has_kernels(Kernels kernels) {
#ifdef SMSR_CUDA_VOLTA
  static_cast<void>(kernels);
  return true;
#else
  return kernels != Kernels::kVolta;
#endif
}

Status launch_module(Kernels kernels, const Device& device, const Params& params, void* workspace,
                     size_t bytes, cudaStream_t stream) {
  Workspace laid_out;
  const Status status = prepare(params, workspace, bytes, &laid_out);
  if (status != Status::kOk) return status;
  if ((kernels == Kernels::kFloat) != (params.shape.type == Type::kFloat32)) return Status::kBadType;
  if (device.processors < 1) return Status::kBadDevice;
  return launch_prepared(kernels, {device, params, laid_out, stream});
}

const char* describe(Status status) {
  if (status == Status::kLaunchFailed) return cudaGetErrorString(cudaGetLastError());
  return smsr::describe(status);
}

size_t workspace_bytes(const Shape& shape) {
  return check_shape(shape) == Status::kOk ? lay_out(shape, nullptr).bytes : 0;
}

Status sparse_mask_module(const Params& params, void* workspace, size_t bytes, cudaStream_t stream) {
  Workspace laid_out;
  Device device = {};
  Kernels kernels = {};
  Status status = prepare(params, workspace, bytes, &laid_out);
  if (status == Status::kOk) status = choose(params.shape.type, &device, &kernels);
  return status == Status::kOk ? launch_prepared(kernels, {device, params, laid_out, stream}) : status;
}

}  // namespace smsr::cuda
