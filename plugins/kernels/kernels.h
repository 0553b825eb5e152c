// The tables of functions that one instruction set provides.
#pragma once

#include <cstdint>

#include "dense/dense_kernels.h"
#include "module/module_kernels.h"

namespace smsr {

// For multiplicands of reduced precision, rounded to nearest, ties to even; sums are float32. Features
// between the module's layers are stored in that type; everything outside the module stays float32.
struct ReducedKernels {
  const char* type;  // bfloat16 or float16, as attribute `compute` names it
  int64_t step;      // input channels whose weights for one output lie side by side: see pack_reduced()
  Reduced (*round)(float);
  ModuleKernels<Reduced> module;
  DenseTileKernels<Reduced> winograd;
};

struct Kernels {
  const char* name;
  ModuleKernels<float> module;
  DenseKernels dense;
  // sum[c] = sum over `pixels` pixels of row[x][c]
  void (*sum_row)(const float* row, int64_t pixels, int64_t channels, float* sum);
  // out[x][c] = row[x][c] * scale[c] + residual[x][c]; out may be row or residual
  void (*scale_add_row)(float* out, const float* row, const float* residual, const float* scale,
                        int64_t pixels, int64_t channels);
  // Multiply-adds of independent accumulators, for measuring the machine's peak; returns their number.
  double (*peak)(int64_t rounds);
  const ReducedKernels* reduced;  // null where the instruction set has none
};

}  // namespace smsr
