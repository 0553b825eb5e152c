// What an instruction set with multiplications of reduced precision provides besides Kernels: multiplicands
// are bfloat16 or float16, rounded to the nearest even, sums float32. Features between the module's layers
// are stored in that type; everything outside stays float32.
#pragma once

#include "kernels.h"
#include "winograd.h"

namespace smsr {

using Reduced = uint16_t;  // the bits of a bfloat16 or float16

struct ReducedKernels {
  const char* type;  // as attribute `compute` names it
  int64_t step;      // input channels whose weights for one output lie side by side
  Reduced (*round)(float);
  // The module's first layer reads float32 features; pixel by pixel it computes in float32.
  void (*first_active)(const ConvolutionOf<float, Reduced, float>&, Pixels);
  void (*first_inactive)(const ConvolutionOf<float, Reduced, float>&, Pixels);
  void (*first_tiles)(const TileConvolutionOf<float, Reduced, Reduced>&, Tiles, float* scratch);
  void (*active)(const ConvolutionOf<Reduced, Reduced, Reduced>&, Pixels);
  void (*inactive)(const ConvolutionOf<Reduced, Reduced, Reduced>&, Pixels);
  void (*tiles)(const TileConvolutionOf<Reduced, Reduced, Reduced>&, Tiles, float* scratch);
  void (*collect)(const CollectOf<Reduced, Reduced>&, Pixels);
  // For the operators that compute every pixel; see DenseKernels.
  void (*dense_tiles)(const TileConvolutionOf<float, float, Reduced>&, Tiles, float* scratch);
  void (*pooled_tiles)(const TileConvolutionOf<float, float, Reduced>&, int64_t first, int64_t count,
                       float* pooled, float* scratch);
};

// A matrix [inputs, outputs] as the reduced kernels read it: `step` inputs of an output side by side.
void pack_reduced(const ReducedKernels& kernels, const float* matrix, int64_t inputs, int64_t outputs,
                  Reduced* packed);

// winograd_prepare for reduced kernels, with points of their own: [24, inputs, outputs], packed.
int64_t reduced_winograd_size(int64_t inputs, int64_t outputs);
void winograd_prepare_reduced(const ReducedKernels& kernels, const float* weights, int64_t inputs,
                              int64_t outputs, Reduced* prepared);

}  // namespace smsr
