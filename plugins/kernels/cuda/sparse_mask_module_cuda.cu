// The C API: checks everything, then queues the kernels that suit the type and the GPU.
#include <string.h>

#include "cuda_workspace.h"
#include "module.h"
#include "sparse_mask_module_cuda.h"

namespace smsr {
namespace cuda {
namespace {

constexpr long long kMostElements = 2147483647;

// An enumerator as a caller in C may have set it, to any value.
template <class Enum>
int number(const Enum& value) {
  int n = 0;
  static_assert(sizeof value == sizeof n, "enumerations are ints");
  memcpy(&n, &value, sizeof n);
  return n;
}

smsr_cuda_status check_shape(const smsr_cuda_shape& s) {
  if (s.batch < 1 || s.batch > SMSR_CUDA_MAX_BATCH || s.height < 1 || s.width < 1) return SMSR_CUDA_BAD_SIZE;
  if (s.channels < 16 || s.channels > SMSR_CUDA_MAX_CHANNELS || s.channels % 16 != 0)
    return SMSR_CUDA_BAD_CHANNELS;
  if (s.layers < 1 || s.layers > SMSR_CUDA_MAX_LAYERS) return SMSR_CUDA_BAD_LAYERS;
  long long elements = s.channels;  // below 2^31 before each product, so that none overflows
  for (const int32_t size : {s.batch, s.height, s.width})
    if ((elements *= size) > kMostElements) return SMSR_CUDA_BAD_SIZE;
  if (number(s.type) != SMSR_CUDA_FLOAT32 && number(s.type) != SMSR_CUDA_FLOAT16) return SMSR_CUDA_BAD_TYPE;
  if (number(s.layout) != SMSR_CUDA_NCHW && number(s.layout) != SMSR_CUDA_NHWC) return SMSR_CUDA_BAD_TYPE;
  return SMSR_CUDA_OK;
}

bool aligned(const void* pointer, uintptr_t to) {
  return pointer != nullptr && reinterpret_cast<uintptr_t>(pointer) % to == 0;
}

smsr_cuda_status check_module(const smsr_cuda_module& m) {
  const smsr_cuda_status status = check_shape(m.shape);
  if (status != SMSR_CUDA_OK) return status;
  if (m.dense_channels == nullptr) return SMSR_CUDA_BAD_POINTER;
  for (int layer = 0; layer < m.shape.layers; ++layer)
    if (m.dense_channels[layer] < 0 || m.dense_channels[layer] > m.shape.channels)
      return SMSR_CUDA_BAD_DENSE_CHANNELS;
  // Vectors are read and written in N H W C only: other layouts are turned, weights packed, number by number.
  const uintptr_t one = m.shape.type == SMSR_CUDA_FLOAT16 ? 2 : 4;
  const uintptr_t piece = m.shape.layout == SMSR_CUDA_NHWC ? 16 : one;
  if (!aligned(m.features, piece) || !aligned(m.output, piece)) return SMSR_CUDA_BAD_POINTER;
  for (const void* pointer : {m.margin, m.theta, m.conv_weights, m.collect_weight, m.collect_bias,
                              m.squeeze_weight, m.squeeze_bias, m.excite_weight, m.excite_bias})
    if (!aligned(pointer, one)) return SMSR_CUDA_BAD_POINTER;
  return SMSR_CUDA_OK;
}

struct Chosen {
  Device device;
  Kernels kernels;
};

smsr_cuda_status choose(smsr_cuda_type type, Chosen* chosen) {
  int device = 0, major = 0, minor = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return SMSR_CUDA_BAD_DEVICE;
  const struct {
    cudaDeviceAttr attribute;
    int* value;
  } asked[] = {{cudaDevAttrComputeCapabilityMajor, &major},
               {cudaDevAttrComputeCapabilityMinor, &minor},
               {cudaDevAttrMultiProcessorCount, &chosen->device.processors},
               {cudaDevAttrMaxSharedMemoryPerBlockOptin, &chosen->device.shared_memory}};
  for (const auto& ask : asked)
    if (cudaDeviceGetAttribute(ask.value, ask.attribute, device) != cudaSuccess) return SMSR_CUDA_BAD_DEVICE;
  const int capability = 10 * major + minor;
  if (capability < 72) return SMSR_CUDA_BAD_DEVICE;
  chosen->kernels = type == SMSR_CUDA_FLOAT32 ? Kernels::kFloat
                    : capability < 75         ? Kernels::kVolta
                                              : Kernels::kTensorCore;
  return has_kernels(chosen->kernels) ? SMSR_CUDA_OK : SMSR_CUDA_BAD_DEVICE;
}

}  // namespace

bool has_kernels(Kernels kernels) {
#ifdef SMSR_CUDA_VOLTA
  static_cast<void>(kernels);
  return true;
#else
  return kernels != Kernels::kVolta;
#endif
}

smsr_cuda_status launch_module(Kernels kernels, const Device& device, const smsr_cuda_module& module,
                               const Workspace& workspace, cudaStream_t stream) {
  switch (kernels) {
    case Kernels::kTensorCore:
      return launch_tensor_core(device, module, workspace, stream);
    case Kernels::kFloat:
      return launch_float(device, module, workspace, stream);
    case Kernels::kVolta:
#ifdef SMSR_CUDA_VOLTA
      return launch_volta(device, module, workspace, stream);
#else
      break;
#endif
  }
  return SMSR_CUDA_BAD_DEVICE;
}

}  // namespace cuda
}  // namespace smsr

extern "C" const char* smsr_cuda_describe(smsr_cuda_status status) {
  switch (status) {
    case SMSR_CUDA_OK:
      return "ok";
    case SMSR_CUDA_BAD_SIZE:
      return "sizes: expected batch 1 to 65535, height, width >= 1 and at most 2^31 - 1 elements in all";
    case SMSR_CUDA_BAD_CHANNELS:
      return "channels: expected a multiple of 16 from 16 to 128";
    case SMSR_CUDA_BAD_LAYERS:
      return "layers: expected 1 to 8";
    case SMSR_CUDA_BAD_DENSE_CHANNELS:
      return "dense_channels: expected 0 to channels in every layer";
    case SMSR_CUDA_BAD_POINTER:
      return "pointers: expected none null, tensors aligned to their type (NHWC: 16 bytes), workspace to 256";
    case SMSR_CUDA_SMALL_WORKSPACE:
      return "workspace: expected the bytes that smsr_cuda_workspace_bytes() says";
    case SMSR_CUDA_BAD_DEVICE:
      return "GPU: expected compute capability 7.2 or newer, and one that this build has code for";
    case SMSR_CUDA_LAUNCH_FAILED:
      return cudaGetErrorString(cudaGetLastError());
    case SMSR_CUDA_BAD_TYPE:
      return "type, layout: expected float32 or float16, NCHW or NHWC";
  }
  return "unknown status";
}

extern "C" size_t smsr_cuda_workspace_bytes(const smsr_cuda_shape* shape) {
  if (shape == nullptr || smsr::cuda::check_shape(*shape) != SMSR_CUDA_OK) return 0;
  return smsr::cuda::lay_out(*shape, nullptr).bytes;
}

extern "C" smsr_cuda_status smsr_cuda_sparse_mask_module(const smsr_cuda_module* module, void* workspace,
                                                         size_t bytes, cudaStream_t stream) {
  if (module == nullptr) return SMSR_CUDA_BAD_POINTER;
  const smsr_cuda_status status = smsr::cuda::check_module(*module);
  if (status != SMSR_CUDA_OK) return status;
  if (!smsr::cuda::aligned(workspace, 256)) return SMSR_CUDA_BAD_POINTER;
  const smsr::cuda::Workspace laid_out = smsr::cuda::lay_out(module->shape, workspace);
  if (bytes < laid_out.bytes) return SMSR_CUDA_SMALL_WORKSPACE;
  smsr::cuda::Chosen chosen = {};
  const smsr_cuda_status device = smsr::cuda::choose(module->shape.type, &chosen);
  if (device != SMSR_CUDA_OK) return device;
  return smsr::cuda::launch_module(chosen.kernels, chosen.device, *module, laid_out, stream);
}
