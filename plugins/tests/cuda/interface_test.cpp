// What the API refuses, and that refused calls queue nothing.
#include "interface_test.h"

#include <cstdlib>
#include <cstring>

#include "cuda/module.h"
#include "expect.h"
#include "machine.h"
#include "module_case.h"

namespace smsr::testing {
namespace {

struct alignas(256) Line {
  unsigned char bytes[256];
};

// A valid call for one pixel.
struct Call {
  cuda::Params params;
  int32_t dense[2] = {5, 3};
  std::vector<Line> inputs[op::kInputs], output, workspace;
  size_t bytes;
  Call() {
    params = {};
    params.shape = {1, 1, 1, 16, 2, cuda::Type::kFloat16, cuda::Layout::kNhwc};
    params.dense_channels = dense;
    for (int i = 0; i < op::kInputs; ++i) {
      inputs[i].resize(2 * 9 * 16 * 16 * 4 / sizeof(Line) + 1);  // as the largest tensor, and room to move it
      params.inputs[i] = inputs[i].data();
    }
    output.resize(1);
    params.output = output.data();
    bytes = cuda::workspace_bytes(params.shape);
    workspace.resize(bytes / sizeof(Line));
  }
  // Moves a tensor by some bytes within its buffer.
  void move_input(int which, int by) {
    params.inputs[which] = static_cast<const char*>(params.inputs[which]) + by;
  }
  void move_output(int by) { params.output = static_cast<char*>(params.output) + by; }
  Status status() { return cuda::sparse_mask_module(params, workspace.data(), bytes, nullptr); }
  Status status(cuda::Kernels kernels, const cuda::Device& device) {
    return cuda::launch_module(kernels, device, params, workspace.data(), bytes, nullptr);
  }
};

template <class Change>
void refuse(Status expected, const std::string& what, Change change) {
  Call call;
  change(&call);
  const int before = emulated::launches;
  const Status got = call.status();
  expect(got == expected, "refuses " + what + ", got: " + cuda::describe(got));
  expect(emulated::launches == before, what + ": nothing queued");
  expect(std::string(cuda::describe(got)).find('\n') == std::string::npos, what + ": one line");
}

void check_shapes() {
  for (const int bad : {0, -1, 8, 17, 144})
    refuse(Status::kBadChannels, "channels " + std::to_string(bad),
           [&](Call* c) { c->params.shape.channels = bad; });
  for (const int bad : {0, -3, 9})
    refuse(Status::kBadLayers, "layers " + std::to_string(bad),
           [&](Call* c) { c->params.shape.layers = bad; });
  for (const int bad : {0, -1, 2147483647})
    for (int32_t cuda::Shape::* size : {&cuda::Shape::batch, &cuda::Shape::height, &cuda::Shape::width})
      refuse(Status::kBadSize, "size " + std::to_string(bad), [&](Call* c) { c->params.shape.*size = bad; });
  refuse(Status::kBadSize, "batch 65536", [](Call* c) { c->params.shape.batch = 65536; });
  refuse(Status::kBadSize, "2^31 elements", [](Call* c) {
    c->params.shape.height = 16384;
    c->params.shape.width = 8192;
  });
  refuse(Status::kBadType, "type 7", [](Call* c) { c->params.shape.type = static_cast<cuda::Type>(7); });
  refuse(Status::kBadType, "layout 2",
         [](Call* c) { c->params.shape.layout = static_cast<cuda::Layout>(2); });
}

// by: bytes by which all inputs but the features are moved; features_by: features and output.
void accept_moved(const cuda::Shape& shape, int by, int features_by, const std::string& what) {
  Call call;
  call.params.shape = shape;
  call.bytes = cuda::workspace_bytes(shape);
  call.workspace.resize(call.bytes / sizeof(Line));
  for (int i = 0; i < op::kInputs; ++i) call.move_input(i, i == op::kFeatures ? features_by : by);
  call.move_output(features_by);
  expect(call.status() == Status::kOk, "takes " + what);
}

// Vectors are read and written in N H W C only. The emulated GPU refuses a vector that is not aligned.
void check_alignment() {
  for (const int by : {2, 8})
    refuse(Status::kBadPointer, "NHWC features off by " + std::to_string(by),
           [&](Call* c) { c->move_input(op::kFeatures, by); });
  refuse(Status::kBadPointer, "NHWC output off by 8", [](Call* c) { c->move_output(8); });
  for (const cuda::Type type : {cuda::Type::kFloat16, cuda::Type::kFloat32}) {
    const int one = type == cuda::Type::kFloat16 ? 2 : 4;
    const std::string name = type == cuda::Type::kFloat16 ? "float16" : "float32";
    cuda::Shape shape = {1, 1, 1, 16, 2, type, cuda::Layout::kNhwc};
    accept_moved(shape, one, 0, name + " weights off by one number");
    shape.layout = cuda::Layout::kNchw;
    accept_moved(shape, one, one, name + " NCHW off by one number");
    for (int i = 0; i < op::kInputs; ++i)
      refuse(Status::kBadPointer, name + " NCHW " + op::kInputNames[i] + " off by half a number",
             [&](Call* c) {
               c->params.shape = shape;
               c->move_input(i, one / 2);
             });
  }
}

void check_arguments() {
  for (const int bad : {-1, 17})
    refuse(Status::kBadDenseChannels, "dense " + std::to_string(bad), [&](Call* c) { c->dense[1] = bad; });
  refuse(Status::kBadPointer, "no dense counts", [](Call* c) { c->params.dense_channels = nullptr; });
  refuse(Status::kBadPointer, "null theta", [](Call* c) { c->params.inputs[op::kTheta] = nullptr; });
  refuse(Status::kBadPointer, "null output", [](Call* c) { c->params.output = nullptr; });
  check_alignment();
  refuse(Status::kBadPointer, "no workspace", [](Call* c) { c->workspace = std::vector<Line>(); });
  refuse(Status::kSmallWorkspace, "a small workspace", [](Call* c) { --c->bytes; });
  refuse(Status::kOverlap, "an output over the features",
         [](Call* c) { c->params.output = c->inputs[op::kFeatures].data(); });
  refuse(Status::kOverlap, "an output that begins within the features",
         [](Call* c) { c->params.output = reinterpret_cast<char*>(c->inputs[op::kFeatures].data()) + 16; });
}

// Out of memory among them, which CUDA may report at any launch. The next call in the same workspace gives
// what it would have given.
void check_failing_launches(cuda::Kernels kernels) {
  emulated::gpu = {};
  const cuda::Device device = {emulated::gpu.processors, emulated::gpu.shared_memory};
  const int before = emulated::launches;
  Call call;
  std::memset(call.inputs[op::kFeatures].data(), 0x3c, sizeof(Line));  // about 1 each
  expect(call.status(kernels, device) == Status::kOk, "the unchanged call is accepted");
  expect(call.output[0].bytes[0] != 0, "features reach the output");
  const std::vector<Line> output = call.output;
  const int all = emulated::launches - before;
  for (int i = 0; i < all; ++i) {
    for (const bool no_code : {false, true}) {
      emulated::gpu.launches_until_failure = i;
      emulated::gpu.failure = no_code ? cudaErrorNoKernelImageForDevice : cudaErrorMemoryAllocation;
      const int start = emulated::launches;
      const Status expected = no_code ? Status::kBadDevice : Status::kLaunchFailed;
      expect(call.status(kernels, device) == expected, "launch " + std::to_string(i) + " fails: reported");
      expect(emulated::launches == start + i + 1,
             "launch " + std::to_string(i) + " fails: nothing queued behind it");
      const std::string text = cuda::describe(Status::kLaunchFailed);
      expect(text == (no_code ? "no error" : "emulated failure"), "CUDA's own text, got " + text);
      expect(cudaGetLastError() == cudaSuccess, "the error is cleared");
      emulated::gpu = {};
      std::memset(call.output.data(), 0x11, sizeof(Line));
      expect(call.status(kernels, device) == Status::kOk &&
                 std::memcmp(call.output.data(), output.data(), 32) == 0,
             "launch " + std::to_string(i) + " failed: the next call gives its result");
    }
  }
}

void check_devices() {
  refuse(Status::kBadDevice, "sm_70", [](Call*) { emulated::gpu.major = 7; });
  refuse(Status::kBadDevice, "no GPU", [](Call*) { emulated::gpu.major = -1; });
  for (const cuda::Kernels kernels : {cuda::Kernels::kTensorCore, cuda::Kernels::kStaged})
    check_failing_launches(kernels);
}

// What SMSR_CUDA_KERNEL may name, and where.
void check_choice() {
  const auto half = cuda::Type::kFloat16, single = cuda::Type::kFloat32;
  const struct {
    const char* name;
    cuda::Type type;
    int capability;
    Status status;
    cuda::Kernels kernels;
  } cases[] = {
      {nullptr, half, 90, Status::kOk, cuda::Kernels::kStaged},
      {"", half, 90, Status::kOk, cuda::Kernels::kStaged},
      {nullptr, half, 87, Status::kOk, cuda::Kernels::kTensorCore},
      {nullptr, half, 120, Status::kOk, cuda::Kernels::kTensorCore},
      {nullptr, half, 72, Status::kOk, cuda::Kernels::kVolta},
      {nullptr, single, 90, Status::kOk, cuda::Kernels::kFloat},
      {"gather", half, 90, Status::kOk, cuda::Kernels::kTensorCore},
      {"gather", half, 72, Status::kOk, cuda::Kernels::kVolta},
      {"gather", single, 90, Status::kOk, cuda::Kernels::kFloat},
      {"gather", half, 70, Status::kBadDevice, {}},
      {"staged", half, 80, Status::kOk, cuda::Kernels::kStaged},
      {"staged", half, 120, Status::kOk, cuda::Kernels::kStaged},
      {"staged", half, 75, Status::kBadKernel, {}},
      {"staged", single, 90, Status::kBadKernel, {}},
      {"stage", half, 90, Status::kBadKernel, {}},
      {"Staged", half, 90, Status::kBadKernel, {}},
  };
  for (const auto& c : cases) {
    cuda::Kernels kernels = {};
    const std::string what = std::string("SMSR_CUDA_KERNEL=") + (c.name == nullptr ? "(unset)" : c.name) +
                             " on " + std::to_string(c.capability);
    const Status status = cuda::choose_kernels(c.name, c.type, c.capability, &kernels);
    expect(status == c.status, what + ", got: " + cuda::describe(status));
    if (status == Status::kOk) expect(kernels == c.kernels, what + ": the right kernels");
  }
  const std::string line = cuda::describe(Status::kBadKernel);
  expect(line.find("SMSR_CUDA_KERNEL") == 0 && line.find('\n') == std::string::npos, "one line: " + line);
}

// launch_module() checks what sparse_mask_module() checks, and that its kernels suit the module.
void check_kernels() {
  const cuda::Device device = {3, emulated::gpu.shared_memory};
  const auto refuses = [&](Status expected, cuda::Kernels kernels, const cuda::Device& on, const char* what,
                           auto change) {
    Call call;
    change(&call);
    const int before = emulated::launches;
    expect(call.status(kernels, on) == expected, std::string("launch_module() refuses ") + what);
    expect(emulated::launches == before, std::string(what) + ": nothing queued");
  };
  const auto unchanged = [](Call*) {};
  refuses(Status::kBadType, cuda::Kernels::kFloat, device, "float32 kernels for float16", unchanged);
  refuses(Status::kBadDevice, cuda::Kernels::kStaged, {3, 16 * 1024}, "staged with 16 KB of shared memory",
          unchanged);
  for (const auto half : {cuda::Kernels::kTensorCore, cuda::Kernels::kVolta, cuda::Kernels::kStaged}) {
    refuses(Status::kBadType, half, device, "float16 kernels for float32", [](Call* c) {
      c->params.shape.type = cuda::Type::kFloat32;
      c->params.shape.layout = cuda::Layout::kNchw;
      c->bytes = cuda::workspace_bytes(c->params.shape);
      c->workspace.resize(c->bytes / sizeof(Line));
    });
    refuses(Status::kBadDevice, half, {0, emulated::gpu.shared_memory}, "no multiprocessors", unchanged);
    refuses(Status::kSmallWorkspace, half, device, "a small workspace", [](Call* c) { --c->bytes; });
    refuses(Status::kBadLayers, half, device, "no layers", [](Call* c) { c->params.shape.layers = 0; });
    expect(Call().status(half, device) == Status::kOk, "launch_module() accepts the unchanged call");
  }
}

void check_workspace() {
  const cuda::Shape largest = {3, 41, 70, 48, 4, cuda::Type::kFloat16, cuda::Layout::kNchw};
  cuda::Shape shape = largest;
  size_t last = 0;
  for (shape.height = 1; shape.height <= largest.height; ++shape.height) {
    const size_t bytes = cuda::workspace_bytes(shape);
    expect(bytes >= last && bytes > 0, "workspace grows with the height " + std::to_string(shape.height));
    last = bytes;
  }
  last = 0;
  shape = largest;
  for (shape.width = 1; shape.width <= largest.width; ++shape.width) {
    const size_t bytes = cuda::workspace_bytes(shape);
    expect(bytes >= last && bytes > 0, "workspace grows with the width " + std::to_string(shape.width));
    last = bytes;
  }
  shape.channels = 20;
  expect(cuda::workspace_bytes(shape) == 0, "no workspace for a refused shape");
}

}  // namespace

void check_interface() {
  emulated::gpu = {};
  check_shapes();
  check_arguments();
  check_devices();
  check_choice();
  check_kernels();
  check_workspace();
}

void check_environment() {
  const char* name = std::getenv(cuda::kKernelVariable);
  const std::string chosen = name == nullptr ? "" : name;
  const Status expected =
      chosen.empty() || chosen == "gather" || chosen == "staged" ? Status::kOk : Status::kBadKernel;
  emulated::gpu = {};
  const int before = emulated::launches;
  expect(Call().status() == expected, "SMSR_CUDA_KERNEL=" + chosen);
  const int launches = expected != Status::kOk ? 0 : chosen != "gather" ? 2 : 8;  // an unknown name: nothing
  expect(emulated::launches - before == launches,
         "SMSR_CUDA_KERNEL=" + chosen + ": launches, got " + std::to_string(emulated::launches - before));
  setenv(cuda::kKernelVariable, "changed later", 1);
  expect(Call().status() == expected, "SMSR_CUDA_KERNEL is read once");
}

}  // namespace smsr::testing
