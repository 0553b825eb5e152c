// The whole module of sm_80 and newer in one launch: convolutions, channel attention, collect. Its blocks
// wait for each other in between, at the cost of a barrier instead of a launch; weights of the next product
// are copied meanwhile.
#pragma once

#include "cuda/attention.cuh"
#include "cuda/staged_gemm.cuh"

namespace smsr::cuda {

struct StagedModule {
  StagedInputs convolution;  // of the first layer
  StagedInputs collect;
  CollectOutputs output;
  Half* maps;           // [L, N, H, W, C]
  DenseChannels dense;  // of every layer
  int packed_vectors;   // of a layer's weights
  bool collect_resident;
  ReduceParams reduce;
  AttentionParams attention;
  uint32* arrivals;  // at the barrier
  uint32* summed;    // [N] segments of an image that are summed
};

static_assert(kReduceThreads == kStagedThreads && kAttentionThreads == kStagedThreads, "the same blocks");

template <class Box, bool kResident>
SMSR_DEVICE void run_layer(const StagedModule& m, int layer, GridBarrier* grid) {
  StagedInputs in = m.convolution;
  if (layer > 0) {
    in.sources = m.maps + (layer - 1) * m.collect.stride;
    in.dense = static_cast<DenseChannels>(dense_of(m.dense, layer - 1));
    in.weights += static_cast<long long>(layer) * m.packed_vectors;
    in.counters += layer * kMaxSlices;
  }
  const long long sums = layer * m.reduce.units_stride * in.channels;
  const ConvolutionOutputs to = {m.maps + layer * m.collect.stride,
                                 const_cast<float*>(m.reduce.unit_sums) + sums, dense_of(m.dense, layer)};
  run_product<Box>(in, to, kResident, grid);
}

// Blocks take turns in the segments; the one that sums an image's last segment computes its scale.
SMSR_DEVICE void run_attention(const StagedModule& m, GridBarrier* grid) {
  float* shared = static_cast<float*>(shared_memory());
  uint32* before = static_cast<uint32*>(shared_memory());
  grid->wait();
  const int of_image = m.reduce.layers * kSegments, all = m.reduce.batch * of_image;
  for (int i = block_x() + block_y() * blocks_x(); i < all; i += blocks_x() * blocks_y()) {
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

// Blocks (any number, slices), all at once.
template <class Box, bool kResident, class Collect>
SMSR_KERNEL(kStagedThreads, 1)
void staged_module(StagedModule m) {
  GridBarrier grid(m.arrivals);
#pragma unroll 1
  for (int layer = 0; layer < m.reduce.layers; ++layer) run_layer<Box, kResident>(m, layer, &grid);
  run_attention(m, &grid);
  run_product<Collect>(m.collect, m.output, m.collect_resident, &grid);
}

}  // namespace smsr::cuda
