// The mask branch's kernels on the emulated GPU, compared with the double-precision reference.
#include <cstdio>

#include "branch_test.h"
#include "host_memory.h"
#include "machine.h"

namespace smsr::testing {
namespace {

void check_case(const BranchCase& of, const std::string& name) {
  emulated::gpu = {};
  const Bytes margin = run_branch<Buffer>(of, name);
  check_branch_error(of, margin, name);
  emulated::gpu.reversed = true;  // other blocks compute other tiles, in another order
  emulated::gpu.processors = 7;
  emulated::gpu.major = 7;
  emulated::gpu.minor = 5;
  emulated::gpu.shared_memory = 64 * 1024;
  expect(run_branch<Buffer>(of, name + " sm_75") == margin, name + ": other bits in another order");
}

void check_shapes() {
  const auto refused = [](int n, int h, int w, int c, int q) {
    expect(cuda::branch_workspace_bytes({n, h, w, c, q}) == 0, "a shape that is refused");
  };
  refused(0, 5, 5, 64, 16);
  refused(65536, 1, 1, 16, 16);
  refused(1, 0, 5, 64, 16);
  refused(1, 5, -1, 64, 16);
  refused(1, 5, 5, 60, 16);
  refused(1, 5, 5, 144, 48);
  refused(1, 5, 5, 64, 32);
  refused(1, 5, 5, 128, 16);
  refused(1, 1 << 13, 1 << 13, 32, 16);  // 2^31 values
  expect(cuda::branch_workspace_bytes({2, 5, 8, 64, 16}) == 2 * 3 * 4 * 16 * 2, "workspace of 2 x 5 x 8");
}

void check_refusals() {
  emulated::gpu = {};
  const BranchCase of(1, 5, 6, 16);
  const BranchTensors<Buffer> tensors(of);
  const size_t bytes = cuda::branch_workspace_bytes(of.shape());
  const Buffer workspace(bytes + 256);
  const int launches = emulated::launches;
  const auto refuses = [&](const cuda::BranchParams& p, Status expected, const char* what, size_t count) {
    expect(cuda::mask_branch(p, workspace.data(), count, nullptr) == expected, what);
    expect(emulated::launches == launches, std::string("nothing queued: ") + what);
  };
  cuda::BranchParams p = tensors.params;
  refuses(p, Status::kSmallWorkspace, "a small workspace", bytes - 1);
  p.shape.squeezed = 4;
  refuses(p, Status::kBadChannels, "4 squeezed channels", bytes);
  for (int i = 0; i < branch::kInputs; ++i) {
    p = tensors.params;
    p.inputs[i] = nullptr;
    refuses(p, Status::kBadPointer, "a null input", bytes);
  }
  p = tensors.params;
  p.inputs[branch::kFeatures] = static_cast<const char*>(p.inputs[branch::kFeatures]) + 8;
  refuses(p, Status::kBadPointer, "features at 8 bytes", bytes);
  p = tensors.params;
  p.margin = const_cast<char*>(static_cast<const char*>(p.inputs[branch::kFeatures])) + 2;
  refuses(p, Status::kOverlap, "a margin within the features", bytes);
  p = tensors.params;
  emulated::gpu.major = 7;
  emulated::gpu.minor = 2;
  refuses(p, Status::kBadDevice, "compute capability 7.2", bytes);
  emulated::gpu = {};
  expect(
      cuda::mask_branch(p, static_cast<char*>(workspace.data()) + 2, bytes, nullptr) == Status::kBadPointer,
      "an unaligned workspace");
  for (int launch = 0; launch < 2; ++launch) {
    emulated::gpu.launches_until_failure = launch;
    expect(cuda::mask_branch(p, workspace.data(), bytes, nullptr) == Status::kLaunchFailed,
           "a failing launch");
    cudaGetLastError();
  }
  emulated::gpu = {};
}

}  // namespace
}  // namespace smsr::testing

int main() {
  using namespace smsr::testing;
  check_shapes();
  check_refusals();
  for_each_branch_case(check_case);
  std::printf("largest relative error %.2e; %d passed, %d failed\n", worst_branch_error, passed, failed);
  return failed == 0 ? 0 : 1;
}
