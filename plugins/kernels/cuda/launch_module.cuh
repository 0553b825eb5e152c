// The order of work, for one kind of tile.
#pragma once

#include "attention.cuh"
#include "cuda_workspace.h"
#include "gather_gemm.cuh"
#include "launch.h"
#include "module.h"
#include "pack.cuh"
#include "plan.cuh"
#include "transpose.cuh"

namespace smsr {
namespace cuda {

// ConvTile has kUnitRows rows, CollectTile fewer: smaller sums leave registers for 12 warps instead of 8.
template <class ConvTile, class CollectTile>
class Launcher {
 public:
  using T = typename ConvTile::Type;
  Launcher(const Device& device, const smsr_cuda_module& module, const Workspace& w, cudaStream_t stream)
      : device_(device), m_(module), s_(module.shape), w_(w), stream_(stream), status_(cudaSuccess) {}

  smsr_cuda_status run() {
    const bool planar = s_.layout == SMSR_CUDA_NCHW;
    const void* features = planar ? w_.features : m_.features;
    void* output = planar ? w_.output : m_.output;
    pack();
    plan();
    if (planar) turn(m_.features, w_.features, s_.channels, pixels());
    for (int layer = 0; layer < s_.layers; ++layer) convolve(layer, layer == 0 ? features : map(layer - 1));
    attention();
    collect(features, output);
    if (planar) turn(w_.output, m_.output, pixels(), s_.channels);
    if (status_ == cudaSuccess) return SMSR_CUDA_OK;
    const bool no_code =
        status_ == cudaErrorNoKernelImageForDevice || status_ == cudaErrorInvalidDeviceFunction;
    if (no_code) cudaGetLastError();  // the status says all of it
    return no_code ? SMSR_CUDA_BAD_DEVICE : SMSR_CUDA_LAUNCH_FAILED;
  }

 private:
  int pixels() const { return s_.height * s_.width; }

  // Queues a kernel unless something failed before.
  template <class... Parameters>
  void queue(void (*kernel)(Parameters...), int x, int y, int threads, size_t shared,
             typename As<Parameters>::type... arguments) {
    if (status_ == cudaSuccess) status_ = launch(kernel, x, y, threads, shared, stream_, arguments...);
  }

  void pack() {
    const int conv = packed_size<ConvTile>(kTaps, s_.channels);
    const int collect = packed_size<CollectTile>(s_.layers, s_.channels);
    queue(pack_weights<ConvTile, CollectTile>, divide(conv, 4 * kPackThreads), s_.layers + 1, kPackThreads, 0,
          static_cast<const T*>(m_.conv_weights), static_cast<const T*>(m_.collect_weight), s_.layers,
          s_.channels, conv, collect, static_cast<T*>(w_.weights));
  }

  void plan() {
    const size_t shared = kPlanThreads / kWarpSize * sizeof(uint32);
    const int blocks = s_.batch * w_.sizes.blocks;
    queue(mark_columns<T>, blocks, 1, kPlanThreads, shared, w_.sizes, static_cast<const T*>(m_.margin),
          static_cast<const T*>(m_.theta), w_.plan);
    queue(write_lists, blocks + 1, 1, kPlanThreads, shared, w_.sizes, w_.plan, (s_.layers + 1) * kMaxSlices);
  }

  // [N, rows, columns] -> [N, columns, rows]
  void turn(const void* from, void* to, int rows, int columns) {
    const long long tiles =
        static_cast<long long>(divide(rows, kTransposeTile)) * divide(columns, kTransposeTile);
    const long long blocks = tiles * s_.batch, most = 16LL * device_.processors;
    queue(transpose<T>, static_cast<int>(blocks < most ? blocks : most), 1, kTransposeThreads,
          sizeof(T) * kTransposeTile * (kTransposeTile + 1), static_cast<const T*>(from), static_cast<T*>(to),
          s_.batch, rows, columns);
  }

  Lists lists(int layer) const {
    return {w_.plan.entries,
            w_.plan.active_count,
            w_.plan.active_units,
            w_.plan.inactive_units,
            w_.plan.counters + layer * kMaxSlices,
            s_.batch,
            pixels()};
  }

  T* map(int layer) const { return static_cast<T*>(w_.maps) + layer * w_.map_size; }
  int dense(int layer) const { return m_.dense_channels[layer]; }
  DenseChannels all_dense() const {
    DenseChannels all = 0;
    for (int layer = 0; layer < s_.layers; ++layer)
      all |= static_cast<DenseChannels>(dense(layer)) << (8 * layer);
    return all;
  }

  void convolve(int layer, const void* from) {
    GemmInputs in = {};
    in.sources = from;
    in.dense = static_cast<DenseChannels>(layer == 0 ? s_.channels : dense(layer - 1));
    in.groups = kTaps;
    const ConvolutionOutputs to = {map(layer), w_.unit_sums + layer * w_.units * s_.channels, dense(layer)};
    gemm<ConvTile>(in, to, layer);
  }

  void collect(const void* features, void* output) {
    GemmInputs in = {};
    in.sources = w_.maps;
    in.stride = w_.map_size;
    in.dense = all_dense();
    in.groups = s_.layers;
    const CollectOutputs to = {output, features, m_.collect_bias, w_.scale};
    gemm<CollectTile>(in, to, s_.layers);
  }

  template <class Tile, class Outputs>
  void gemm(GemmInputs in, const Outputs& to, int layer) {
    const size_t offset =
        static_cast<size_t>(packed_size<ConvTile>(kTaps, s_.channels)) * static_cast<size_t>(layer);
    in.weights = reinterpret_cast<const Vector*>(static_cast<const T*>(w_.weights) + offset);
    in.channels = s_.channels;
    in.width = s_.width;
    const int slices = divide(s_.channels, Tile::kColumns), threads = GemmThreads<Tile>::value;
    const int bytes = packed_size<Tile>(in.groups, s_.channels) / slices * static_cast<int>(sizeof(T));
    // More blocks than units have nothing to do; how many units there are is known on the device only.
    const long long units = w_.units * (kUnitRows / Tile::kRows);
    const int blocks = static_cast<int>(units < device_.processors ? units : device_.processors);
    if (bytes <= device_.shared_memory) {
      const auto kernel = gather_gemm<Tile, Outputs, true>;
      // As much for every module: one with smaller weights, on another thread, must not take it back ahead of
      // this launch.
      if (status_ == cudaSuccess) status_ = allow_shared_memory(kernel, device_.shared_memory);
      queue(kernel, blocks, slices, threads, static_cast<size_t>(bytes), in, to, lists(layer), bytes);
    } else {
      queue(gather_gemm<Tile, Outputs, false>, blocks, slices, threads, 0, in, to, lists(layer), bytes);
    }
  }

  void attention() {
    const ReduceParams reduce = {
        w_.unit_sums, w_.segment_sums, w_.plan.active_units, w_.plan.inactive_units, w_.units, s_.batch,
        s_.layers,    s_.channels,     all_dense()};
    queue(reduce_units, kSegments * s_.layers * s_.batch, 1, kReduceThreads, kReduceThreads * sizeof(float),
          reduce);
    const AttentionParams attention = {w_.segment_sums,
                                       m_.collect_weight,
                                       m_.collect_bias,
                                       m_.squeeze_weight,
                                       m_.squeeze_bias,
                                       m_.excite_weight,
                                       m_.excite_bias,
                                       w_.scale,
                                       s_.layers,
                                       s_.channels,
                                       static_cast<float>(pixels())};
    const int floats = (s_.layers + 1) * s_.channels + s_.channels / 16;
    queue(attend<T>, s_.batch, 1, kAttentionThreads, static_cast<size_t>(floats) * sizeof(float), attention);
  }

  static int divide(int value, int by) { return (value + by - 1) / by; }

  const Device& device_;
  const smsr_cuda_module& m_;
  const smsr_cuda_shape& s_;
  const Workspace& w_;
  cudaStream_t stream_;
  cudaError_t status_;
};

}  // namespace cuda
}  // namespace smsr
