#include "cuda_double.h"

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>

namespace {

using smsr::testing::Recorded;

Recorded recorded{};

smsr_cuda_status check_shape(const smsr_cuda_shape& s) {
  if (s.channels < 1 || s.channels % 16 != 0 || s.channels > SMSR_CUDA_MAX_CHANNELS)
    return SMSR_CUDA_BAD_CHANNELS;
  if (s.layers < 1 || s.layers > SMSR_CUDA_MAX_LAYERS) return SMSR_CUDA_BAD_LAYERS;
  if (s.batch < 1 || s.height < 1 || s.width < 1) return SMSR_CUDA_BAD_SIZE;
  const double elements = 1.0 * s.batch * s.height * s.width * s.channels;
  return elements > std::numeric_limits<int32_t>::max() ? SMSR_CUDA_BAD_SIZE : SMSR_CUDA_OK;
}

bool bad_pointer(const void* pointer, uintptr_t alignment) {
  return pointer == nullptr || reinterpret_cast<uintptr_t>(pointer) % alignment != 0;
}

size_t element_bytes(const smsr_cuda_shape& s) { return s.type == SMSR_CUDA_FLOAT16 ? 2 : 4; }

size_t features_bytes(const smsr_cuda_shape& s) {
  return size_t{1} * static_cast<size_t>(s.batch) * static_cast<size_t>(s.height) *
         static_cast<size_t>(s.width) * static_cast<size_t>(s.channels) * element_bytes(s);
}

}  // namespace

#define SMSR_DOUBLE extern "C" __attribute__((visibility("default")))

SMSR_DOUBLE Recorded* smsr_cuda_recorded(void) { return &recorded; }

SMSR_DOUBLE const char* smsr_cuda_describe(smsr_cuda_status status) {
  static const char* const texts[] = {"ok",         "bad size",    "bad channels",    "bad layers",
                                      "bad counts", "bad pointer", "small workspace", "bad device"};
  return status <= SMSR_CUDA_BAD_DEVICE ? texts[status] : "launch failed";
}

// Grows with the features, and is no multiple of anything.
SMSR_DOUBLE size_t smsr_cuda_workspace_bytes(const smsr_cuda_shape* shape) {
  ++recorded.workspace_queries;
  recorded.asked = *shape;
  return check_shape(*shape) == SMSR_CUDA_OK ? 1001 + 3 * features_bytes(*shape) : 0;
}

SMSR_DOUBLE smsr_cuda_status smsr_cuda_sparse_mask_module(const smsr_cuda_module* module, void* workspace,
                                                          size_t bytes, cudaStream_t stream) {
  const smsr_cuda_shape& shape = module->shape;
  ++recorded.launches;
  recorded.module = *module;
  recorded.workspace = workspace;
  recorded.bytes = bytes;
  recorded.stream = stream;
  if (recorded.next != SMSR_CUDA_OK) return recorded.next;
  const smsr_cuda_status status = check_shape(shape);
  if (status != SMSR_CUDA_OK) return status;
  if (module->dense_channels == nullptr) return SMSR_CUDA_BAD_POINTER;
  for (int32_t i = 0; i < shape.layers; ++i) {
    recorded.dense_channels[i] = module->dense_channels[i];
    if (module->dense_channels[i] < 0 || module->dense_channels[i] > shape.channels)
      return SMSR_CUDA_BAD_DENSE_CHANNELS;
  }
  recorded.module.dense_channels = recorded.dense_channels;
  for (const void* pointer :
       {module->features, module->margin, module->theta, module->conv_weights, module->collect_weight,
        module->collect_bias, module->squeeze_weight, module->squeeze_bias, module->excite_weight,
        module->excite_bias, static_cast<const void*>(module->output)})
    if (bad_pointer(pointer, 16)) return SMSR_CUDA_BAD_POINTER;
  if (bad_pointer(workspace, 256)) return SMSR_CUDA_BAD_POINTER;
  const size_t needed = 1001 + 3 * features_bytes(shape);
  if (bytes < needed) return SMSR_CUDA_SMALL_WORKSPACE;
  std::memset(workspace, 0x5A, needed);
  std::memcpy(module->output, module->features, features_bytes(shape));
  return SMSR_CUDA_OK;
}
