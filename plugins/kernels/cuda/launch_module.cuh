// The module's launches in their order.
#pragma once

#include "cuda/attention.cuh"
#include "cuda/checks.h"
#include "cuda/launch.h"
#include "cuda/module.h"
#include "cuda/pack.cuh"
#include "cuda/plan.cuh"
#include "cuda/transpose.cuh"
#include "cuda/workspace.h"

namespace smsr::cuda {

// What all kernels share; their products are pure virtual. The tiles say how weights are packed.
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
  virtual ~Launcher() = default;

  Status run() {
    const bool planar = shape_.layout == Layout::kNchw;
    const void* features = planar ? workspace_.features : input(op::kFeatures);
    void* output = planar ? workspace_.output : params_.output;
    plan();
    if (planar) transpose_images(input(op::kFeatures), workspace_.features, shape_.channels, pixels());
    compute(features, output);
    if (planar) transpose_images(workspace_.output, params_.output, pixels(), shape_.channels);
    return status_of(status_);
  }

 protected:
  virtual void plan() = 0;  // packs weights, turns the mask into lists
  // features, output [N, H, W, C]
  virtual void compute(const void* features, void* output) = 0;

  int pixels() const { return shape_.height * shape_.width; }
  const T* input(op::Input which) const { return static_cast<const T*>(params_.inputs[which]); }

  // Queues a kernel unless an earlier call failed.
  template <class... Parameters>
  void queue(void (*kernel)(Parameters...), int x, int y, int threads, size_t shared,
             typename As<Parameters>::type... arguments) {
    if (status_ == cudaSuccess) status_ = launch(kernel, x, y, threads, shared, stream_, arguments...);
  }

  PackParams<T> pack_params() const {
    return {input(op::kConvWeights),
            input(op::kCollectWeight),
            shape_.layers,
            shape_.channels,
            packed_size<ConvTile>(kTaps, shape_.channels),
            packed_size<CollectTile>(shape_.layers, shape_.channels),
            static_cast<T*>(workspace_.weights)};
  }
  // Blocks that share the packing of a layer's weights.
  static int pack_blocks(const PackParams<T>& pack) { return divide(pack.conv_size, 4 * kPackThreads); }

  // [N, rows, columns] -> [N, columns, rows]
  void transpose_images(const void* from, void* to, int rows, int columns) {
    const long long tiles =
        static_cast<long long>(divide(rows, kTransposeTile)) * divide(columns, kTransposeTile);
    const long long blocks = tiles * shape_.batch, most = 16LL * device_.processors;
    queue(transpose<T>, static_cast<int>(blocks < most ? blocks : most), 1, kTransposeThreads,
          sizeof(T) * kTransposeTile * (kTransposeTile + 1), static_cast<const T*>(from), static_cast<T*>(to),
          shape_.batch, rows, columns);
  }

  T* map(int layer) const { return static_cast<T*>(workspace_.maps) + layer * workspace_.map_size; }
  int dense(int layer) const { return params_.dense_channels[layer]; }
  DenseChannels all_dense() const {
    DenseChannels all = 0;
    for (int layer = 0; layer < shape_.layers; ++layer)
      all |= static_cast<DenseChannels>(dense(layer)) << (8 * layer);
    return all;
  }

  // Packed weights of a layer, or, behind all layers, of the collect.
  const Vector* packed(int layer) const {
    const size_t offset =
        static_cast<size_t>(packed_size<ConvTile>(kTaps, shape_.channels)) * static_cast<size_t>(layer);
    return reinterpret_cast<const Vector*>(static_cast<const T*>(workspace_.weights) + offset);
  }

  ReduceParams reduce_params() const {
    const Plan& plan = workspace_.plan;
    return {workspace_.unit_sums, workspace_.segment_sums, plan.active_units,
            plan.inactive_units,  workspace_.units,        shape_.batch,
            shape_.layers,        shape_.channels,         all_dense()};
  }
  AttentionParams attention_params() const {
    return {workspace_.segment_sums,
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
  }
  size_t attention_shared() const {
    const size_t bytes =
        sizeof(float) * static_cast<size_t>(attention_floats(shape_.layers, shape_.channels));
    return bytes < kReduceShared ? kReduceShared : bytes;
  }

  static int divide(int value, int by) { return static_cast<int>(smsr::divide_up(value, by)); }

  const Device& device_;
  const Params& params_;
  const Shape& shape_;
  const Workspace& workspace_;
  cudaStream_t stream_;
  cudaError_t status_;
};

}  // namespace smsr::cuda
