// The module's launches in their order, for one kind of tile.
#pragma once

#include "cuda/attention.cuh"
#include "cuda/gather_gemm.cuh"
#include "cuda/launch.h"
#include "cuda/module.h"
#include "cuda/pack.cuh"
#include "cuda/plan.cuh"
#include "cuda/transpose.cuh"
#include "cuda/workspace.h"

namespace smsr::cuda {

// ConvTile has kUnitRows rows, CollectTile fewer: its sums leave registers for 12 warps instead of 8.
template <class ConvTile, class CollectTile>
class Launcher {
 public:
  using T = typename ConvTile::Type;
  explicit Launcher(const Launch& launch)
      : device_(launch.device),
        params_(launch.params),
        shape_(launch.params.shape),
        workspace_(launch.workspace),
        stream_(launch.stream),
        status_(cudaSuccess) {}

  Status run() {
    const bool planar = shape_.layout == Layout::kNchw;
    const void* features = planar ? workspace_.features : input(op::kFeatures);
    void* output = planar ? workspace_.output : params_.output;
    pack();
    plan();
    if (planar) transpose_images(input(op::kFeatures), workspace_.features, shape_.channels, pixels());
    for (int layer = 0; layer < shape_.layers; ++layer)
      convolve(layer, layer == 0 ? features : map(layer - 1));
    attention();
    collect(features, output);
    if (planar) transpose_images(workspace_.output, params_.output, pixels(), shape_.channels);
    if (status_ == cudaSuccess) return Status::kOk;
    const bool no_code =
        status_ == cudaErrorNoKernelImageForDevice || status_ == cudaErrorInvalidDeviceFunction;
    if (no_code) cudaGetLastError();  // kBadDevice says it all
    return no_code ? Status::kBadDevice : Status::kLaunchFailed;
  }

 private:
  int pixels() const { return shape_.height * shape_.width; }
  const T* input(op::Input which) const { return static_cast<const T*>(params_.inputs[which]); }

  // Queues a kernel unless an earlier call failed.
  template <class... Parameters>
  void queue(void (*kernel)(Parameters...), int x, int y, int threads, size_t shared,
             typename As<Parameters>::type... arguments) {
    if (status_ == cudaSuccess) status_ = launch(kernel, x, y, threads, shared, stream_, arguments...);
  }

  void pack() {
    const int conv = packed_size<ConvTile>(kTaps, shape_.channels);
    const int collect = packed_size<CollectTile>(shape_.layers, shape_.channels);
    queue(pack_weights<ConvTile, CollectTile>, divide(conv, 4 * kPackThreads), shape_.layers + 1,
          kPackThreads, 0, input(op::kConvWeights), input(op::kCollectWeight), shape_.layers, shape_.channels,
          conv, collect, static_cast<T*>(workspace_.weights));
  }

  void plan() {
    const size_t shared = kPlanThreads / kWarpSize * sizeof(uint32);
    const PlanSizes& sizes = workspace_.sizes;
    const int blocks = shape_.batch * sizes.blocks;
    queue(mark_columns<T>, blocks, 1, kPlanThreads, shared, sizes, input(op::kMargin), input(op::kTheta),
          workspace_.plan);
    queue(write_lists, blocks + 1, 1, kPlanThreads, shared, sizes, workspace_.plan,
          (shape_.layers + 1) * kMaxSlices);
  }

  // [N, rows, columns] -> [N, columns, rows]
  void transpose_images(const void* from, void* to, int rows, int columns) {
    const long long tiles =
        static_cast<long long>(divide(rows, kTransposeTile)) * divide(columns, kTransposeTile);
    const long long blocks = tiles * shape_.batch, most = 16LL * device_.processors;
    queue(transpose<T>, static_cast<int>(blocks < most ? blocks : most), 1, kTransposeThreads,
          sizeof(T) * kTransposeTile * (kTransposeTile + 1), static_cast<const T*>(from), static_cast<T*>(to),
          shape_.batch, rows, columns);
  }

  Lists lists(int layer) const {
    const Plan& plan = workspace_.plan;
    return {plan.entries,
            plan.active_count,
            plan.active_units,
            plan.inactive_units,
            plan.counters + layer * kMaxSlices,
            shape_.batch,
            pixels()};
  }

  T* map(int layer) const { return static_cast<T*>(workspace_.maps) + layer * workspace_.map_size; }
  int dense(int layer) const { return params_.dense_channels[layer]; }
  DenseChannels all_dense() const {
    DenseChannels all = 0;
    for (int layer = 0; layer < shape_.layers; ++layer)
      all |= static_cast<DenseChannels>(dense(layer)) << (8 * layer);
    return all;
  }

  void convolve(int layer, const void* from) {
    GemmInputs in = {};
    in.sources = from;
    in.dense = static_cast<DenseChannels>(layer == 0 ? shape_.channels : dense(layer - 1));
    in.groups = kTaps;
    float* sums = workspace_.unit_sums + layer * workspace_.units * shape_.channels;
    gemm<ConvTile>(in, ConvolutionOutputs{map(layer), sums, dense(layer)}, layer);
  }

  void collect(const void* features, void* output) {
    GemmInputs in = {};
    in.sources = workspace_.maps;
    in.stride = workspace_.map_size;
    in.dense = all_dense();
    in.groups = shape_.layers;
    gemm<CollectTile>(in, CollectOutputs{output, features, input(op::kCollectBias), workspace_.scale},
                      shape_.layers);
  }

  template <class Tile, class Outputs>
  void gemm(GemmInputs in, const Outputs& to, int layer) {
    const size_t offset =
        static_cast<size_t>(packed_size<ConvTile>(kTaps, shape_.channels)) * static_cast<size_t>(layer);
    in.weights = reinterpret_cast<const Vector*>(static_cast<const T*>(workspace_.weights) + offset);
    in.channels = shape_.channels;
    in.width = shape_.width;
    const int slices = divide(shape_.channels, Tile::kColumns), threads = kGemmThreads<Tile>;
    const int bytes = packed_size<Tile>(in.groups, shape_.channels) / slices * static_cast<int>(sizeof(T));
    // More blocks than units have nothing to do; how many units there are is known on the device only.
    const long long units = workspace_.units * (kUnitRows / Tile::kRows);
    const int blocks = static_cast<int>(units < device_.processors ? units : device_.processors);
    if (bytes <= device_.shared_memory) {
      const auto kernel = gather_gemm<Tile, Outputs, true>;
      // The same amount for every module: one with smaller weights, on another thread, must not lower it
      // before this launch.
      if (status_ == cudaSuccess) status_ = allow_shared_memory(kernel, device_.shared_memory);
      queue(kernel, blocks, slices, threads, static_cast<size_t>(bytes), in, to, lists(layer), bytes);
    } else {
      queue(gather_gemm<Tile, Outputs, false>, blocks, slices, threads, 0, in, to, lists(layer), bytes);
    }
  }

  void attention() {
    const Plan& plan = workspace_.plan;
    const ReduceParams reduce = {workspace_.unit_sums, workspace_.segment_sums, plan.active_units,
                                 plan.inactive_units,  workspace_.units,        shape_.batch,
                                 shape_.layers,        shape_.channels,         all_dense()};
    queue(reduce_units, kSegments * shape_.layers * shape_.batch, 1, kReduceThreads,
          kReduceThreads * sizeof(float), reduce);
    const AttentionParams attention = {workspace_.segment_sums,
                                       input(op::kCollectWeight),
                                       input(op::kCollectBias),
                                       input(op::kSqueezeWeight),
                                       input(op::kSqueezeBias),
                                       input(op::kExciteWeight),
                                       input(op::kExciteBias),
                                       workspace_.scale,
                                       shape_.layers,
                                       shape_.channels,
                                       static_cast<float>(pixels())};
    const int floats = (shape_.layers + 1) * shape_.channels + shape_.channels / kReduction;
    queue(attend<T>, shape_.batch, 1, kAttentionThreads, static_cast<size_t>(floats) * sizeof(float),
          attention);
  }

  static int divide(int value, int by) { return static_cast<int>(smsr::divide_up(value, by)); }

  const Device& device_;
  const Params& params_;
  const Shape& shape_;
  const Workspace& workspace_;
  cudaStream_t stream_;
  cudaError_t status_;
};

template <template <int> class Tile>
Status launch_with(const Launch& launch) {
  return Launcher<Tile<kUnitRows>, Tile<kCollectRows>>(launch).run();
}

}  // namespace smsr::cuda
