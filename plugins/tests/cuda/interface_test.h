#pragma once

namespace smsr::testing {
void check_interface();    // interface_test.cpp
void check_environment();  // what SMSR_CUDA_KERNEL of this process chooses
}  // namespace smsr::testing
