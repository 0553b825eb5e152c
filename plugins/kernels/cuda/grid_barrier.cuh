// A barrier of all blocks of a launch that launch_together() has queued. Its counter is zero before the
// launch.
#pragma once

#include "cuda/types.cuh"

namespace smsr::cuda {

// Each phase: arrive() once all threads of the block have done what others wait for, then wait() before they
// read what other blocks wrote. Between the two a block may do what needs no other block.
class GridBarrier {
 public:
  explicit SMSR_DEVICE GridBarrier(uint32* counter) : counter_(counter) {}

  SMSR_DEVICE void arrive() {
    sync_block();
    target_ += static_cast<uint32>(blocks_x() * blocks_y());
    if (thread_index() != 0) return;
    fence_device();
    atomic_add(counter_, 1u);
  }
  SMSR_DEVICE void wait() const {
    if (thread_index() == 0 && target_ > 0) wait_for_count(counter_, target_);
    sync_block();
  }

 private:
  uint32* counter_;
  uint32 target_ = 0;
};

}  // namespace smsr::cuda
