// The CUDA kernels on a real GPU, compared with the double-precision reference on the contract's cases and a
// larger one. Then every case must give the same bits again: with other workspace contents, from a replayed
// CUDA graph, in the other layout, by the kernels for other GPUs. `compute-sanitizer smsr_cuda_gpu_test
// NAME...` finds bad accesses in chosen cases.
#include <cstring>

#include "case_checks.h"
#include "cuda/module.h"
#include "gpu.h"

namespace smsr::testing {
namespace {

Bytes output_of(DeviceCase* on_gpu, const std::string& where, const char* how) {
  check_cuda(cudaDeviceSynchronize(), (where + how).c_str());
  expect(on_gpu->output.canaries_alive() && on_gpu->workspace.canaries_alive(),
         where + how + ": wrote past an end");
  return on_gpu->output.read();
}

Bytes run(DeviceCase* on_gpu, int poison, const std::string& where, const char* how) {
  on_gpu->workspace.fill(poison);
  on_gpu->output.fill(poison);
  const Status status = on_gpu->run(nullptr);
  expect(status == Status::kOk, where + how + ": " + cuda::describe(status));
  return output_of(on_gpu, where, how);
}

// Captured once, replayed twice over poisoned memory.
Bytes replay(DeviceCase* on_gpu, const std::string& where) {
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t runnable;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  expect(on_gpu->run(stream) == Status::kOk, where + ": captured");
  check_cuda(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  check_cuda(cudaGraphInstantiateWithFlags(&runnable, graph, 0), "cudaGraphInstantiate");
  for (int i = 0; i < 2; ++i) {
    check_cuda(cudaMemsetAsync(on_gpu->workspace.data(), 0x7f, on_gpu->workspace.bytes(), stream), "poison");
    check_cuda(cudaMemsetAsync(on_gpu->output.data(), 0xff, on_gpu->output.bytes(), stream), "poison");
    check_cuda(cudaGraphLaunch(runnable, stream), "cudaGraphLaunch");
  }
  Bytes output = output_of(on_gpu, where, " replayed");
  cudaGraphExecDestroy(runnable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  return output;
}

// With kernels, or a size of shared memory, other than this GPU's.
Bytes run_as(DeviceCase* on_gpu, cuda::Kernels kernels, int shared_memory, const std::string& where,
             int poison = 0xff, int unit_rows = 0) {
  int processors = 0;
  check_cuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0), "processors");
  on_gpu->workspace.fill(poison);
  on_gpu->output.fill(poison);
  const Status status = cuda::launch_module(kernels, {processors, shared_memory, unit_rows}, on_gpu->params,
                                            on_gpu->workspace.data(), on_gpu->workspace.bytes(), nullptr);
  expect(status == Status::kOk, where + ": " + cuda::describe(status));
  return output_of(on_gpu, where, " as another GPU");
}

// The staged kernels with units of one size, with as much shared memory as this GPU has. Whatever
// SMSR_CUDA_KERNEL says.
Bytes check_staged(ModuleCase* module_case, DeviceCase* nhwc, DeviceCase* nchw, const std::string& where,
                   int unit_rows) {
  int most = 0;
  check_cuda(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), "shared memory");
  const auto staged = [&](DeviceCase* on_gpu, int poison) {
    return run_as(on_gpu, cuda::Kernels::kStaged, most, where, poison, unit_rows);
  };
  const Bytes output = staged(nhwc, 0xff);
  check_error(module_case, output, where, &worst_error[3]);
  const auto same = [&](const Bytes& other, cuda::Layout layout, const std::string& what) {
    expect(module_case->same(output, cuda::Layout::kNhwc, other, layout), where + what + ": other bits");
  };
  for (int i = 0; i < 3; ++i) same(staged(nhwc, 0x11 * i), cuda::Layout::kNhwc, " again");
  same(staged(nchw, 0xff), cuda::Layout::kNchw, " NCHW");
  return output;
}

// Both sizes, and the smaller with less shared memory, as other GPUs have it: fewer chunks and weights there.
void check_staged(ModuleCase* module_case, DeviceCase* nhwc, DeviceCase* nchw, const std::string& where) {
  check_staged(module_case, nhwc, nchw, where + ", units of 64", 64);
  const Bytes small = check_staged(module_case, nhwc, nchw, where + ", units of 32", 32);
  for (const int kilobytes : {163, 99})
    expect(module_case->same(small, cuda::Layout::kNhwc,
                             run_as(nhwc, cuda::Kernels::kStaged, 1024 * kilobytes, where, 0xff, 32),
                             cuda::Layout::kNhwc),
           where + " with " + std::to_string(kilobytes) + " KB: other bits");
}

int capability() {
  int major = 0, minor = 0;
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "compute capability");
  check_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), "compute capability");
  return 10 * major + minor;
}

// Whether the checks through the API (again, graph, N C H W) run on the staged kernels in float16.
bool staged_chosen() {
  cuda::Kernels kernels = {};
  const Status status =
      cuda::choose_kernels(std::getenv(cuda::kKernelVariable), cuda::Type::kFloat16, capability(), &kernels);
  return status == Status::kOk && kernels == cuda::Kernels::kStaged;
}
// Which exist in float16 only where the variable names them.
bool only_half() {
  const char* name = std::getenv(cuda::kKernelVariable);
  return name != nullptr && std::strcmp(name, "staged") == 0;
}

void check_case(const std::string& name, const Spec& spec, cuda::Type type) {
  const bool half = type == cuda::Type::kFloat16;
  const std::string where = name_of(name, type);
  ModuleCase module_case(spec, type);
  DeviceCase nhwc(module_case, cuda::Layout::kNhwc), nchw(module_case, cuda::Layout::kNchw);
  const Bytes output = run(&nhwc, 0xff, where, "");
  check_error(&module_case, output, where, &worst_error[half]);
  const auto same = [&](const Bytes& other, cuda::Layout layout, const char* what) {
    expect(module_case.same(output, cuda::Layout::kNhwc, other, layout), where + what + ": other bits");
  };
  for (int i = 0; i < 3; ++i) same(run(&nhwc, 0x11 * i, where, " again"), cuda::Layout::kNhwc, " again");
  same(replay(&nhwc, where), cuda::Layout::kNhwc, " graph");
  same(run(&nchw, 0xff, where, " NCHW"), cuda::Layout::kNchw, " NCHW");
  same(replay(&nchw, where + " NCHW"), cuda::Layout::kNchw, " NCHW graph");
  if (half && capability() >= 80) check_staged(&module_case, &nhwc, &nchw, where + " staged");
  if (half && staged_chosen()) return;
  const cuda::Kernels kernels = half ? cuda::Kernels::kTensorCore : cuda::Kernels::kFloat;
  same(run_as(&nhwc, kernels, 0, where), cuda::Layout::kNhwc, " weights in global memory");
  if (half && cuda::has_kernels(cuda::Kernels::kVolta))
    check_error(&module_case, run_as(&nhwc, cuda::Kernels::kVolta, 96 * 1024, where + " sm_72"),
                where + " sm_72", &worst_error[2]);
}

std::vector<cuda::Type> types() {
  if (only_half()) return {cuda::Type::kFloat16};
  return {cuda::Type::kFloat32, cuda::Type::kFloat16};
}

void check_cases(int count, char** parts) {
  for (const contract::Case& c : contract::kCases)
    for (const float theta : {0.0f, 1.25f})
      for (const cuda::Type type : types())
        if (chosen(c.name, count, parts)) check_case(c.name, spec_of(c, theta), type);
  // More units than the GPU has warps, so that they are handed out.
  const Spec large = {{2, 150, 230, 64, 4}, {24, 9, 3, 0}, "clustered"};
  for (const cuda::Type type : types())
    if (chosen("large", count, parts)) check_case("large", large, type);
}

}  // namespace
}  // namespace smsr::testing

int main(int count, char** arguments) {
  using namespace smsr::testing;
  cudaDeviceProp properties;
  check_cuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  std::printf("%s, compute capability %d.%d\n", properties.name, properties.major, properties.minor);
  check_cases(count - 1, arguments + 1);
  print_errors();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
