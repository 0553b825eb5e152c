// An emulated GPU in one host thread: blocks run one after the other, the threads of a block as fibers that
// switch only where they wait for each other. What is undefined on a real GPU is an error here: threads that
// miss a barrier, lanes of a warp in different instructions, memory read before an asynchronous copy has
// completed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

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

// Copies, or writes zeros where `from` is null, at the thread's next finish_copies() or for the waiters of a
// barrier at which start_arrival() let it arrive; not before.
void start_copy(void* to, const void* from, size_t bytes);
void finish_copies();

// A barrier in shared memory. Its phase ends with the `count`th arrival.
struct Barrier {
  uint16_t count, arrived;
  uint32_t phases;  // that have ended
};
void arrive(Barrier* barrier);
void start_arrival(Barrier* barrier);  // after the thread's copies so far
void wait_for(Barrier* barrier, int parity);

// What the running block's warps ask of the memories and tensor cores, counted where `counting`. The accesses
// that lanes make between two instructions of the whole warp are put together in their order.
struct Counts {
  long long load_requests, load_sectors;    // from global memory to registers; sectors of 32 bytes
  long long store_requests, store_sectors;  // to global memory
  long long copy_requests, copy_sectors;    // from global to shared memory
  long long shared_requests, shared_wavefronts, least_wavefronts;  // least: without bank conflicts
  long long matrix_loads, mma;                                     // ldmatrix.x4, m16n8k16
};
extern bool counting;
extern Counts counts;  // of the last launch
extern std::vector<Counts> launch_counts;
enum class Access { kGlobalLoad, kGlobalStore, kSharedLoad, kSharedStore, kCopy };
void note(Access access, const void* at, bool exists);  // 16 bytes of this lane
void note_rows(void* const (&rows)[32]);                // of a whole warp, read from shared memory
bool is_shared(const void* at);

[[noreturn]] void fail(const std::string& what);

}  // namespace smsr::emulated
