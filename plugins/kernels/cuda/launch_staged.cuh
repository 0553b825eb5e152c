// The module's products with pixels staged in shared memory: float16, sm_80 and newer.
#pragma once

#include "cuda/launch_module.cuh"
#include "cuda/staged_gemm.cuh"
#include "cuda/tile_lists.cuh"

namespace smsr::cuda {

class StagedLauncher : public Launcher<StagedTile, StagedTile> {
 public:
  using Launcher::Launcher;

 private:
  void plan() override {
    mark((shape_.layers + 1) * kMaxSlices);
    const StagedInputs in = inputs<ConvolutionBox>(kTaps, 0);
    const int blocks = divide(shape_.batch * in.tiles_across * in.tiles_down, kPlanThreads / kWarpSize);
    const int most = 8 * device_.processors;
    queue(list_tiles, blocks < most ? blocks : most, 1, kPlanThreads, 0, in, workspace_.plan.tiles);
  }
  int units_per_image() const override { return staged_units(shape_.height, shape_.width); }

  void convolve(int layer, const void* from) override {
    StagedInputs in = inputs<ConvolutionBox>(kTaps, layer);
    in.sources = from;
    in.dense = static_cast<DenseChannels>(layer == 0 ? shape_.channels : dense(layer - 1));
    float* sums = workspace_.unit_sums + layer * workspace_.units * shape_.channels;
    const ConvolutionOutputs to = {map(layer), sums, dense(layer)};
    if (gemm<ConvolutionBox, true>(in, to, 2) || gemm<ConvolutionBox, false>(in, to, 1)) return;
    refuse();
  }

  void collect(const void* features, void* output) override {
    const CollectOutputs to = {output, features, input(op::kCollectBias), workspace_.scale};
    if (gemm<CollectBox, true>(collect_inputs<CollectBox>(), to, 2) ||
        gemm<CollectBox, false>(collect_inputs<CollectBox>(), to, 2) ||
        gemm<SmallCollectBox, false>(collect_inputs<SmallCollectBox>(), to, 1))
      return;
    refuse();
  }

  // What does not depend on sources and outputs. The collect's weights and counters lie behind all layers'.
  template <class Box>
  StagedInputs inputs(int groups, int layer) const {
    StagedInputs in = {};
    in.weights = packed(layer);
    in.weights_bytes = packed_size<StagedTile>(groups, shape_.channels) /
                       divide(shape_.channels, StagedTile::kColumns) * static_cast<int>(sizeof(Half));
    in.columns = workspace_.plan.columns;
    in.tiles = workspace_.plan.tiles;
    in.counters = workspace_.plan.counters + layer * kMaxSlices;
    in.sizes = workspace_.sizes;
    in.channels = shape_.channels;
    in.groups = groups;
    in.tiles_across = divide(shape_.width, kTileColumns);
    in.tiles_down = divide(shape_.height, Box::kRows);
    return in;
  }

  template <class Box>
  StagedInputs collect_inputs() const {
    StagedInputs in = inputs<Box>(shape_.layers, shape_.layers);
    in.sources = workspace_.maps;
    in.stride = workspace_.map_size;
    in.dense = all_dense();
    return in;
  }

  void refuse() {
    if (status_ == cudaSuccess) status_ = cudaErrorInvalidDeviceFunction;
  }

  // Returns whether as many stages as that fit, and queues then.
  template <class Box, bool kResident, class Outputs>
  bool gemm(StagedInputs in, const Outputs& to, int least_stages) {
    const int fixed = kResident ? in.weights_bytes : 0;
    const auto bytes = [&](int stages) { return fixed + Ring<Box>::bytes(in.channels, in.groups, stages); };
    in.stages = kMaxStages;
    while (in.stages > 0 && bytes(in.stages) > device_.shared_memory) --in.stages;
    if (in.stages < least_stages) return false;
    const long long tiles = 1LL * in.tiles_across * in.tiles_down * shape_.batch;
    const int blocks = static_cast<int>(tiles < device_.processors ? tiles : device_.processors);
    const auto kernel = staged_gemm<Box, Outputs, kResident>;
    // The same amount for every module, see GatherLauncher.
    if (status_ == cudaSuccess) status_ = allow_shared_memory(kernel, device_.shared_memory);
    queue(kernel, blocks, divide(shape_.channels, StagedTile::kColumns), kStagedThreads,
          static_cast<size_t>(bytes(in.stages)), in, to);
    return true;
  }
};

}  // namespace smsr::cuda
