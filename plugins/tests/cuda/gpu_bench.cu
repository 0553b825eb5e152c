// Times the module on a GPU: smsr_cuda_gpu_bench [H W SHARE [float16|float32 [NHWC|NCHW]]], kernel by
// SMSR_CUDA_KERNEL.
// Replays of a CUDA graph, timed by events; medians. Multiply-adds are those that the network needs with this
// mask, compared with peaks that the same program measures: matrix or fused multiply-adds from registers, and
// a copy in memory.
#include <algorithm>

#include "cuda/module.h"
#include "cuda/primitives.cuh"
#include "gpu.h"

namespace smsr::testing {
namespace {

constexpr int kRounds = 20000, kChains = 8, kRepeats = 30;

__global__ void __launch_bounds__(256) mma_peak(float* out) {
  float d[kChains][4] = {};
  const unsigned a = threadIdx.x, b = threadIdx.x + 1;
  for (int i = 0; i < kRounds; ++i)
#pragma unroll
    for (int c = 0; c < kChains; ++c) cuda::multiply_16x8x16(d[c], a, a, a, a, b, b);
  float sum = 0.0f;
  for (int c = 0; c < kChains; ++c) sum += d[c][0] + d[c][1] + d[c][2] + d[c][3];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

__global__ void __launch_bounds__(256) fma_peak(float* out) {
  float d[kChains] = {};
  const float a = 1.0f + 1e-9f * static_cast<float>(threadIdx.x);
  for (int i = 0; i < kRounds; ++i)
#pragma unroll
    for (int c = 0; c < kChains; ++c) d[c] = fmaf(d[c], a, 1e-9f);
  float sum = 0.0f;
  for (int c = 0; c < kChains; ++c) sum += d[c];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

// Median seconds of the work that queue() puts on the stream.
template <class Queue>
double median_seconds(cudaStream_t stream, int repeats, Queue queue) {
  cudaEvent_t start, stop;
  check_cuda(cudaEventCreate(&start), "cudaEventCreate");
  check_cuda(cudaEventCreate(&stop), "cudaEventCreate");
  std::vector<float> times;
  for (int i = -3; i < repeats; ++i) {
    check_cuda(cudaEventRecord(start, stream), "cudaEventRecord");
    queue();
    check_cuda(cudaEventRecord(stop, stream), "cudaEventRecord");
    check_cuda(cudaEventSynchronize(stop), "the timed work");
    float milliseconds = 0.0f;
    check_cuda(cudaEventElapsedTime(&milliseconds, start, stop), "cudaEventElapsedTime");
    if (i >= 0) times.push_back(milliseconds);
  }
  cudaEventDestroy(start);
  cudaEventDestroy(stop);
  std::sort(times.begin(), times.end());
  return 1e-3 * static_cast<double>(times[times.size() / 2]);
}

struct Peaks {
  double macs, bytes;  // per second
};

Peaks measure_peaks(cudaStream_t stream, bool half) {
  int processors = 0;
  check_cuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0), "processors");
  const int blocks = 4 * processors;
  DeviceBuffer out(static_cast<size_t>(blocks) * 256 * sizeof(float));
  const double seconds = median_seconds(stream, 5, [&] {
    if (half)
      mma_peak<<<blocks, 256, 0, stream>>>(static_cast<float*>(out.data()));
    else
      fma_peak<<<blocks, 256, 0, stream>>>(static_cast<float*>(out.data()));
    check_cuda(cudaGetLastError(), "peak");
  });
  const double per_warp = half ? 2048.0 : 32.0;
  const size_t bytes = size_t{1} << 30;
  DeviceBuffer from(bytes), to(bytes);
  const double copy = median_seconds(stream, 5, [&] {
    check_cuda(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice, stream), "copy");
  });
  return {per_warp * 8.0 * blocks * kRounds * kChains / seconds, 2.0 * static_cast<double>(bytes) / copy};
}

// Bytes of memory traffic if no cache held anything, see docs/kernels-cuda.md.
double least_bytes(const Spec& spec, double share, size_t element) {
  const double c = static_cast<double>(spec.shape.channels);
  const double pixels = static_cast<double>(spec.shape.height * spec.shape.width);
  double numbers = 3.0 * c;  // features twice, output
  for (size_t layer = 0; layer < spec.dense.size(); ++layer) {
    const double dense = static_cast<double>((spec.dense[layer] + 15) / 16 * 16);
    const double held = share * c + (1.0 - share) * dense;
    numbers +=
        (layer + 1 < spec.dense.size() ? 3.0 : 2.0) * held;  // written, read by the next layer and by collect
  }
  return numbers * pixels * static_cast<double>(element);
}

// Those that the network needs: all active pixels cost the same, all inactive ones too.
double multiply_adds(const std::vector<int64_t>& dense, double pixels, double share) {
  const Shape pixel = {1, 1, 1, 64, 4};
  return pixels * (share * Problem({pixel, dense, "on"}).macs() +
                   (1.0 - share) * Problem({pixel, dense, "off"}).macs());
}

void run_once(DeviceCase* on_gpu, cudaStream_t stream) {
  const Status status = on_gpu->run(stream);
  if (status == Status::kOk) return;
  std::printf("FAILED %s\n", cuda::describe(status));
  std::exit(1);
}

double time_module(DeviceCase* on_gpu, cudaStream_t stream) {
  run_once(on_gpu, stream);  // the first launch loads the code, which a capture may forbid
  check_cuda(cudaStreamSynchronize(stream), "the module");
  cudaGraph_t graph;
  cudaGraphExec_t runnable;
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  run_once(on_gpu, stream);
  check_cuda(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  check_cuda(cudaGraphInstantiateWithFlags(&runnable, graph, 0), "cudaGraphInstantiate");
  const double seconds = median_seconds(
      stream, kRepeats, [&] { check_cuda(cudaGraphLaunch(runnable, stream), "cudaGraphLaunch"); });
  cudaGraphExecDestroy(runnable);
  cudaGraphDestroy(graph);
  return seconds;
}

void bench(int64_t height, int64_t width, double share, bool half, cuda::Layout layout) {
  cudaStream_t stream;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  const Peaks peaks = measure_peaks(stream, half);
  std::printf("peak: %.0f GMAC/s from registers, %.0f GB/s copied\n", 1e-9 * peaks.macs, 1e-9 * peaks.bytes);
  Spec spec = {{1, height, width, 64, 4}, {64, 64, 64, 64}, "clustered"};
  spec.share = share;
  const ModuleCase module_case(spec,
                               half ? cuda::Type::kFloat16 : cuda::Type::kFloat32);  // takes seconds: once
  DeviceCase on_gpu(module_case, layout);
  double all = 0.0;
  // Dense channels of the published x2 checkpoint's modules.
  for (const std::vector<int64_t>& dense : std::vector<std::vector<int64_t>>{
           {24, 9, 3, 0}, {16, 4, 1, 0}, {16, 7, 1, 0}, {3, 0, 0, 0}, {14, 5, 0, 0}}) {
    spec.dense = dense;
    const std::vector<int32_t> counts(dense.begin(), dense.end());
    on_gpu.params.dense_channels = counts.data();
    const double macs = multiply_adds(dense, static_cast<double>(height * width), share);
    const double seconds = time_module(&on_gpu, stream), bytes = least_bytes(spec, share, half ? 2 : 4);
    std::printf(
        "dense %2d %2d %2d %2d: %8.1f us, %7.0f GMAC/s, %5.1f %% of the arithmetic peak, %5.1f %% of "
        "memory's\n",
        static_cast<int>(dense[0]), static_cast<int>(dense[1]), static_cast<int>(dense[2]),
        static_cast<int>(dense[3]), 1e6 * seconds, 1e-9 * macs / seconds, 100.0 * macs / seconds / peaks.macs,
        100.0 * bytes / seconds / peaks.bytes);
    all += seconds;
  }
  std::printf("five modules: %.1f us\n", 1e6 * all);
  cudaStreamDestroy(stream);
}

}  // namespace
}  // namespace smsr::testing

int main(int count, char** arguments) {
  const int64_t height = count > 1 ? std::atoll(arguments[1]) : 720,
                width = count > 2 ? std::atoll(arguments[2]) : 1280;
  const double share = count > 3 ? std::atof(arguments[3]) : 0.3;
  const std::string type = count > 4 ? arguments[4] : "float16", layout = count > 5 ? arguments[5] : "NHWC";
  if (height < 1 || width < 1 || !(share >= 0.0 && share <= 1.0) ||
      (type != "float16" && type != "float32") || (layout != "NHWC" && layout != "NCHW")) {
    std::printf("usage: %s [H W SHARE [float16|float32 [NHWC|NCHW]]]\n", arguments[0]);
    return 2;
  }
  const char* kernel = std::getenv(smsr::cuda::kKernelVariable);
  std::printf("%d x %d, active share %.2f, %s, %s, kernel %s\n", static_cast<int>(height),
              static_cast<int>(width), share, type.c_str(), layout.c_str(),
              kernel == nullptr ? "by default" : kernel);
  smsr::testing::bench(height, width, share, type == "float16",
                       layout == "NHWC" ? smsr::cuda::Layout::kNhwc : smsr::cuda::Layout::kNchw);
  return 0;
}
