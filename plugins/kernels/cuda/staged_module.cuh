// The whole module of sm_80 and newer in one launch: lists of pixels, convolutions, channel attention,
// collect. Its blocks wait for each other in between, at the cost of a barrier instead of a launch; weights
// of the next product are copied meanwhile.
#pragma once

#include "cuda/attention.cuh"
#include "cuda/pack.cuh"
#include "cuda/staged_gemm.cuh"

namespace smsr::cuda {

struct StagedModule {
  UnitSizes sizes;
  UnitPlan plan;
  uint32* counters;          // Plan::counters
  StagedInputs convolution;  // of the first layer
  StagedInputs collect;
  CollectOutputs output;
  Half* maps;           // [L, N, H, W, C]
  DenseChannels dense;  // of every layer
  int layer_vectors;    // of a layer's packed weights
  int weights_bytes;    // of shared memory: room for the largest product's, or 0
  ReduceParams reduce;
  AttentionParams attention;
  uint32* arrivals;  // at the barrier
  uint32* summed;    // [N] segments of an image that are summed
};

static_assert(kReduceThreads == kStagedThreads && kAttentionThreads == kStagedThreads &&
                  kPlanThreads == kStagedThreads && kPackThreads == kStagedThreads,
              "the same blocks");

template <class Kind, class Outputs>
SMSR_DEVICE void run_number(const StagedModule& m, const StagedInputs& in, const Outputs& to, int number,
                            GridBarrier* grid) {
  const PlanSizes& s = m.sizes.plan;
  run_product<Kind>(in, to, m.plan, s.batch, s.height * s.width, m.counters + number * kMaxSlices,
                    m.weights_bytes, grid);
}

template <class Kind>
SMSR_DEVICE void run_layer(const StagedModule& m, int layer, GridBarrier* grid) {
  StagedInputs in = m.convolution;
  if (layer > 0) {
    in.sources = m.maps + (layer - 1) * m.collect.stride;
    in.dense = static_cast<DenseChannels>(dense_of(m.dense, layer - 1));
    in.weights += static_cast<long long>(layer) * m.layer_vectors;
  }
  const long long sums = layer * m.reduce.units_stride * in.channels;
  const ConvolutionOutputs to = {m.maps + layer * m.collect.stride,
                                 const_cast<float*>(m.reduce.unit_sums) + sums, dense_of(m.dense, layer)};
  run_number<Kind>(m, in, to, layer, grid);
}

// Blocks take turns in the segments; the one that sums an image's last segment computes its scale.
SMSR_DEVICE void run_attention(const StagedModule& m, GridBarrier* grid) {
  prefetch_weights(m.attention);
  float* shared = static_cast<float*>(shared_memory());
  uint32* before = static_cast<uint32*>(shared_memory());
  grid->wait();
  const int of_image = m.reduce.layers * kSegments, all = m.reduce.batch * of_image;
  for (int i = block_x(); i < all; i += blocks_x()) {
    const int image = i / of_image;
    reduce_segment(m.reduce, i, shared);
    sync_block();
    if (thread_index() == 0) {
      fence_device();
      *before = atomic_add(m.summed + image, 1u);
      fence_device();
    }
    sync_block();
    const bool last = static_cast<int>(*before) == of_image - 1;
    sync_block();
    if (last) attend_image<Half>(m.attention, image, shared);
    sync_block();
  }
  grid->arrive();
}

// Three phases: units of every segment, their places among all units, their records. Work is spread over
// blocks before warps.
template <class Kind>
SMSR_DEVICE void list_units(const StagedModule& m, GridBarrier* grid) {
  using Record = typename Kind::Record;
  const int warp = thread_index() / kWarpSize, first = warp * blocks_x() + block_x();
  const int tasks = tasks_of(m.sizes), step = kStagedWarps * blocks_x();
  for (int task = first; task < tasks; task += step) divide_segment<Record>(m.sizes, m.plan, task);
  grid->arrive();
  grid->wait();
  for (int task = first; task < tasks; task += step) place_units(m.sizes, m.plan, task);
  grid->arrive();
  grid->wait();
  char* const shared = static_cast<char*>(shared_memory()) + warp * Kind::kWarpBytes;
  const int batch = m.sizes.plan.batch, units = m.plan.active_units[batch] + m.plan.inactive_units[batch];
  for (int unit = first; unit < units; unit += step)
    RecordWriter<Record>(m.sizes.plan, m.plan, m.plan.placed[unit], shared).write(m.plan, unit);
  grid->arrive();
}

// Blocks, all at once, after prepare_staged().
template <class Kind>
SMSR_KERNEL(kStagedThreads, 1)
void staged_module(StagedModule m) {
  GridBarrier grid(m.arrivals);
  list_units<Kind>(m, &grid);
#pragma unroll 1
  for (int layer = 0; layer < m.reduce.layers; ++layer) run_layer<Kind>(m, layer, &grid);
  run_attention(m, &grid);
  run_number<Kind>(m, m.collect, m.output, m.reduce.layers, &grid);
}

struct PrepareParams {
  PackParams<Half> pack;
  PlanSizes sizes;
  const Half* margin;  // [N, 1, H, W]
  const Half* theta;   // []
  Plan plan;
  int counters;
};

// What the module's launch needs: packed weights, the mask as bits, counters at zero. Blocks (any number,
// layers + 2): the last row reads the mask; the others pack.
[[maybe_unused]] static SMSR_KERNEL(kPlanThreads, 1) void prepare_staged(PrepareParams p) {
  if (block_y() <= p.pack.layers) {
    pack_layer<StagedTile, StagedTile>(p.pack, block_y());
    return;
  }
  if (block_x() == 0)
    for (int i = thread_index(); i < p.counters; i += kPlanThreads) p.plan.counters[i] = 0;
  for (int block = block_x(); block < p.sizes.batch * p.sizes.blocks; block += blocks_x())
    mark_block(p.sizes, p.margin, p.theta, p.plan, block);
}

}  // namespace smsr::cuda
