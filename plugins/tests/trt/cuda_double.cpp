#include "cuda_double.h"

#include <cstring>
#include <limits>

namespace smsr {
namespace testing {

Recorded& recorded() {
  static Recorded made{};
  return made;
}

}  // namespace testing

namespace cuda {
namespace {

Status check_shape(const Shape& s) {
  if (s.channels < 1 || s.channels % 16 != 0 || s.channels > contract::kTensorrtMaxChannels)
    return Status::kBadChannels;
  if (s.layers < 1 || s.layers > contract::kTensorrtMaxLayers) return Status::kBadLayers;
  if (s.batch < 1 || s.height < 1 || s.width < 1) return Status::kBadSize;
  const double elements = 1.0 * s.batch * s.height * s.width * s.channels;
  return elements > std::numeric_limits<int32_t>::max() ? Status::kBadSize : Status::kOk;
}

bool bad_pointer(const void* pointer, uintptr_t alignment) {
  return pointer == nullptr || reinterpret_cast<uintptr_t>(pointer) % alignment != 0;
}

size_t features_bytes(const Shape& s) {
  const size_t element = s.type == Type::kFloat16 ? 2 : 4;
  return element * static_cast<size_t>(s.batch) * static_cast<size_t>(s.height) *
         static_cast<size_t>(s.width) * static_cast<size_t>(s.channels);
}

// Grows with the features, and is no multiple of anything.
size_t needed(const Shape& s) { return 1001 + 3 * features_bytes(s); }

Status recorded_pixels(const void* from, void* to, uint32_t* not_finite, const PixelShape& shape,
                       cudaStream_t stream) {
  testing::Recorded& recorded = testing::recorded();
  ++recorded.pixel_launches;
  recorded.pixels_from = from;
  recorded.pixels_to = to;
  recorded.not_finite = not_finite;
  recorded.pixel_shape = shape;
  recorded.stream = stream;
  return recorded.next;
}

}  // namespace

SMSR_DOUBLE const char* describe(Status status) { return smsr::describe(status); }

SMSR_DOUBLE size_t workspace_bytes(const Shape& shape) {
  testing::recorded().asked = shape;
  return check_shape(shape) == Status::kOk ? needed(shape) : 0;
}

SMSR_DOUBLE Status sparse_mask_module(const Params& params, void* workspace, size_t bytes,
                                      cudaStream_t stream) {
  testing::Recorded& recorded = testing::recorded();
  const Shape& shape = params.shape;
  ++recorded.launches;
  recorded.params = params;
  recorded.stream = stream;
  if (recorded.next != Status::kOk) return recorded.next;
  const Status status = check_shape(shape);
  if (status != Status::kOk) return status;
  if (params.dense_channels == nullptr) return Status::kBadPointer;
  for (int32_t i = 0; i < shape.layers; ++i) {
    recorded.dense_channels[i] = params.dense_channels[i];
    if (params.dense_channels[i] < 0 || params.dense_channels[i] > shape.channels)
      return Status::kBadDenseChannels;
  }
  recorded.params.dense_channels = recorded.dense_channels;
  for (const void* pointer : params.inputs)
    if (bad_pointer(pointer, 16)) return Status::kBadPointer;
  if (bad_pointer(params.output, 16)) return Status::kBadPointer;
  if (bad_pointer(workspace, kWorkspaceAlignment)) return Status::kBadPointer;
  if (bytes < needed(shape)) return Status::kSmallWorkspace;
  std::memset(workspace, 0x5A, needed(shape));
  std::memcpy(params.output, params.inputs[op::kFeatures], features_bytes(shape));
  return Status::kOk;
}

SMSR_DOUBLE size_t branch_workspace_bytes(const BranchShape& s) {
  testing::recorded().branch_asked = s;
  const double elements = 1.0 * s.batch * s.height * s.width * s.channels;
  if (elements > std::numeric_limits<int32_t>::max()) return 0;
  return 777 +
         2 * static_cast<size_t>(s.batch) * static_cast<size_t>(s.height) * static_cast<size_t>(s.width);
}

// The margin's bytes are all 0x3B.
SMSR_DOUBLE Status mask_branch(const BranchParams& params, void* workspace, size_t bytes,
                               cudaStream_t stream) {
  testing::Recorded& recorded = testing::recorded();
  ++recorded.branch_launches;
  recorded.branch = params;
  recorded.stream = stream;
  if (recorded.next != Status::kOk) return recorded.next;
  for (const void* pointer : params.inputs)
    if (bad_pointer(pointer, 16)) return Status::kBadPointer;
  if (bad_pointer(params.margin, 2) || bad_pointer(workspace, kWorkspaceAlignment))
    return Status::kBadPointer;
  const size_t needed = branch_workspace_bytes(params.shape);
  if (bytes < needed) return Status::kSmallWorkspace;
  std::memset(workspace, 0x5A, needed);
  const BranchShape& s = params.shape;
  std::memset(
      params.margin, 0x3B,
      2 * static_cast<size_t>(s.batch) * static_cast<size_t>(s.height) * static_cast<size_t>(s.width));
  return Status::kOk;
}

// Both only record.
SMSR_DOUBLE Status pixels_to_planes(const void* pixels, float* planes, const PixelShape& shape,
                                    cudaStream_t stream) {
  return recorded_pixels(pixels, planes, nullptr, shape, stream);
}

SMSR_DOUBLE Status planes_to_pixels(const float* planes, void* pixels, uint32_t* not_finite,
                                    const PixelShape& shape, cudaStream_t stream) {
  return recorded_pixels(planes, pixels, not_finite, shape, stream);
}

}  // namespace cuda
}  // namespace smsr
