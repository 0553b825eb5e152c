// An emulated GPU in one host thread: blocks run one after the other, the threads of a block as fibers that
// switch only where they wait for each other. What is undefined on a real GPU is an error here: threads that
// miss a barrier, lanes of a warp in different instructions, memory read before an asynchronous copy has
// completed.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "cuda_runtime_api.h"

namespace smsr::emulated {

// The GPU of the next launches.
struct Gpu {
  int major = 9, minor = 0, processors = 3;
  int shared_memory = 227 * 1024;
  bool reversed = false;            // blocks and warps run in the opposite order
  int launches_until_failure = -1;  // negative: none fails
  cudaError_t failure = cudaErrorLaunchFailure;
};
extern Gpu gpu;
extern int launches;  // so far

// Runs body once for each thread of each block. Shared memory starts as NaN in every block.
cudaError_t run_grid(int x, int y, int threads, size_t shared, int shared_allowed,
                     const std::function<void()>& body);

struct Place {
  int thread, threads, block_x, block_y, blocks_x;
};
const Place& place();  // of the running thread
void* shared_memory();
void sync_block();

// Waits until all 32 lanes of the warp have called it, runs `operation` once with what each lane brought, and
// lets all continue. Lanes that bring different operations end the program.
using Operation = void (*)(void* const (&brought)[32]);
void meet_warp(Operation operation, void* brought);

// Copies at the thread's next finish_copies(), not before.
void start_copy(void* to, const void* from, size_t bytes);
void finish_copies();

[[noreturn]] void fail(const std::string& what);

}  // namespace smsr::emulated
