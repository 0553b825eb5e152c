#include "machine.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace smsr::emulated {

Gpu gpu;
int launches = 0;

namespace {

cudaError_t last_error = cudaSuccess;
constexpr int kLanes = 32;
constexpr size_t kStack = 256 * 1024;

enum class State { kReady, kAtBarrier, kInWarp, kDone };

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStack]};
  ucontext_t context;
  jmp_buf jump;
  bool started = false;
  State state = State::kDone;
  std::vector<Copy> copies;
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
  for (int i = 0; i < x * y; ++i) {
    const int at = gpu.reversed ? x * y - 1 - i : i;
    block.place = {0, threads, at % x, at / x, x};
    run_block(threads, shared);
  }
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
    operation(warp.brought);
    warp.arrived = 0;
    for (int lane = 0; lane < kLanes; ++lane) fiber(first + lane).state = State::kReady;
    return;
  }
  fiber(self).state = State::kInWarp;
  yield();
}

void start_copy(void* to, const void* from, size_t bytes) {
  fiber(block.place.thread).copies.push_back({to, from, bytes});
}

void finish_copies() {
  std::vector<Copy>& copies = fiber(block.place.thread).copies;
  for (const Copy& copy : copies) std::memcpy(copy.to, copy.from, copy.bytes);
  copies.clear();
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
