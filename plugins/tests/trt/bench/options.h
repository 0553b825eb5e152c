#pragma once

#include "session.h"

namespace smsr::engine_bench {

// Throws Failure; --help prints the options and ends the program.
Options parse_options(int count, char** words);

}  // namespace smsr::engine_bench
