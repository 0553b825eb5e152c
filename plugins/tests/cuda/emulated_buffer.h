// A case's tensors in the memory of the emulated GPU.
#pragma once

#include <memory>

#include "host_memory.h"
#include "module_case.h"

namespace smsr::testing {

struct EmulatedCase {
  EmulatedCase(const ModuleCase& module_case, cuda::Layout layout)
      : workspace(cuda::workspace_bytes(module_case.shape(layout))), output(module_case.output_bytes()) {
    void* pointers[op::kInputs];
    for (int i = 0; i < op::kInputs; ++i) {
      inputs.push_back(std::make_unique<Buffer>(module_case.input(i, layout)));
      pointers[i] = inputs.back()->data();
    }
    params = module_case.params(layout, pointers, output.data());
  }
  std::vector<std::unique_ptr<Buffer>> inputs;
  Buffer workspace, output;
  cuda::Params params;
};

}  // namespace smsr::testing
