// The module's products with pixels gathered from global memory: any GPU, any type.
#pragma once

#include "cuda/gather_gemm.cuh"
#include "cuda/launch_module.cuh"
#include "cuda/lists.cuh"

namespace smsr::cuda {

// ConvTile has kUnitRows rows, CollectTile fewer: its sums leave registers for 12 warps instead of 8.
template <class ConvTile, class CollectTile>
class GatherLauncher : public Launcher<ConvTile, CollectTile> {
  using Base = Launcher<ConvTile, CollectTile>;
  using T = typename Base::T;

 public:
  using Base::Base;

 private:
  void plan() override {
    const PlanSizes& sizes = this->workspace_.sizes;
    const Plan& plan = this->workspace_.plan;
    const PackParams<T> pack = this->pack_params();
    this->queue(pack_weights<ConvTile, CollectTile>, Base::pack_blocks(pack), this->shape_.layers + 1,
                kPackThreads, 0, pack);
    this->queue(mark_columns<T>, sizes.batch * sizes.blocks, 1, kPlanThreads, kPlanShared, sizes,
                this->input(op::kMargin), this->input(op::kTheta), plan);
    this->queue(write_lists, sizes.batch * sizes.blocks + 1, 1, kPlanThreads, kPlanShared, sizes, plan,
                (this->shape_.layers + 1) * kMaxSlices);
  }

  void compute(const void* features, void* output) override {
    for (int layer = 0; layer < this->shape_.layers; ++layer)
      convolve(layer, layer == 0 ? features : this->map(layer - 1));
    this->queue(reduce_units, kSegments * this->shape_.layers * this->shape_.batch, 1, kReduceThreads,
                kReduceShared, this->reduce_params());
    this->queue(attend<T>, this->shape_.batch, 1, kAttentionThreads, this->attention_shared(),
                this->attention_params());
    collect(features, output);
  }

  Lists lists(int layer) const {
    const Plan& plan = this->workspace_.plan;
    return {plan.entries,
            plan.active_count,
            plan.active_units,
            plan.inactive_units,
            plan.counters + layer * kMaxSlices,
            this->shape_.batch,
            this->pixels()};
  }

  // Layer `layer`: from [N, H, W, C] to map(layer).
  void convolve(int layer, const void* from) {
    GemmInputs in = {};
    in.sources = from;
    in.dense = static_cast<DenseChannels>(layer == 0 ? this->shape_.channels : this->dense(layer - 1));
    in.groups = kTaps;
    float* sums = this->workspace_.unit_sums + layer * this->workspace_.units * this->shape_.channels;
    gemm<ConvTile>(in, ConvolutionOutputs{this->map(layer), sums, this->dense(layer)}, layer);
  }

  void collect(const void* features, void* output) {
    GemmInputs in = {};
    in.sources = this->workspace_.maps;
    in.stride = this->workspace_.map_size;
    in.dense = this->all_dense();
    in.groups = this->shape_.layers;
    gemm<CollectTile>(in,
                      CollectOutputs{output, features, this->input(op::kCollectBias), this->workspace_.scale},
                      this->shape_.layers);
  }

  template <class Tile, class Outputs>
  void gemm(GemmInputs in, const Outputs& to, int layer) {
    in.weights = this->packed(layer);
    in.channels = this->shape_.channels;
    in.width = this->shape_.width;
    const int slices = Base::divide(this->shape_.channels, Tile::kColumns), threads = kGemmThreads<Tile>;
    const int bytes =
        packed_size<Tile>(in.groups, this->shape_.channels) / slices * static_cast<int>(sizeof(T));
    // More blocks than units have nothing to do; how many units there are is known on the device only.
    const long long units = this->workspace_.units * (kUnitRows / Tile::kRows);
    const int blocks = static_cast<int>(units < this->device_.processors ? units : this->device_.processors);
    if (bytes <= this->device_.shared_memory) {
      const auto kernel = gather_gemm<Tile, Outputs, true>;
      // The same amount for every module: one with smaller weights, on another thread, must not lower it
      // before this launch.
      if (this->status_ == cudaSuccess)
        this->status_ = allow_shared_memory(kernel, this->device_.shared_memory);
      this->queue(kernel, blocks, slices, threads, static_cast<size_t>(bytes), in, to, lists(layer), bytes);
    } else {
      this->queue(gather_gemm<Tile, Outputs, false>, blocks, slices, threads, 0, in, to, lists(layer), bytes);
    }
  }
};

template <template <int> class Tile>
Status launch_with(const Launch& launch) {
  return GatherLauncher<Tile<kUnitRows>, Tile<kCollectRows>>(launch).run();
}

}  // namespace smsr::cuda
