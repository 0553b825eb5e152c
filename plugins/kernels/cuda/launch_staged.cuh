// The module's products with pixels staged in shared memory: float16, sm_80 and newer.
#pragma once

#include "cuda/launch_module.cuh"
#include "cuda/staged_gemm.cuh"

namespace smsr::cuda {

class StagedLauncher : public Launcher<StagedTile, StagedTile> {
 public:
  using Launcher::Launcher;

 private:
  void plan() override { mark((shape_.layers + 1) * kMaxSlices); }
  int units_per_image() const override { return staged_units(shape_.height, shape_.width); }

  void convolve(int layer, const void* from) override {
    StagedInputs in = {};
    in.sources = from;
    in.dense = static_cast<DenseChannels>(layer == 0 ? shape_.channels : dense(layer - 1));
    in.groups = kTaps;
    float* sums = workspace_.unit_sums + layer * workspace_.units * shape_.channels;
    const ConvolutionOutputs to = {map(layer), sums, dense(layer)};
    if (gemm<ConvolutionBox, true>(in, to, layer, 2) || gemm<ConvolutionBox, false>(in, to, layer, 1)) return;
    refuse();
  }

  void collect(const void* features, void* output) override {
    StagedInputs in = {};
    in.sources = workspace_.maps;
    in.stride = workspace_.map_size;
    in.dense = all_dense();
    in.groups = shape_.layers;
    const CollectOutputs to = {output, features, input(op::kCollectBias), workspace_.scale};
    if (gemm<CollectBox, true>(in, to, shape_.layers, 2) || gemm<CollectBox, false>(in, to, shape_.layers, 2) ||
        gemm<SmallCollectBox, false>(in, to, shape_.layers, 1))
      return;
    refuse();
  }

  void refuse() {
    if (status_ == cudaSuccess) status_ = cudaErrorInvalidDeviceFunction;
  }

  // Returns whether as many stages as that fit, and queues then.
  template <class Box, bool kResident, class Outputs>
  bool gemm(StagedInputs in, const Outputs& to, int layer, int least_stages) {
    const int slices = divide(shape_.channels, StagedTile::kColumns);
    in.weights = packed(layer);
    in.weights_bytes = packed_size<StagedTile>(in.groups, shape_.channels) / slices * 2;
    in.columns = workspace_.plan.columns;
    in.counters = workspace_.plan.counters + layer * kMaxSlices;
    in.sizes = workspace_.sizes;
    in.channels = shape_.channels;
    in.tiles_across = divide(shape_.width, kTileColumns);
    in.tiles_down = divide(shape_.height, Box::kRows);
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
    queue(kernel, blocks, slices, kStagedThreads, static_cast<size_t>(bytes(in.stages)), in, to);
    return true;
  }
};

}  // namespace smsr::cuda
