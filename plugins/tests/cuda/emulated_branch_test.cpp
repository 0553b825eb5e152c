// The mask branch's kernels on the emulated GPU, compared with the double-precision reference.
#include <cstdio>
#include <new>

#include "branch_test.h"
#include "machine.h"

namespace smsr::testing {
namespace {

// Of exactly the given size: the address sanitizer detects accesses past its end. Filled with NaN.
class HostMemory {
 public:
  explicit HostMemory(size_t bytes) : bytes_(bytes), data_(::operator new(bytes, std::align_val_t(256))) {
    std::memset(data_, 0xff, bytes);
  }
  explicit HostMemory(const Bytes& from) : HostMemory(from.size()) {
    std::memcpy(data_, from.data(), bytes_);
  }
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  ~HostMemory() { ::operator delete(data_, std::align_val_t(256)); }
  void* data() const { return data_; }
  Bytes bytes() const {
    const auto* from = static_cast<const unsigned char*>(data_);
    return Bytes(from, from + bytes_);
  }

 private:
  size_t bytes_;
  void* data_;
};

void check_case(const BranchCase& of, const std::string& name) {
  emulated::gpu = {};
  const Bytes margin = run_branch<HostMemory>(of, name);
  check_branch_error(of, margin, name);
  emulated::gpu.reversed = true;  // other blocks compute other tiles, in another order
  emulated::gpu.processors = 7;
  emulated::gpu.major = 7;
  emulated::gpu.minor = 5;
  emulated::gpu.shared_memory = 64 * 1024;
  expect(run_branch<HostMemory>(of, name + " sm_75") == margin, name + ": other bits in another order");
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
  const BranchTensors<HostMemory> tensors(of);
  const size_t bytes = cuda::branch_workspace_bytes(of.shape());
  const HostMemory workspace(bytes + 256);
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
