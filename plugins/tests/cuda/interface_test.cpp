// What the C API refuses, and that it queues nothing then.
#include "interface_test.h"

#include "expect.h"
#include "machine.h"
#include "module_case.h"

namespace smsr::testing {
namespace {

struct alignas(256) Line {
  unsigned char bytes[256];
};

// A valid call, of one pixel.
struct Call {
  smsr_cuda_module module;
  int32_t dense[2] = {5, 3};
  std::vector<Line> inputs[ModuleCase::kInputs], output, workspace;
  size_t bytes;
  Call() {
    module = {};
    module.shape = {1, 1, 1, 16, 2, SMSR_CUDA_FLOAT16, SMSR_CUDA_NHWC};
    module.dense_channels = dense;
    const void** pointers[] = {&module.features,       &module.margin,         &module.theta,
                               &module.conv_weights,   &module.collect_weight, &module.collect_bias,
                               &module.squeeze_weight, &module.squeeze_bias,   &module.excite_weight,
                               &module.excite_bias};
    for (int i = 0; i < ModuleCase::kInputs; ++i) {
      inputs[i].resize(2 * 9 * 16 * 16 * 2 / sizeof(Line));  // the largest tensor's size
      *pointers[i] = inputs[i].data();
    }
    output.resize(1);
    module.output = output.data();
    bytes = smsr_cuda_workspace_bytes(&module.shape);
    workspace.resize(bytes / sizeof(Line));
  }
  smsr_cuda_status status() {
    return smsr_cuda_sparse_mask_module(&module, workspace.data(), bytes, nullptr);
  }
};

template <class Change>
void refuse(smsr_cuda_status expected, const std::string& what, Change change) {
  Call call;
  change(&call);
  const int before = emulated::launches;
  const smsr_cuda_status found = call.status();
  expect(found == expected, "refuses " + what + ", got: " + smsr_cuda_describe(found));
  expect(emulated::launches == before, what + ": nothing queued");
}

void check_shapes() {
  for (const int bad : {0, -1, 8, 17, 144})
    refuse(SMSR_CUDA_BAD_CHANNELS, "channels " + std::to_string(bad),
           [&](Call* c) { c->module.shape.channels = bad; });
  for (const int bad : {0, -3, 9})
    refuse(SMSR_CUDA_BAD_LAYERS, "layers " + std::to_string(bad),
           [&](Call* c) { c->module.shape.layers = bad; });
  for (const int bad : {0, -1, 2147483647})
    for (int32_t smsr_cuda_shape::* size :
         {&smsr_cuda_shape::batch, &smsr_cuda_shape::height, &smsr_cuda_shape::width})
      refuse(SMSR_CUDA_BAD_SIZE, "size " + std::to_string(bad),
             [&](Call* c) { c->module.shape.*size = bad; });
  refuse(SMSR_CUDA_BAD_SIZE, "2^31 elements", [](Call* c) {
    c->module.shape.height = 16384;
    c->module.shape.width = 8192;
  });
  refuse(SMSR_CUDA_BAD_TYPE, "type 7",
         [](Call* c) { c->module.shape.type = static_cast<smsr_cuda_type>(7); });
  refuse(SMSR_CUDA_BAD_TYPE, "layout 2",
         [](Call* c) { c->module.shape.layout = static_cast<smsr_cuda_layout>(2); });
}

void check_arguments() {
  for (const int bad : {-1, 17})
    refuse(SMSR_CUDA_BAD_DENSE_CHANNELS, "dense " + std::to_string(bad), [&](Call* c) { c->dense[1] = bad; });
  refuse(SMSR_CUDA_BAD_POINTER, "no dense counts", [](Call* c) { c->module.dense_channels = nullptr; });
  refuse(SMSR_CUDA_BAD_POINTER, "null theta", [](Call* c) { c->module.theta = nullptr; });
  refuse(SMSR_CUDA_BAD_POINTER, "null output", [](Call* c) { c->module.output = nullptr; });
  refuse(SMSR_CUDA_BAD_POINTER, "features off by 8",
         [](Call* c) { c->module.features = static_cast<const char*>(c->module.features) + 8; });
  refuse(SMSR_CUDA_BAD_POINTER, "no workspace", [](Call* c) { c->workspace = std::vector<Line>(); });
  refuse(SMSR_CUDA_SMALL_WORKSPACE, "a small workspace", [](Call* c) { --c->bytes; });
  expect(smsr_cuda_sparse_mask_module(nullptr, nullptr, 0, nullptr) == SMSR_CUDA_BAD_POINTER,
         "refuses no module");
}

void check_devices() {
  refuse(SMSR_CUDA_BAD_DEVICE, "sm_70", [](Call*) { emulated::gpu.major = 7; });
  refuse(SMSR_CUDA_BAD_DEVICE, "no GPU", [](Call*) { emulated::gpu.major = -1; });
  emulated::gpu = {};
  const int before = emulated::launches;
  expect(Call().status() == SMSR_CUDA_OK, "the unchanged call is accepted");
  const int all = emulated::launches - before;
  for (int i = 0; i < all; ++i) {
    for (const bool no_code : {false, true}) {
      emulated::gpu.launches_until_failure = i;
      emulated::gpu.failure = no_code ? cudaErrorNoKernelImageForDevice : cudaErrorLaunchFailure;
      const int start = emulated::launches;
      const smsr_cuda_status expected = no_code ? SMSR_CUDA_BAD_DEVICE : SMSR_CUDA_LAUNCH_FAILED;
      expect(Call().status() == expected, "launch " + std::to_string(i) + " fails: reported");
      expect(emulated::launches == start + i + 1,
             "launch " + std::to_string(i) + " fails: nothing queued behind it");
      emulated::gpu = {};
    }
  }
}

void check_workspace() {
  const smsr_cuda_shape largest = {3, 41, 70, 48, 4, SMSR_CUDA_FLOAT16, SMSR_CUDA_NCHW};
  smsr_cuda_shape shape = largest;
  size_t last = 0;
  for (shape.height = 1; shape.height <= largest.height; ++shape.height) {
    const size_t bytes = smsr_cuda_workspace_bytes(&shape);
    expect(bytes >= last && bytes > 0, "workspace grows with the height " + std::to_string(shape.height));
    last = bytes;
  }
  last = 0;
  shape = largest;
  for (shape.width = 1; shape.width <= largest.width; ++shape.width) {
    const size_t bytes = smsr_cuda_workspace_bytes(&shape);
    expect(bytes >= last && bytes > 0, "workspace grows with the width " + std::to_string(shape.width));
    last = bytes;
  }
  shape.channels = 20;
  expect(smsr_cuda_workspace_bytes(&shape) == 0, "no workspace for a refused shape");
  expect(smsr_cuda_workspace_bytes(nullptr) == 0, "no workspace for no shape");
}

}  // namespace

void check_interface() {
  emulated::gpu = {};
  check_shapes();
  check_arguments();
  check_devices();
  check_workspace();
}

}  // namespace smsr::testing
