#pragma once

namespace smsr::testing {

void check_behaviour();

}  // namespace smsr::testing
