// Counts what each launch of the module asks of the emulated GPU's memories and tensor cores:
//   smsr_cuda_counts [H W SHARE [KILOBYTES [PROCESSORS [ROWS]]]]   shared memory: 227 (sm_90), 163 (sm_80,
//   sm_87),
//                                                           99 (others)
// float16, N H W C, 64 channels, 4 layers, dense channels 24 9 3 0 as the published x2 checkpoint's first
// module. One line per launch, or per phase of a cooperative one: kernel, number, and the fields of
// emulated::Counts. tools/predict_gpu_times.py turns them into times.
#include <cstdio>
#include <cstdlib>

#include "cuda/module.h"
#include "emulated_buffer.h"
#include "expect.h"
#include "machine.h"

namespace smsr::testing {
namespace {

void count(const ModuleCase& module_case, cuda::Kernels kernels, const char* name, int rows = 0) {
  EmulatedCase tensors(module_case, cuda::Layout::kNhwc);
  const cuda::Device device = {emulated::gpu.processors, emulated::gpu.shared_memory, rows};
  emulated::launch_counts.clear();
  emulated::counting = true;
  const Status status = cuda::launch_module(kernels, device, tensors.params, tensors.workspace.data(),
                                            cuda::workspace_bytes(tensors.params.shape), nullptr);
  emulated::counting = false;
  expect(status == Status::kOk, std::string(name) + ": " + cuda::describe(status));
  for (size_t i = 0; i < emulated::launch_counts.size(); ++i) {
    const emulated::Counts& c = emulated::launch_counts[i];
    std::printf("%s %zu", name, i);
    for (const long long number :
         {c.load_requests, c.load_sectors, c.store_requests, c.store_sectors, c.copy_requests, c.copy_sectors,
          c.shared_requests, c.shared_wavefronts, c.least_wavefronts, c.matrix_loads, c.mma, c.most_of_block,
          c.most_of_warp})
      std::printf(" %lld", number);
    std::printf("\n");
  }
}

}  // namespace
}  // namespace smsr::testing

int main(int count, char** arguments) {
  using namespace smsr::testing;
  const int64_t height = count > 1 ? std::atoll(arguments[1]) : 90;
  const int64_t width = count > 2 ? std::atoll(arguments[2]) : 160;
  const double share = count > 3 ? std::atof(arguments[3]) : 0.3;
  if (count > 4) smsr::emulated::gpu.shared_memory = 1024 * std::atoi(arguments[4]);
  if (count > 5) smsr::emulated::gpu.processors = std::atoi(arguments[5]);
  const int rows =
      count > 6 ? std::atoi(arguments[6]) : 64;  // those of a large image, of which this is a part
  if (height < 1 || width < 1 || !(share >= 0.0 && share <= 1.0) || smsr::emulated::gpu.shared_memory < 1 ||
      smsr::emulated::gpu.processors < 1) {
    std::printf("usage: %s [H W SHARE [KILOBYTES [PROCESSORS [ROWS]]]]\n", arguments[0]);
    return 2;
  }
  Spec spec = {{1, height, width, 64, 4}, {24, 9, 3, 0}, "clustered"};
  spec.share = share;
  const ModuleCase module_case(spec, smsr::cuda::Type::kFloat16);
  smsr::emulated::gpu.fair = true;
  std::printf(
      "kernel launch load_requests load_sectors store_requests store_sectors copy_requests copy_sectors "
      "shared_requests shared_wavefronts least_wavefronts matrix_loads mma most_of_block most_of_warp\n");
  smsr::testing::count(module_case, smsr::cuda::Kernels::kTensorCore, "gather");
  smsr::testing::count(module_case, smsr::cuda::Kernels::kStaged, "staged", rows);
  return failed == 0 ? 0 : 1;
}
