// What the C API refuses, and that it queues nothing then.
#include "interface_test.h"

#include <type_traits>

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
      inputs[i].resize(2 * 9 * 16 * 16 * 4 / sizeof(Line) + 1);  // the largest tensor's, and room to move it
      *pointers[i] = inputs[i].data();
    }
    output.resize(1);
    module.output = output.data();
    bytes = smsr_cuda_workspace_bytes(&module.shape);
    workspace.resize(bytes / sizeof(Line));
  }
  // Moves a tensor by some bytes, within its buffer.
  template <class Pointer>
  void move(Pointer smsr_cuda_module::* tensor, int by) {
    using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<Pointer>>, const char, char>;
    module.*tensor = static_cast<Byte*>(module.*tensor) + by;
  }
  smsr_cuda_status status() {
    return smsr_cuda_sparse_mask_module(&module, workspace.data(), bytes, nullptr);
  }
};

constexpr const void* smsr_cuda_module::* kOthers[] = {
    &smsr_cuda_module::margin,         &smsr_cuda_module::theta,         &smsr_cuda_module::conv_weights,
    &smsr_cuda_module::collect_weight, &smsr_cuda_module::collect_bias,  &smsr_cuda_module::squeeze_weight,
    &smsr_cuda_module::squeeze_bias,   &smsr_cuda_module::excite_weight, &smsr_cuda_module::excite_bias};

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
  refuse(SMSR_CUDA_BAD_SIZE, "batch 65536", [](Call* c) { c->module.shape.batch = 65536; });
  refuse(SMSR_CUDA_BAD_SIZE, "2^31 elements", [](Call* c) {
    c->module.shape.height = 16384;
    c->module.shape.width = 8192;
  });
  refuse(SMSR_CUDA_BAD_TYPE, "type 7",
         [](Call* c) { c->module.shape.type = static_cast<smsr_cuda_type>(7); });
  refuse(SMSR_CUDA_BAD_TYPE, "layout 2",
         [](Call* c) { c->module.shape.layout = static_cast<smsr_cuda_layout>(2); });
}

// by, features_by: bytes that kOthers, and features and output, are moved.
void accept_moved(const smsr_cuda_shape& shape, int by, int features_by, const std::string& what) {
  Call call;
  call.module.shape = shape;
  call.bytes = smsr_cuda_workspace_bytes(&shape);
  call.workspace.resize(call.bytes / sizeof(Line));
  call.move(&smsr_cuda_module::features, features_by);
  call.move(&smsr_cuda_module::output, features_by);
  for (const auto tensor : kOthers) call.move(tensor, by);
  expect(call.status() == SMSR_CUDA_OK, "takes " + what);
}

// Vectors are read and written in N H W C only. The emulated GPU refuses a vector that is not aligned.
void check_alignment() {
  for (const int by : {2, 8})
    refuse(SMSR_CUDA_BAD_POINTER, "NHWC features off by " + std::to_string(by),
           [&](Call* c) { c->move(&smsr_cuda_module::features, by); });
  refuse(SMSR_CUDA_BAD_POINTER, "NHWC output off by 8",
         [](Call* c) { c->move(&smsr_cuda_module::output, 8); });
  for (const smsr_cuda_type type : {SMSR_CUDA_FLOAT16, SMSR_CUDA_FLOAT32}) {
    const int one = type == SMSR_CUDA_FLOAT16 ? 2 : 4;
    const std::string name = type == SMSR_CUDA_FLOAT16 ? "float16" : "float32";
    smsr_cuda_shape shape = {1, 1, 1, 16, 2, type, SMSR_CUDA_NHWC};
    accept_moved(shape, one, 0, name + " weights off by one number");
    shape.layout = SMSR_CUDA_NCHW;
    accept_moved(shape, one, one, name + " NCHW off by one number");
    for (const auto tensor : kOthers)
      refuse(SMSR_CUDA_BAD_POINTER, name + " off by half a number", [&](Call* c) {
        c->module.shape = shape;
        c->move(tensor, one / 2);
      });
    refuse(SMSR_CUDA_BAD_POINTER, name + " NCHW features off by half a number", [&](Call* c) {
      c->module.shape = shape;
      c->move(&smsr_cuda_module::features, one / 2);
    });
  }
}

void check_arguments() {
  for (const int bad : {-1, 17})
    refuse(SMSR_CUDA_BAD_DENSE_CHANNELS, "dense " + std::to_string(bad), [&](Call* c) { c->dense[1] = bad; });
  refuse(SMSR_CUDA_BAD_POINTER, "no dense counts", [](Call* c) { c->module.dense_channels = nullptr; });
  refuse(SMSR_CUDA_BAD_POINTER, "null theta", [](Call* c) { c->module.theta = nullptr; });
  refuse(SMSR_CUDA_BAD_POINTER, "null output", [](Call* c) { c->module.output = nullptr; });
  check_alignment();
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
      const std::string said = smsr_cuda_describe(SMSR_CUDA_LAUNCH_FAILED);
      expect(said == (no_code ? "no error" : "emulated failure"), "CUDA's words, got " + said);
      expect(cudaGetLastError() == cudaSuccess, "the error is forgotten");
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
