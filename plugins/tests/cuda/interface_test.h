#pragma once

namespace smsr::testing {
void check_interface();  // interface_test.cpp
}  // namespace smsr::testing
