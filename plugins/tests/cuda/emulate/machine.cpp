#include "machine.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace smsr::emulated {

Gpu gpu;
int launches = 0;
bool counting = false;
std::vector<Counts> launch_counts;

namespace {

cudaError_t last_error = cudaSuccess;
constexpr int kLanes = 32;
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStack = 256 * 1024;
#else
constexpr size_t kStack = 64 * 1024;
#endif

// kBehind: other blocks run first.
enum class State { kReady, kAtBarrier, kInWarp, kBehind, kDone };

struct Copy {
  void* to;
  const void* from;
  size_t bytes;  // 0: no copy, but the end of a group
};

// The accesses of one lane that are not yet counted.
struct Noted {
  Access access;
  const void* at;
  bool exists;
};

struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStack]};
  ucontext_t context;
  jmp_buf jump;
  bool started = false;
  State state = State::kDone;
  std::vector<Copy> copies;
  std::vector<Noted> noted;
  void* sanitizer = nullptr;
};

struct Warp {
  Operation operation = nullptr;
  int arrived = 0;
  void* brought[kLanes];
};

// Its fibers are reused by the next launch's.
struct Block {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Warp> warps;
  std::unique_ptr<char[]> shared;
  size_t shared_bytes = 0;
  Place place{};
  int at_barrier = 0;
  size_t phase = 0;            // barriers of the whole launch that it has passed
  std::vector<long long> mma;  // of each warp, in this phase
};

std::vector<std::unique_ptr<Block>> blocks;  // that run together
Block* running = nullptr;
Fiber scheduler;
const std::function<void()>* body = nullptr;
bool together = false;       // the launch guarantees that all of its blocks run together
bool progress = false;       // in this round through the blocks
std::vector<Counts> phases;  // of the launch

Fiber& fiber(int thread) { return *running->fibers[static_cast<size_t>(thread)]; }
Counts& counts() { return phases[running->phase]; }

#if defined(__SANITIZE_ADDRESS__)
const void* scheduler_stack = nullptr;
size_t scheduler_stack_size = 0;

// Switches from one fiber to another; returns after a switch back. The sanitizer must know which stack is in
// use.
void change(Fiber& from, Fiber& to, bool ends = false) {
  const bool back = &to == &scheduler;
  __sanitizer_start_switch_fiber(ends ? nullptr : &from.sanitizer, back ? scheduler_stack : to.stack.get(),
                                 back ? scheduler_stack_size : kStack);
  to.started = true;
  swapcontext(&from.context, &to.context);
  __sanitizer_finish_switch_fiber(from.sanitizer, nullptr, nullptr);
}

// A fiber's first action. The first fiber of all comes from the scheduler, whose stack is recorded.
void arrive() {
  const void* stack = nullptr;
  size_t size = 0;
  __sanitizer_finish_switch_fiber(nullptr, &stack, &size);
  if (scheduler_stack != nullptr) return;
  scheduler_stack = stack;
  scheduler_stack_size = size;
}
#else
// The same without system calls: ucontext only starts a fiber, longjmp switches between them.
void change(Fiber& from, Fiber& to, bool = false) {
  if (_setjmp(from.jump) != 0) return;
  if (to.started) _longjmp(to.jump, 1);
  to.started = true;
  setcontext(&to.context);
}
void arrive() {}
#endif

// The next thread that can run, the same warp's first; -1: none.
int find_ready(int after) {
  const int threads = running->place.threads, warps = threads / kLanes, warp = after / kLanes;
  for (int i = 1; i <= kLanes; ++i) {
    const int thread = warp * kLanes + (after + i) % kLanes;
    if (fiber(thread).state == State::kReady) return thread;
  }
  for (int i = 0; i < warps; ++i) {
    const int other = gpu.reversed ? warps - 1 - i : i;
    for (int lane = 0; lane < kLanes; ++lane)
      if (fiber(other * kLanes + lane).state == State::kReady) return other * kLanes + lane;
  }
  return -1;
}

// Lets other threads run until this one is ready again.
void yield(bool ends = false) {
  const int self = running->place.thread, next = find_ready(self);
  if (next == self) return;
  if (next >= 0) running->place.thread = next;
  change(fiber(self), next >= 0 ? fiber(next) : scheduler, ends);
  running->place.thread = self;
}

int threads_in(State state) {
  int count = 0;
  for (int i = 0; i < running->place.threads; ++i) count += fiber(i).state == state ? 1 : 0;
  return count;
}

void let_others() {
  fiber(running->place.thread).state = State::kBehind;
  yield();
}

void perform(const Copy& copy) {
  if (copy.from != nullptr)
    std::memcpy(copy.to, copy.from, copy.bytes);
  else if (copy.bytes > 0)
    std::memset(copy.to, 0, copy.bytes);
}

// Wavefronts of up to 32 accesses of 16 bytes to shared memory: eight lanes at a time, each of 8 groups of
// four banks serves one address.
void count_wavefronts(const std::vector<const void*>& lanes) {
  counts().shared_requests += 1;
  for (size_t first = 0; first < lanes.size(); first += 8) {
    std::vector<const void*> banks[8];
    bool any = false;
    for (size_t i = first; i < std::min(first + 8, lanes.size()); ++i) {
      if (lanes[i] == nullptr) continue;
      any = true;
      const auto offset = static_cast<size_t>(static_cast<const char*>(lanes[i]) - running->shared.get());
      std::vector<const void*>& bank = banks[offset / 16 % 8];
      if (std::find(bank.begin(), bank.end(), lanes[i]) == bank.end()) bank.push_back(lanes[i]);
    }
    size_t most = 0;
    for (const auto& bank : banks) most = std::max(most, bank.size());
    counts().shared_wavefronts += static_cast<long long>(most);
    counts().least_wavefronts += any ? 1 : 0;
  }
}

void count_sectors(const std::vector<const void*>& lanes, long long* requests, long long* sectors) {
  std::set<uintptr_t> touched;
  for (const void* at : lanes)
    if (at != nullptr) touched.insert(reinterpret_cast<uintptr_t>(at) / 32);
  *requests += 1;
  *sectors += static_cast<long long>(touched.size());
}

// Counts what the lanes of a warp have noted.
void count_noted(int warp) {
  size_t most = 0;
  for (int lane = 0; lane < kLanes; ++lane) most = std::max(most, fiber(warp * kLanes + lane).noted.size());
  for (size_t i = 0; i < most; ++i)
    for (const Access access : {Access::kGlobalLoad, Access::kGlobalStore, Access::kSharedLoad,
                                Access::kSharedStore, Access::kCopy}) {
      std::vector<const void*> lanes(kLanes, nullptr);
      bool any = false;
      for (int lane = 0; lane < kLanes; ++lane) {
        const std::vector<Noted>& noted = fiber(warp * kLanes + lane).noted;
        if (i >= noted.size() || noted[i].access != access) continue;
        any = true;
        if (noted[i].exists) lanes[static_cast<size_t>(lane)] = noted[i].at;
      }
      if (!any) continue;
      if (access == Access::kSharedLoad || access == Access::kSharedStore) count_wavefronts(lanes);
      if (access == Access::kGlobalLoad)
        count_sectors(lanes, &counts().load_requests, &counts().load_sectors);
      if (access == Access::kGlobalStore)
        count_sectors(lanes, &counts().store_requests, &counts().store_sectors);
      if (access == Access::kCopy) count_sectors(lanes, &counts().copy_requests, &counts().copy_sectors);
    }
  for (int lane = 0; lane < kLanes; ++lane) fiber(warp * kLanes + lane).noted.clear();
}

void fiber_main() {
  arrive();
  (*body)();
  Fiber& self = fiber(running->place.thread);
  if (!self.copies.empty()) fail("a thread ended with copies on their way");
  self.state = State::kDone;
  yield(true);
  fail("a thread ran on after its end");
}

void prepare(int threads, size_t shared) {
  while (running->fibers.size() < static_cast<size_t>(threads))
    running->fibers.push_back(std::make_unique<Fiber>());
  running->warps.assign(static_cast<size_t>(threads) / kLanes, Warp());
  running->shared.reset(new char[shared]);
  running->shared_bytes = shared;
  std::memset(running->shared.get(), 0xff, shared);
  running->at_barrier = 0;
  running->phase = 0;
  running->mma.assign(running->warps.size(), 0);
  for (int i = 0; i < threads; ++i) {
    Fiber& f = fiber(i);
    f.started = false;
    f.state = State::kReady;
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.get();
    f.context.uc_stack.ss_size = kStack;
    f.context.uc_link = nullptr;
    makecontext(&f.context, fiber_main, 0);
  }
}

// Adds up what the running block's warps did since it last passed a barrier of the whole launch.
void end_phase() {
  long long all = 0;
  for (size_t warp = 0; warp < running->warps.size(); ++warp) {
    if (counting) count_noted(static_cast<int>(warp));
    all += running->mma[warp];
    counts().most_of_warp = std::max(counts().most_of_warp, running->mma[warp]);
  }
  counts().mma += all;
  counts().most_of_block = std::max(counts().most_of_block, all);
  running->mma.assign(running->warps.size(), 0);
}

// Runs the block until it has ended or waits for other blocks; returns whether it has ended.
bool run_block() {
  const int threads = running->place.threads;
  for (int i = 0; i < threads; ++i)
    if (fiber(i).state == State::kBehind) fiber(i).state = State::kReady;
  scheduler.started = true;
  const int first = find_ready(threads - 1);
  running->place.thread = first;
  change(scheduler, fiber(first));
  if (threads_in(State::kBehind) > 0) return false;
  if (threads_in(State::kDone) != threads)
    fail("threads wait forever: " + std::to_string(threads_in(State::kAtBarrier)) + " at a barrier, " +
         std::to_string(threads_in(State::kInWarp)) + " for their warp, " +
         std::to_string(threads_in(State::kDone)) + " have ended");
  end_phase();
  return true;
}

void start_block(size_t at, const Place& place, size_t shared) {
  while (blocks.size() <= at) blocks.push_back(std::make_unique<Block>());
  running = blocks[at].get();
  running->place = place;
  prepare(place.threads, shared);
}

// All blocks in turn, each until it must wait for others.
void run_together(int count) {
  std::vector<bool> ended(static_cast<size_t>(count));
  while (std::find(ended.begin(), ended.end(), false) != ended.end()) {
    progress = false;
    for (size_t i = 0; i < ended.size(); ++i) {
      const size_t at = gpu.reversed ? ended.size() - 1 - i : i;
      running = blocks[at].get();
      if (!ended[at] && run_block()) ended[at] = progress = true;
    }
    if (!progress) fail("blocks wait for each other forever");
  }
}

}  // namespace

void fail(const std::string& what) {
  std::printf("FAILED emulated GPU: %s (block %d, %d, thread %d)\n", what.c_str(), running->place.block_x,
              running->place.block_y, running->place.thread);
  std::fflush(stdout);
  std::abort();
}

cudaError_t run_grid(const Grid& grid, int shared_allowed, const std::function<void()>& thread) {
  ++launches;
  const int x = grid.x, y = grid.y, threads = grid.threads;
  if (gpu.launches_until_failure >= 0 && gpu.launches_until_failure-- == 0) return last_error = gpu.failure;
  if (x < 1 || y < 1 || y > 65535 || threads < 1 || threads > 1024 || threads % kLanes != 0)
    return cudaErrorInvalidConfiguration;
  if (grid.shared > static_cast<size_t>(shared_allowed)) return cudaErrorInvalidValue;
  if (grid.together && x * y > gpu.processors) return last_error = cudaErrorCooperativeLaunchTooLarge;
  body = &thread;
  together = grid.together;
  phases.assign(1, Counts());
  for (int i = 0; i < x * y; ++i) {
    const int at = gpu.reversed && !together ? x * y - 1 - i : i;
    start_block(together ? static_cast<size_t>(at) : 0, {0, threads, at % x, at / x, x, y}, grid.shared);
    if (!together && !run_block()) fail("a block waits for others in a launch whose blocks run one by one");
  }
  if (together) run_together(x * y);
  if (counting) launch_counts.insert(launch_counts.end(), phases.begin(), phases.end());
  return cudaSuccess;
}

const Place& place() { return running->place; }
void* shared_memory() { return running->shared.get(); }

void sync_block() {
  const int threads = running->place.threads;
  if (++running->at_barrier == threads) {
    running->at_barrier = 0;
    for (int i = 0; i < threads; ++i)
      if (fiber(i).state == State::kAtBarrier) fiber(i).state = State::kReady;
    return;
  }
  fiber(running->place.thread).state = State::kAtBarrier;
  yield();
}

void meet_warp(Operation operation, void* brought) {
  const int self = running->place.thread, first = self / kLanes * kLanes;
  Warp& warp = running->warps[static_cast<size_t>(self / kLanes)];
  if (warp.arrived == 0) warp.operation = operation;
  if (warp.operation != operation) fail("lanes of a warp meet in different instructions");
  warp.brought[self % kLanes] = brought;
  if (++warp.arrived == kLanes) {
    if (counting) count_noted(self / kLanes);
    operation(warp.brought);
    warp.arrived = 0;
    for (int lane = 0; lane < kLanes; ++lane) fiber(first + lane).state = State::kReady;
    return;
  }
  fiber(self).state = State::kInWarp;
  yield();
}

void start_copy(void* to, const void* from, size_t bytes) {
  fiber(running->place.thread).copies.push_back({to, from, bytes});
}

void finish_copies() {
  std::vector<Copy>& copies = fiber(running->place.thread).copies;
  for (const Copy& copy : copies) perform(copy);
  copies.clear();
}

void commit_copies() { fiber(running->place.thread).copies.push_back({nullptr, nullptr, 0}); }

void wait_for_copies(int left) {
  std::vector<Copy>& copies = fiber(running->place.thread).copies;
  size_t count = copies.size();
  for (int groups = 0; count > 0; --count)
    if (copies[count - 1].bytes == 0 && groups++ == left) break;
  for (size_t i = 0; i < count; ++i) perform(copies[i]);
  copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(count));
}

void let_others_take() {
  progress = true;
  if (!together || !gpu.fair) return;
  let_others();
}

void wait_for_count(const uint32_t* at, uint32_t least) {
  while (*at < least) {
    let_others();
  }
  progress = true;
  end_phase();
  if (phases.size() == ++running->phase) phases.emplace_back();
}

void note_mma() { ++running->mma[static_cast<size_t>(running->place.thread / kLanes)]; }

void note(Access access, const void* at, bool exists) {
  fiber(running->place.thread).noted.push_back({access, at, exists});
}

void note_rows(void* const (&rows)[32]) {
  ++counts().matrix_loads;
  count_wavefronts(std::vector<const void*>(rows, rows + kLanes));
}

bool is_shared(const void* at) {
  return at >= running->shared.get() && at < running->shared.get() + running->shared_bytes;
}

}  // namespace smsr::emulated

cudaError_t cudaGetLastError() { return std::exchange(smsr::emulated::last_error, cudaSuccess); }

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "emulated failure";
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return smsr::emulated::gpu.major > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const smsr::emulated::Gpu& gpu = smsr::emulated::gpu;
  *value = attribute == cudaDevAttrMultiProcessorCount      ? gpu.processors
           : attribute == cudaDevAttrComputeCapabilityMajor ? gpu.major
           : attribute == cudaDevAttrComputeCapabilityMinor ? gpu.minor
                                                            : gpu.shared_memory;
  return cudaSuccess;
}
