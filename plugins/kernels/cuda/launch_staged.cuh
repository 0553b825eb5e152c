// The module in two launches, pixels staged in shared memory: float16, sm_80 and newer, up to 64 channels.
#pragma once

#include "cuda/launch_module.cuh"
#include "cuda/staged_module.cuh"

namespace smsr::cuda {

class StagedLauncher : public Launcher<StagedTile, StagedTile> {
 public:
  using Launcher::Launcher;

 private:
  // [L + 1, kMaxSlices] units handed out, arrivals at the barrier, [N] segments that are summed.
  int counters() const { return (shape_.layers + 1) * kMaxSlices + 1 + shape_.batch; }

  void plan() override {
    const PlanSizes& sizes = workspace_.sizes;
    const PrepareParams p = {pack_params(),     sizes,           input(op::kMargin),
                             input(op::kTheta), workspace_.plan, counters()};
    const int packing = pack_blocks(p.pack), most = 8 * device_.processors,
              marking = sizes.batch * sizes.blocks;
    const int blocks = marking < packing ? packing : marking < most ? marking : most;
    queue(prepare_staged, blocks, shape_.layers + 2, kPlanThreads, kPlanShared, p);
  }

  // Small units, so that all warps of a GPU have some, for small images, and where there is no room for the
  // larger ones. So a GPU's shared memory decides on the order of the sums that channel attention takes.
  void compute(const void* features, void* output) override {
    const int rows = device_.unit_rows != 0 ? device_.unit_rows
                     : is_small(shape_)     ? kSmallUnitRows
                                            : kUnitRows;
    if (rows == kUnitRows && launch_fitting<StagedKind<LargeUnit, true>>(features, output)) return;
    if (launch_fitting<StagedKind<SmallUnit, true>>(features, output) ||
        launch_fitting<StagedKind<SmallUnit, false>>(features, output))
      return;
    if (status_ == cudaSuccess) status_ = cudaErrorInvalidDeviceFunction;
  }

  // Returns whether its shared memory fits.
  template <class Kind>
  bool launch_fitting(const void* features, void* output) {
    const int convolution = weights_bytes(kTaps), collect = weights_bytes(shape_.layers);
    const int weights = !Kind::kResident ? 0 : convolution < collect ? collect : convolution;
    size_t bytes = static_cast<size_t>(weights + kChunksBytes + kStagedWarps * Kind::kWarpBytes);
    if (bytes < attention_shared()) bytes = attention_shared();
    if (bytes > static_cast<size_t>(device_.shared_memory)) return false;
    StagedModule m = module<typename Kind::Record>(features, output);
    m.weights_bytes = weights;
    const auto kernel = staged_module<Kind>;
    // The same amount for every module, see GatherLauncher.
    if (status_ == cudaSuccess) status_ = allow_shared_memory(kernel, device_.shared_memory);
    // Blocks that run at once, one per multiprocessor; no more than there can be units.
    const long long units = workspace_.units;
    const int blocks = units < device_.processors ? static_cast<int>(units) : device_.processors;
    if (status_ == cudaSuccess)
      status_ = launch_together(kernel, blocks, 1, kStagedThreads, bytes, stream_, m);
    return true;
  }

  template <class Record>
  StagedModule module(const void* features, void* output) const {
    StagedModule m = {};
    m.sizes = unit_sizes(shape_, Record::kLeastColumns);
    m.plan = workspace_.units_plan;
    m.counters = workspace_.plan.counters;
    m.convolution = {static_cast<const Half*>(features),
                     0,
                     nullptr,
                     static_cast<DenseChannels>(shape_.channels),
                     packed(0),
                     kTaps,
                     shape_.channels};
    m.collect = {map(0),         workspace_.map_size,   static_cast<const Half*>(features),
                 all_dense(),    packed(shape_.layers), shape_.layers,
                 shape_.channels};
    m.output = {output, features, input(op::kCollectBias), workspace_.scale};
    m.maps = map(0);
    m.dense = all_dense();
    m.layer_vectors = static_cast<int>(packed(1) - packed(0));
    m.reduce = reduce_params();
    m.attention = attention_params();
    m.arrivals = workspace_.plan.counters + (shape_.layers + 1) * kMaxSlices;
    m.summed = m.arrivals + 1;
    return m;
  }

  int weights_bytes(int groups) const {
    return packed_size<StagedTile>(groups, shape_.channels) * static_cast<int>(sizeof(Half));
  }
};

}  // namespace smsr::cuda
