// The kernels of kernels/cuda on the emulated GPU, compared with the double-precision reference on the
// contract's cases. `smsr_cuda_emulated_test NAME...` runs only cases whose name contains one of these,
// `smsr_cuda_emulated_test --environment` only what SMSR_CUDA_KERNEL chooses.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "behaviour_test.h"
#include "case_checks.h"
#include "cuda/module.h"
#include "emulated_buffer.h"
#include "interface_test.h"
#include "machine.h"

namespace smsr::testing {
namespace {

// kernels null: as the API chooses. unit_rows: see cuda::Device.
Bytes run(const ModuleCase& module_case, cuda::Layout layout, const std::string& where,
          const cuda::Kernels* kernels = nullptr, int unit_rows = 0) {
  EmulatedCase tensors(module_case, layout);
  const size_t bytes = cuda::workspace_bytes(tensors.params.shape);
  const cuda::Device device = {emulated::gpu.processors, emulated::gpu.shared_memory, unit_rows};
  void* workspace = tensors.workspace.data();
  if (emulated::gpu.reversed) std::memset(workspace, 0x7f, bytes);  // other numbers than the buffer's
  const Status status =
      kernels == nullptr ? cuda::sparse_mask_module(tensors.params, workspace, bytes, nullptr)
                         : cuda::launch_module(*kernels, device, tensors.params, workspace, bytes, nullptr);
  expect(status == Status::kOk, where + ": " + cuda::describe(status));
  for (int i = 0; i < op::kInputs; ++i)
    expect(tensors.inputs[static_cast<size_t>(i)]->bytes() == module_case.input(i, layout),
           where + ": input written");
  return tensors.output.bytes();
}

// Units of both sizes. Shared memory of compute capability 9.0, 8.0 and 8.6 hold different numbers of chunks,
// with or without the weights; that of 9.0 alone has room for the larger units.
void check_staged(ModuleCase* module_case, const std::string& where) {
  const cuda::Kernels kernels = cuda::Kernels::kStaged;
  emulated::gpu = {};
  const auto staged = [&](cuda::Layout layout, int rows, const std::string& what) {
    return run(*module_case, layout, where + " staged, " + what, &kernels, rows);
  };
  const Bytes small = staged(cuda::Layout::kNhwc, 32, "units of 32");
  const Bytes large = staged(cuda::Layout::kNhwc, 64, "units of 64");
  check_error(module_case, small, where + " staged", &worst_error[3]);
  check_error(module_case, large, where + " staged, units of 64", &worst_error[3]);
  for (const int kilobytes : {227, 163, 99}) {
    emulated::gpu = {};
    emulated::gpu.shared_memory = kilobytes * 1024;
    emulated::gpu.reversed = kilobytes != 163;
    emulated::gpu.fair = kilobytes == 99;
    emulated::gpu.processors = kilobytes == 163 ? 2 : 7;
    const cuda::Layout layout = kilobytes == 227 ? cuda::Layout::kNchw : cuda::Layout::kNhwc;
    for (const int rows : {32, 64}) {
      const std::string what = std::to_string(kilobytes) + " KB, units of " + std::to_string(rows);
      const Bytes& same = rows == 64 && kilobytes == 227 ? large : small;
      expect(module_case->same(same, cuda::Layout::kNhwc, staged(layout, rows, what), layout),
             where + " staged, " + what + ": other bits");
    }
  }
}

void check_case(const std::string& name, const Spec& spec, cuda::Type type) {
  const bool half = type == cuda::Type::kFloat16;
  const std::string where = name_of(name, type);
  const cuda::Kernels gather = half ? cuda::Kernels::kTensorCore : cuda::Kernels::kFloat;
  ModuleCase module_case(spec, type);
  emulated::gpu = {};
  const Bytes output = run(module_case, cuda::Layout::kNhwc, where, &gather);
  check_error(&module_case, output, where, &worst_error[half]);
  const auto same = [&](cuda::Layout layout, const std::string& what, const cuda::Kernels* kernels) {
    const Bytes other = run(module_case, layout, where + what, kernels);
    expect(module_case.same(output, cuda::Layout::kNhwc, other, layout), where + what + ": other bits");
  };
  emulated::gpu.reversed = true;  // other warps compute other units, in another order
  emulated::gpu.processors = 5;
  same(cuda::Layout::kNchw, " NCHW", &gather);
  emulated::gpu = {};
  emulated::gpu.shared_memory = 48 * 1024;  // weights stay in global memory
  emulated::gpu.major = 7;
  emulated::gpu.minor = 5;
  same(cuda::Layout::kNhwc, " little shared memory", nullptr);
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
  if (count == 2 && std::strcmp(arguments[1], "--environment") == 0) {
    check_environment();
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
  }
  check_interface();
  check_behaviour();
  check_cases(count - 1, arguments + 1);
  print_errors();
  std::printf("%d launches, %d passed, %d failed\n", smsr::emulated::launches, passed, failed);
  return failed == 0 ? 0 : 1;
}
