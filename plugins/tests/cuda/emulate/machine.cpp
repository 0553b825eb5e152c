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
Counts counts;
std::vector<Counts> launch_counts;

namespace {

cudaError_t last_error = cudaSuccess;
constexpr int kLanes = 32;
constexpr size_t kStack = 256 * 1024;

enum class State { kReady, kAtBarrier, kInWarp, kDone };

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  Barrier* barrier;  // not null: no copy, but an arrival after the copies before it
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

// The running block; its fibers are reused by the next one.
struct Block {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Warp> warps;
  std::unique_ptr<char[]> shared;
  size_t shared_bytes = 0;
  int polls = 0;  // since a barrier's phase ended
  const std::function<void()>* body = nullptr;
  Place place{};
  int at_barrier = 0;
  Fiber scheduler;
} block;

Fiber& fiber(int thread) { return *block.fibers[static_cast<size_t>(thread)]; }

#if defined(__SANITIZE_ADDRESS__)
const void* scheduler_stack = nullptr;
size_t scheduler_stack_size = 0;

// Switches from one fiber to another; returns after a switch back. The sanitizer must know which stack is in
// use.
void change(Fiber& from, Fiber& to, bool ends = false) {
  const bool back = &to == &block.scheduler;
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
  const int threads = block.place.threads, warps = threads / kLanes, warp = after / kLanes;
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
  const int self = block.place.thread, next = find_ready(self);
  if (next == self) return;
  if (next >= 0) block.place.thread = next;
  change(fiber(self), next >= 0 ? fiber(next) : block.scheduler, ends);
  block.place.thread = self;
}

// Lets every other thread that can run go first.
void poll() {
  const int self = block.place.thread, threads = block.place.threads;
  if (++block.polls > 1000 * threads) fail("threads wait forever for a barrier in shared memory");
  for (int i = 1; i < threads; ++i) {
    const int next = (self + (gpu.reversed ? threads - i : i)) % threads;
    if (fiber(next).state != State::kReady) continue;
    block.place.thread = next;
    change(fiber(self), fiber(next));
    block.place.thread = self;
    return;
  }
}

void perform(const Copy& copy) {
  if (copy.barrier != nullptr)
    arrive(copy.barrier);
  else if (copy.from != nullptr)
    std::memcpy(copy.to, copy.from, copy.bytes);
  else
    std::memset(copy.to, 0, copy.bytes);
}

// The copies of all threads that have been asked to arrive at the barrier, and these arrivals.
void perform_arrivals(const Barrier* barrier) {
  for (int i = 0; i < block.place.threads; ++i) {
    std::vector<Copy>& copies = fiber(i).copies;
    size_t count = 0;
    for (size_t at = 0; at < copies.size(); ++at)
      if (copies[at].barrier == barrier) count = at + 1;
    for (size_t at = 0; at < count; ++at) perform(copies[at]);
    copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

// Wavefronts of up to 32 accesses of 16 bytes to shared memory: eight lanes at a time, each of 8 groups of
// four banks serves one address.
void count_wavefronts(const std::vector<const void*>& lanes) {
  counts.shared_requests += 1;
  for (size_t first = 0; first < lanes.size(); first += 8) {
    std::vector<const void*> banks[8];
    bool any = false;
    for (size_t i = first; i < std::min(first + 8, lanes.size()); ++i) {
      if (lanes[i] == nullptr) continue;
      any = true;
      const auto offset = static_cast<size_t>(static_cast<const char*>(lanes[i]) - block.shared.get());
      std::vector<const void*>& bank = banks[offset / 16 % 8];
      if (std::find(bank.begin(), bank.end(), lanes[i]) == bank.end()) bank.push_back(lanes[i]);
    }
    size_t most = 0;
    for (const auto& bank : banks) most = std::max(most, bank.size());
    counts.shared_wavefronts += static_cast<long long>(most);
    counts.least_wavefronts += any ? 1 : 0;
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
      if (access == Access::kGlobalLoad) count_sectors(lanes, &counts.load_requests, &counts.load_sectors);
      if (access == Access::kGlobalStore) count_sectors(lanes, &counts.store_requests, &counts.store_sectors);
      if (access == Access::kCopy) count_sectors(lanes, &counts.copy_requests, &counts.copy_sectors);
    }
  for (int lane = 0; lane < kLanes; ++lane) fiber(warp * kLanes + lane).noted.clear();
}

void fiber_main() {
  arrive();
  (*block.body)();
  Fiber& self = fiber(block.place.thread);
  if (!self.copies.empty()) fail("a thread ended with copies on their way");
  self.state = State::kDone;
  yield(true);
  fail("a thread ran on after its end");
}

void prepare(int threads, size_t shared) {
  while (block.fibers.size() < static_cast<size_t>(threads))
    block.fibers.push_back(std::make_unique<Fiber>());
  block.warps.assign(static_cast<size_t>(threads) / kLanes, Warp());
  block.shared.reset(new char[shared]);
  block.shared_bytes = shared;
  block.polls = 0;
  std::memset(block.shared.get(), 0xff, shared);
  block.at_barrier = 0;
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

void run_block(int threads, size_t shared) {
  prepare(threads, shared);
  block.scheduler.started = true;
  const int first = find_ready(threads - 1);
  block.place.thread = first;
  change(block.scheduler, fiber(first));
  int waiting[4] = {};
  for (int i = 0; i < threads; ++i) ++waiting[static_cast<int>(fiber(i).state)];
  if (waiting[static_cast<int>(State::kDone)] != threads)
    fail("threads wait forever: " + std::to_string(waiting[static_cast<int>(State::kAtBarrier)]) +
         " at a barrier, " + std::to_string(waiting[static_cast<int>(State::kInWarp)]) + " for their warp, " +
         std::to_string(waiting[static_cast<int>(State::kDone)]) + " have ended");
  if (counting)
    for (int warp = 0; warp < threads / kLanes; ++warp) count_noted(warp);
}

}  // namespace

void fail(const std::string& what) {
  std::printf("FAILED emulated GPU: %s (block %d, %d, thread %d)\n", what.c_str(), block.place.block_x,
              block.place.block_y, block.place.thread);
  std::fflush(stdout);
  std::abort();
}

cudaError_t run_grid(int x, int y, int threads, size_t shared, int shared_allowed,
                     const std::function<void()>& body) {
  ++launches;
  if (gpu.launches_until_failure >= 0 && gpu.launches_until_failure-- == 0) return last_error = gpu.failure;
  if (x < 1 || y < 1 || y > 65535 || threads < 1 || threads > 1024 || threads % kLanes != 0)
    return cudaErrorInvalidConfiguration;
  if (shared > static_cast<size_t>(shared_allowed)) return cudaErrorInvalidValue;
  block.body = &body;
  counts = {};
  for (int i = 0; i < x * y; ++i) {
    const int at = gpu.reversed ? x * y - 1 - i : i;
    block.place = {0, threads, at % x, at / x, x};
    run_block(threads, shared);
  }
  if (counting) launch_counts.push_back(counts);
  return cudaSuccess;
}

const Place& place() { return block.place; }
void* shared_memory() { return block.shared.get(); }

void sync_block() {
  const int threads = block.place.threads;
  if (++block.at_barrier == threads) {
    block.at_barrier = 0;
    for (int i = 0; i < threads; ++i)
      if (fiber(i).state == State::kAtBarrier) fiber(i).state = State::kReady;
    return;
  }
  fiber(block.place.thread).state = State::kAtBarrier;
  yield();
}

void meet_warp(Operation operation, void* brought) {
  const int self = block.place.thread, first = self / kLanes * kLanes;
  Warp& warp = block.warps[static_cast<size_t>(self / kLanes)];
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
  fiber(block.place.thread).copies.push_back({to, from, bytes, nullptr});
}

void finish_copies() {
  std::vector<Copy>& copies = fiber(block.place.thread).copies;
  for (const Copy& copy : copies) perform(copy);
  copies.clear();
}

void arrive(Barrier* barrier) {
  if (++barrier->arrived < barrier->count) return;
  barrier->arrived = 0;
  ++barrier->phases;
  block.polls = 0;
}

void start_arrival(Barrier* barrier) {
  fiber(block.place.thread).copies.push_back({nullptr, nullptr, 0, barrier});
}

void wait_for(Barrier* barrier, int parity) {
  perform_arrivals(barrier);
  while (static_cast<int>(barrier->phases % 2) == parity) {
    poll();
    perform_arrivals(barrier);
  }
}

void note(Access access, const void* at, bool exists) {
  fiber(block.place.thread).noted.push_back({access, at, exists});
}

void note_rows(void* const (&rows)[32]) {
  ++counts.matrix_loads;
  count_wavefronts(std::vector<const void*>(rows, rows + kLanes));
}

bool is_shared(const void* at) {
  return at >= block.shared.get() && at < block.shared.get() + block.shared_bytes;
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
