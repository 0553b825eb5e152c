// What one instruction set provides: the inner loops of the module, over lists of pixels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace smsr {

// Rows of pixels, C floats each: a whole image, or a ring that holds the latest `ring` rows.
template <class T>
struct RowsOf {
  T* data;
  int64_t stride;  // elements between rows
  int64_t ring;
  T* row(int64_t y) const { return data + (y % ring) * stride; }
};
using Rows = RowsOf<float>;
using ConstRows = RowsOf<const float>;

// A pixel in a list: its index y * W + x. The top bit marks an inactive pixel with an active one, or a tile
// done by Winograd, among its eight neighbours: only those must have their sparse channels zeroed, because
// nobody else reads them.
using Pixel = uint32_t;
constexpr Pixel kBesideActive = 0x80000000u;
struct Pixels {
  const Pixel* first;
  int64_t count;
};

// One masked 3x3 convolution with ReLU.
template <class In, class Out, class Weight>
struct ConvolutionOf {
  int64_t height, width, channels;
  int64_t dense_in, dense_out;
  bool zero_sparse;       // another layer follows: zero the sparse channels of marked pixels
  const Weight* weights;  // [9, C in, C out]
  const In* zeros;        // [C], read in place of pixels outside the image
  RowsOf<const In> in;
  RowsOf<Out> out;
};
using Convolution = ConvolutionOf<float, float, float>;

// The 1x1 convolution over all layers' outputs of one pixel list.
template <class In, class Weight>
struct CollectOf {
  int64_t width, channels, layers;
  const int64_t* depth;  // [L] input channels of each layer: C on active pixels, the dense ones on others
  const Weight* weight;  // [L * C, C]
  const float* bias;     // [C]
  const RowsOf<In>* in;  // [L]
  Rows out;
};
using Collect = CollectOf<float, float>;

template <class In, class Out, class Weight>
struct TileConvolutionOf;  // winograd.h
using TileConvolution = TileConvolutionOf<float, float, float>;
struct Tiles;
struct DenseKernels;    // dense_kernels.h
struct ReducedKernels;  // reduced_kernels.h

struct Kernels {
  const char* name;
  void (*convolve_active)(const Convolution&, Pixels);
  void (*convolve_inactive)(const Convolution&, Pixels);
  void (*collect)(const Collect&, Pixels);
  // `scratch`: winograd_scratch_size() floats of this call's own.
  void (*convolve_tiles)(const TileConvolution&, Tiles, float* scratch);
  // sum[c] = sum over `pixels` pixels of row[x][c]
  void (*sum_row)(const float* row, int64_t pixels, int64_t channels, float* sum);
  // row[x][c] = row[x][c] * scale[c] + residual[x][c]
  void (*scale_add_row)(float* row, const float* residual, const float* scale, int64_t pixels,
                        int64_t channels);
  // Multiply-adds of independent accumulators, for measuring the machine's peak; returns how many were done.
  double (*peak)(int64_t rounds);
  const DenseKernels* dense;
  const ReducedKernels* reduced = nullptr;  // where the instruction set has them
};

}  // namespace smsr
