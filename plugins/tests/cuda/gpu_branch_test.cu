// The mask branch on a GPU, compared with the double-precision reference.
#include <cstdio>

#include "branch_test.h"
#include "gpu_memory.h"

namespace smsr::testing {
namespace {

void check_case(const BranchCase& of, const std::string& name) {
  const Bytes margin = run_branch<GpuMemory>(of, name);
  check_branch_error(of, margin, name);
  expect(run_branch<GpuMemory>(of, name) == margin, name + ": other bits the second time");
}

}  // namespace
}  // namespace smsr::testing

int main() {
  using namespace smsr::testing;
  for_each_branch_case(check_case);
  std::printf("mask branch: largest relative error %.2e; %d passed, %d failed\n", worst_branch_error, passed,
              failed);
  return failed == 0 ? 0 : 1;
}
