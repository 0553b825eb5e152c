// The whole module of sm_80 and newer in one launch: lists of pixels, convolutions, channel attention,
// collect. Its blocks wait for each other in between, at the cost of a barrier instead of a launch; weights
// of the next product are copied meanwhile.
#pragma once

#include "cuda/attention.cuh"
#include "cuda/lists.cuh"
#include "cuda/pack.cuh"
#include "cuda/staged_gemm.cuh"

namespace smsr::cuda {

struct StagedModule {
  PlanSizes sizes;
  Plan plan;
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

SMSR_DEVICE Lists lists_of(const StagedModule& m, int layer) {
  const Plan& p = m.plan;
  return {p.entries,
          p.active_count,
          p.active_units,
          p.inactive_units,
          p.counters + layer * kMaxSlices,
          m.sizes.batch,
          m.sizes.height * m.sizes.width};
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
  run_product<Kind>(in, to, lists_of(m, layer), m.weights_bytes, grid);
}

// Blocks take turns in the segments; the one that sums an image's last segment computes its scale.
SMSR_DEVICE void run_attention(const StagedModule& m, GridBarrier* grid) {
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

// Blocks, all at once, after prepare_staged().
template <class Kind>
SMSR_KERNEL(kStagedThreads, 1)
void staged_module(StagedModule m) {
  GridBarrier grid(m.arrivals);
  for (int block = block_x(); block <= m.sizes.batch * m.sizes.blocks; block += blocks_x())
    list_block(m.sizes, m.plan, Kind::kRows, block);
  grid.arrive();
#pragma unroll 1
  for (int layer = 0; layer < m.reduce.layers; ++layer)
    run_layer<Kind>(m, layer, &grid);
  run_attention(m, &grid);
  run_product<Kind>(m.collect, m.output, lists_of(m, m.reduce.layers), m.weights_bytes, &grid);
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
