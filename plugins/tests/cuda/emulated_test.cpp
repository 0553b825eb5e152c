// The kernels of kernels/cuda on the emulated GPU, compared with the double-precision reference on the
// contract's cases. `smsr_cuda_emulated_test NAME...` runs only cases whose name contains one of these.
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "case_checks.h"
#include "cuda/module.h"
#include "interface_test.h"
#include "machine.h"

namespace smsr::testing {
namespace {

// Memory of exactly the given size (the address sanitizer detects accesses past its end), aligned to 256
// bytes and filled with 0xFF: NaN in both types, -1 as an index.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes), data_(::operator new(bytes, std::align_val_t(256))) {
    std::memset(data_, 0xff, bytes);
  }
  explicit Buffer(const Bytes& from) : Buffer(from.size()) { std::memcpy(data_, from.data(), bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { ::operator delete(data_, std::align_val_t(256)); }
  void* data() const { return data_; }
  Bytes bytes() const {
    const auto* from = static_cast<const unsigned char*>(data_);
    return Bytes(from, from + bytes_);
  }

 private:
  size_t bytes_;
  void* data_;
};

// kernels null: as the API chooses.
Bytes run(const ModuleCase& module_case, cuda::Layout layout, const std::string& where,
          const cuda::Kernels* kernels = nullptr) {
  std::vector<std::unique_ptr<Buffer>> inputs;
  void* pointers[op::kInputs];
  for (int i = 0; i < op::kInputs; ++i) {
    inputs.push_back(std::make_unique<Buffer>(module_case.input(i, layout)));
    pointers[i] = inputs.back()->data();
  }
  const cuda::Shape shape = module_case.shape(layout);
  const size_t bytes = cuda::workspace_bytes(shape);
  const Buffer workspace(bytes), output(module_case.output_bytes());
  const cuda::Params params = module_case.params(layout, pointers, output.data());
  const cuda::Device device = {emulated::gpu.processors, emulated::gpu.shared_memory};
  const Status status =
      kernels == nullptr ? cuda::sparse_mask_module(params, workspace.data(), bytes, nullptr)
                         : cuda::launch_module(*kernels, device, params, workspace.data(), bytes, nullptr);
  expect(status == Status::kOk, where + ": " + cuda::describe(status));
  for (int i = 0; i < op::kInputs; ++i)
    expect(inputs[static_cast<size_t>(i)]->bytes() == module_case.input(i, layout),
           where + ": input written");
  return output.bytes();
}

// Shared memory of compute capability 9.0, 8.0 and 8.6 hold different numbers of stages, with or without the
// weights.
void check_staged(ModuleCase* module_case, const std::string& where) {
  const cuda::Kernels kernels = cuda::Kernels::kStaged;
  emulated::gpu = {};
  const Bytes output = run(*module_case, cuda::Layout::kNhwc, where + " staged", &kernels);
  check_error(module_case, output, where + " staged", &worst_error[3]);
  for (const int kilobytes : {227, 163, 99}) {
    emulated::gpu = {};
    emulated::gpu.shared_memory = kilobytes * 1024;
    emulated::gpu.reversed = kilobytes != 163;
    emulated::gpu.processors = kilobytes == 163 ? 1 : 7;
    const cuda::Layout layout = kilobytes == 227 ? cuda::Layout::kNchw : cuda::Layout::kNhwc;
    const std::string what = where + " staged, " + std::to_string(kilobytes) + " KB";
    const Bytes other = run(*module_case, layout, what, &kernels);
    expect(module_case->same(output, cuda::Layout::kNhwc, other, layout), what + ": other bits");
  }
}

void check_case(const std::string& name, const Spec& spec, cuda::Type type) {
  const bool half = type == cuda::Type::kFloat16;
  const std::string where = name_of(name, type);
  ModuleCase module_case(spec, type);
  emulated::gpu = {};
  const Bytes output = run(module_case, cuda::Layout::kNhwc, where);
  check_error(&module_case, output, where, &worst_error[half]);
  const auto same = [&](cuda::Layout layout, const std::string& what) {
    const Bytes other = run(module_case, layout, where + what);
    expect(module_case.same(output, cuda::Layout::kNhwc, other, layout), where + what + ": other bits");
  };
  emulated::gpu.reversed = true;  // other warps compute other units, in another order
  emulated::gpu.processors = 5;
  same(cuda::Layout::kNchw, " NCHW");
  emulated::gpu = {};
  emulated::gpu.shared_memory = 48 * 1024;  // weights stay in global memory
  emulated::gpu.major = 7;
  emulated::gpu.minor = 5;
  same(cuda::Layout::kNhwc, " little shared memory");
  if (!half) return;
  check_staged(&module_case, where);
  emulated::gpu = {};
  emulated::gpu.major = 7;
  emulated::gpu.minor = 2;
  check_error(&module_case, run(module_case, cuda::Layout::kNhwc, where + " sm_72"), where + " sm_72",
              &worst_error[2]);
}

void check_cases(int count, char** parts) {
  // Lists that several thread blocks write, which no case of the contract has; more units than warps.
  const Spec blocks = {{2, 41, 90, 16, 2}, {6, 1}, "clustered"};
  for (const cuda::Type type : {cuda::Type::kFloat32, cuda::Type::kFloat16})
    if (chosen("blocks", count, parts)) check_case("blocks", blocks, type);
  float theta = 0.0f;
  for (const contract::Case& c : contract::kCases) {
    theta = 1.25f - theta;
    if (!chosen(c.name, count, parts)) continue;
    check_case(c.name, spec_of(c, theta), cuda::Type::kFloat32);
    check_case(c.name, spec_of(c, 1.25f - theta), cuda::Type::kFloat16);
  }
}

}  // namespace
}  // namespace smsr::testing

int main(int count, char** arguments) {
  using namespace smsr::testing;
  check_interface();
  check_cases(count - 1, arguments + 1);
  print_errors();
  std::printf("%d launches, %d passed, %d failed\n", smsr::emulated::launches, passed, failed);
  return failed == 0 ? 0 : 1;
}
