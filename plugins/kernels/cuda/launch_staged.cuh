// The module in two launches, pixels staged in shared memory: float16, sm_80 and newer.
#pragma once

#include "cuda/launch_module.cuh"
#include "cuda/staged_module.cuh"
#include "cuda/tile_lists.cuh"

namespace smsr::cuda {

// What of a product lies in shared memory.
struct Stages {
  int stages;     // 0: it does not fit
  bool resident;  // the weights too
  size_t bytes;
};

class StagedLauncher : public Launcher<StagedTile, StagedTile> {
 public:
  using Launcher::Launcher;

 private:
  // Not by the number of multiprocessors or the batch: an image's bits do not depend on them.
  bool small() const { return staged_tiles<ConvolutionBox>(shape_.height, shape_.width) < kFewTiles; }

  void plan() override { small() ? prepare<SmallConvolutionBox>() : prepare<ConvolutionBox>(); }

  template <class Box>
  void prepare() {
    const StagedInputs in = inputs<Box>(kTaps, 0);
    const Plan& plan = workspace_.plan;
    const ListParams list = {in,
                             input(op::kMargin),
                             input(op::kTheta),
                             plan.tiles,
                             pack_params(),
                             plan.counters,
                             (shape_.layers + 1) * kMaxSlices + 1 + shape_.batch};
    const int packing = pack_blocks(list.pack), most = 8 * device_.processors;
    const int listing = divide(shape_.batch * in.tiles_across * in.tiles_down, kPlanThreads / kWarpSize);
    const int blocks = listing < packing ? packing : listing < most ? listing : most;
    queue(prepare_staged<Box>, blocks, shape_.layers + 2, kPlanThreads, 0, list);
  }

  void compute(const void* features, void* output) override {
    const Stages collect = fit<CollectBox>(shape_.layers, 2, 2);
    if (small())
      launch_fitting<SmallConvolutionBox>(fit<SmallConvolutionBox>(kTaps, 1, 1), collect, features, output);
    else
      launch_fitting<ConvolutionBox>(fit<ConvolutionBox>(kTaps, 2, 1), collect, features, output);
  }

  // As many stages as fit, with the weights if at least `beside` do, else at least `alone`.
  template <class Box>
  Stages fit(int groups, int beside, int alone) const {
    for (const bool resident : {true, false}) {
      const int weights = resident ? weights_bytes(groups) : 0;
      for (int stages = kMaxStages; stages >= (resident ? beside : alone); --stages) {
        const int bytes = weights + Ring<Box>::bytes(shape_.channels, groups, stages);
        if (bytes <= device_.shared_memory) return {stages, resident, static_cast<size_t>(bytes)};
      }
    }
    return {};
  }

  template <class Box>
  void launch_fitting(const Stages& convolution, const Stages& collect, const void* features, void* output) {
    if (collect.stages == 0)  // many layers of many channels
      launch_kernel<Box, false, SmallCollectBox>(fit<Box>(kTaps, kMaxStages + 1, 1),
                                                 fit<SmallCollectBox>(shape_.layers, kMaxStages + 1, 1),
                                                 features, output);
    else if (convolution.resident)
      launch_kernel<Box, true, CollectBox>(convolution, collect, features, output);
    else
      launch_kernel<Box, false, CollectBox>(convolution, collect, features, output);
  }

  template <class Box, bool kResident, class Collect>
  void launch_kernel(const Stages& convolution, const Stages& collect, const void* features, void* output) {
    const int slices = divide(shape_.channels, StagedTile::kColumns);
    if (status_ == cudaSuccess && (convolution.stages == 0 || collect.stages == 0))
      status_ = cudaErrorInvalidDeviceFunction;
    StagedModule m = {};
    m.convolution = inputs<Box>(kTaps, 0);
    m.convolution.sources = features;
    m.convolution.dense = static_cast<DenseChannels>(shape_.channels);
    m.convolution.stages = convolution.stages;
    m.collect = inputs<Collect>(shape_.layers, shape_.layers);
    m.collect.sources = workspace_.maps;
    m.collect.stride = workspace_.map_size;
    m.collect.dense = m.dense = all_dense();
    m.collect.stages = collect.stages;
    m.collect.record_rows = m.convolution.record_rows;
    m.collect_resident = collect.resident;
    m.output = {output, features, input(op::kCollectBias), workspace_.scale};
    m.maps = map(0);
    m.packed_vectors = static_cast<int>(packed(1) - packed(0));
    m.reduce = reduce_params(m.convolution.tiles_across * m.convolution.tiles_down * Box::kUnits);
    m.attention = attention_params();
    m.arrivals = workspace_.plan.counters + (shape_.layers + 1) * kMaxSlices;
    m.summed = m.arrivals + 1;
    const auto kernel = staged_module<Box, kResident, Collect>;
    // The same amount for every module, see GatherLauncher.
    if (status_ == cudaSuccess) status_ = allow_shared_memory(kernel, device_.shared_memory);
    size_t bytes = convolution.bytes < collect.bytes ? collect.bytes : convolution.bytes;
    if (bytes < attention_shared()) bytes = attention_shared();
    const int together = device_.processors / slices;  // blocks that run at once: one per multiprocessor
    const long long tiles = 1LL * m.collect.tiles_across * m.collect.tiles_down * shape_.batch;
    if (status_ == cudaSuccess)
      status_ = launch_together(kernel, tiles < together ? static_cast<int>(tiles) : together, slices,
                                kStagedThreads, bytes, stream_, m);
  }

  int weights_bytes(int groups) const {
    return packed_size<StagedTile>(groups, shape_.channels) / divide(shape_.channels, StagedTile::kColumns) *
           static_cast<int>(sizeof(Half));
  }

  // What does not depend on sources and outputs. The collect's weights and counters lie behind all layers'.
  template <class Box>
  StagedInputs inputs(int groups, int layer) const {
    StagedInputs in = {};
    in.weights = packed(layer);
    in.weights_bytes = weights_bytes(groups);
    in.tiles = workspace_.plan.tiles;
    in.counters = workspace_.plan.counters + layer * kMaxSlices;
    in.sizes = workspace_.sizes;
    in.channels = shape_.channels;
    in.groups = groups;
    in.tiles_across = divide(shape_.width, kTileColumns);
    in.tiles_down = divide(shape_.height, Box::kRows);
    in.record_rows = Box::kRows;
    return in;
  }
};

}  // namespace smsr::cuda
