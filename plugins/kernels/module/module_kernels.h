// What one instruction set provides for the sparse mask module: its inner loops, over lists of pixels and
// tiles.
#pragma once

#include <cstdint>

#include "rows.h"
#include "winograd/winograd.h"

namespace smsr {

// A pixel in a list: its index y * W + x. The top bit marks an inactive pixel with an active one, or a tile
// computed by Winograd, among its eight neighbours: only those must have their sparse channels zeroed,
// because nothing else reads them.
using Pixel = uint32_t;
constexpr Pixel kBesideActive = 0x80000000u;
struct Pixels {
  const Pixel* first;
  int64_t count;
};

// One masked 3x3 convolution with ReLU, C to C channels.
template <class In, class Out>
struct ConvolutionOf {
  int64_t dense_in, dense_out;
  bool zero_sparse;   // another layer follows: zero the sparse channels of marked pixels
  const In* weights;  // [tap 9][C in][C out]
  PaddedImageOf<In> in;
  RowsOf<Out> out;  // [H, W, C]
};

// The 1x1 convolution over all layers' outputs, for one list of pixels.
template <class In>
struct CollectOf {
  int64_t width, channels, layers;
  const int64_t* depth;  // [L] input channels of each layer: C on active pixels, the dense ones on others
  const In* weight;      // [L * C in][C out]
  const float* bias;     // [C]
  const RowsOf<In>* in;  // [L] of [H, W, C]
  Rows out;              // [H, W, C]
};

// The convolutions of one layer; each call computes a list of pixels or tiles.
template <class In, class Out>
struct LayerKernels {
  void (*active)(const ConvolutionOf<In, Out>&, Pixels);
  void (*inactive)(const ConvolutionOf<In, Out>&, Pixels);
  TileKernel<In, Out, Out> tiles;
};

// Layers whose outputs are stored as Element. The first one reads the module's float32 features, and computes
// in float32 pixel by pixel.
template <class Element>
struct ModuleKernels {
  LayerKernels<float, Element> first;
  LayerKernels<Element, Element> next;
  void (*collect)(const CollectOf<Element>&, Pixels);
};

}  // namespace smsr
