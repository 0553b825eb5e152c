// An emulated GPU in one host thread: blocks run one after the other, those of a cooperative launch in turn,
// the threads of a block as fibers that switch only where they wait for each other. What is undefined on a
// real GPU is an error here: threads that miss a barrier, lanes of a warp in different instructions, memory
// read before an asynchronous copy has completed.
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
  bool reversed = false;  // blocks and warps run in the opposite order
  bool fair = false;  // blocks of a cooperative launch take turns where they take work; else each runs until
                      // it must wait
  int launches_until_failure = -1;  // negative: none fails
  cudaError_t failure = cudaErrorLaunchFailure;
};
extern Gpu gpu;
extern int launches;  // so far

struct Grid {
  int x, y, threads;
  size_t shared;
  bool together;  // a cooperative launch: all blocks run at once, and may wait for each other
};
// Runs `thread` once for each thread of each block. Shared memory starts as NaN in every block.
cudaError_t run_grid(const Grid& grid, int shared_allowed, const std::function<void()>& thread);

struct Place {
  int thread, threads, block_x, block_y, blocks_x, blocks_y;
};
const Place& place();  // of the running thread
void* shared_memory();
void sync_block();

// Waits until all 32 lanes of the warp have called it, runs `operation` once with what each lane brought, and
// lets all continue. Lanes that bring different operations end the program.
using Operation = void (*)(void* const (&brought)[32]);
void meet_warp(Operation operation, void* brought);

// Copies, or writes zeros where `from` is null, at the thread's next finish_copies(), or when it waits for
// the group that commit_copies() made of the copies before it; not before.
void start_copy(void* to, const void* from, size_t bytes);
void finish_copies();
void commit_copies();
void wait_for_copies(int left);  // for all groups but the last `left`

// Lets the other blocks of a cooperative launch take from the counter first.
void let_others_take();
// Waits until other blocks have raised a count. What is counted from here on belongs to the next phase.
void wait_for_count(const uint32_t* at, uint32_t least);

// What the running block's warps ask of the memories and tensor cores, counted where `counting`. The accesses
// that lanes make between two instructions of the whole warp are put together in their order.
struct Counts {
  long long load_requests, load_sectors;    // from global memory to registers; sectors of 32 bytes
  long long store_requests, store_sectors;  // to global memory
  long long copy_requests, copy_sectors;    // from global to shared memory
  long long shared_requests, shared_wavefronts, least_wavefronts;  // least: without bank conflicts
  long long matrix_loads, mma;                                     // ldmatrix.x4, m16n8k16
  long long most_of_block, most_of_warp;                           // the largest number of mma of one
};
extern bool counting;
extern std::vector<Counts> launch_counts;  // of each launch, or of each phase of a cooperative one
enum class Access { kGlobalLoad, kGlobalStore, kSharedLoad, kSharedStore, kCopy };
void note(Access access, const void* at, bool exists);  // 16 bytes of this lane
void note_mma();                                        // of a whole warp
void note_rows(void* const (&rows)[32]);                // of a whole warp, read from shared memory
bool is_shared(const void* at);

[[noreturn]] void fail(const std::string& what);

}  // namespace smsr::emulated
