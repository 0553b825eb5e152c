// The API: checks all arguments, then queues the two kernels.
#include "cuda/checks.h"
#include "cuda/launch.h"
#include "cuda/mask_branch.cuh"
#include "cuda/mask_branch_cuda.h"

namespace smsr::cuda {
namespace {

namespace branch = contract::mask_branch;

constexpr int64_t kMostValues = 2147483647;
constexpr int32_t kMostImages = 65535;  // blocks in y
constexpr uintptr_t kAlignment = 256;   // of the workspace
constexpr int kOldestCapability = 75;
constexpr int kBlocksPerProcessor = 2;  // as many as registers let run at once on sm_90

int32_t halved(int32_t size) { return (size + 1) / 2; }

Status check_shape(const BranchShape& s) {
  if (s.batch < 1 || s.batch > kMostImages || s.height < 1 || s.width < 1) return Status::kBadSize;
  if (s.channels < kOutputSlice || s.channels > kMaxChannels || s.channels % kOutputSlice != 0 ||
      s.squeezed != (s.channels / 4 + kOutputSlice - 1) / kOutputSlice * kOutputSlice)
    return Status::kBadChannels;
  int64_t values = s.channels;  // below 2^31 before each product, so that none overflows
  for (const int32_t size : {s.batch, s.height, s.width})
    if ((values *= size) > kMostValues) return Status::kBadSize;
  return Status::kOk;
}

Status check_params(const BranchParams& p, const void* workspace, size_t bytes) {
  const Status status = check_shape(p.shape);
  if (status != Status::kOk) return status;
  for (int i = 0; i < branch::kInputs; ++i)
    if (!is_aligned(p.inputs[i], i == branch::kFeatures ? sizeof(Vector) : sizeof(Half)))
      return Status::kBadPointer;
  if (!is_aligned(p.margin, sizeof(Half)) || !is_aligned(workspace, kAlignment)) return Status::kBadPointer;
  const BranchShape& s = p.shape;
  const uintptr_t margin_bytes = sizeof(Half) * static_cast<uintptr_t>(s.batch) *
                                 static_cast<uintptr_t>(s.height) * static_cast<uintptr_t>(s.width);
  const auto from = reinterpret_cast<uintptr_t>(p.inputs[branch::kFeatures]);
  const auto to = reinterpret_cast<uintptr_t>(p.margin);
  if (to < from + margin_bytes * static_cast<uintptr_t>(s.channels) && from < to + margin_bytes)
    return Status::kOverlap;
  return bytes < branch_workspace_bytes(s) ? Status::kSmallWorkspace : Status::kOk;
}

Status processors_of_device(int* processors) {
  int number = 0, major = 0, minor = 0;
  if (cudaGetDevice(&number) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, number) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, number) != cudaSuccess ||
      cudaDeviceGetAttribute(processors, cudaDevAttrMultiProcessorCount, number) != cudaSuccess)
    return Status::kBadDevice;
  return 10 * major + minor < kOldestCapability ? Status::kBadDevice : Status::kOk;
}

const Half* input(const BranchParams& p, branch::Input which) {
  return static_cast<const Half*>(p.inputs[which]);
}

cudaError_t launch_full(const BranchParams& p, const BranchSizes& sizes, Half* pooled, int processors,
                        cudaStream_t stream) {
  const FullParams full{sizes, input(p, branch::kFeatures), input(p, branch::kFullWeight),
                        input(p, branch::kFullBias), pooled};
  const int64_t tiles = int64_t{(sizes.width + kFullTile - 1) / kFullTile} *
                        ((sizes.height + kFullTile - 1) / kFullTile) * sizes.batch;
  const int64_t most = int64_t{kBlocksPerProcessor} * processors;
  const cudaError_t allowed = allow_shared_memory(pool_full, kFullShared);
  if (allowed != cudaSuccess) return allowed;
  return launch(pool_full, static_cast<int>(tiles < most ? tiles : most), sizes.squeezed / kOutputSlice,
                kBranchThreads, kFullShared, stream, full);
}

cudaError_t launch_margin(const BranchParams& p, const BranchSizes& sizes, const Half* pooled,
                          cudaStream_t stream) {
  const MarginParams margin{sizes,
                            pooled,
                            input(p, branch::kHalfWeight),
                            input(p, branch::kHalfBias),
                            input(p, branch::kPhasesWeight),
                            input(p, branch::kPhasesBias),
                            static_cast<Half*>(p.margin)};
  const int tiles =
      ((sizes.half_width + kHalfTile - 1) / kHalfTile) * ((sizes.half_height + kHalfTile - 1) / kHalfTile);
  const auto queue = [&](auto kernel, int bytes) {
    const cudaError_t allowed = allow_shared_memory(kernel, kMostMarginShared);
    if (allowed != cudaSuccess) return allowed;
    return launch(kernel, tiles, sizes.batch, kBranchThreads, static_cast<size_t>(bytes), stream, margin);
  };
  if (sizes.squeezed == kOutputSlice) return queue(margin_of_pooled<16>, MarginShared<16>::kBytes);
  return queue(margin_of_pooled<32>, MarginShared<32>::kBytes);
}

}  // namespace

size_t branch_workspace_bytes(const BranchShape& shape) {
  if (check_shape(shape) != Status::kOk) return 0;
  return sizeof(Half) * static_cast<size_t>(shape.batch) * static_cast<size_t>(halved(shape.height)) *
         static_cast<size_t>(halved(shape.width)) * static_cast<size_t>(shape.squeezed);
}

Status mask_branch(const BranchParams& params, void* workspace, size_t bytes, cudaStream_t stream) {
  int processors = 0;
  Status status = check_params(params, workspace, bytes);
  if (status == Status::kOk) status = processors_of_device(&processors);
  if (status != Status::kOk) return status;
  const BranchShape& s = params.shape;
  const BranchSizes sizes{s.batch,    s.height,         s.width,        s.channels,
                          s.squeezed, halved(s.height), halved(s.width)};
  Half* pooled = static_cast<Half*>(workspace);
  cudaError_t error = launch_full(params, sizes, pooled, processors, stream);
  if (error == cudaSuccess) error = launch_margin(params, sizes, pooled, stream);
  return status_of(error);
}

}  // namespace smsr::cuda
