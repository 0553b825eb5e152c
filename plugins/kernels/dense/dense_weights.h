// Weights of a dense convolution, plain and as the kernels can have them prepared.
#pragma once

#include "kernels.h"
#include "status.h"

namespace smsr {

struct DenseWeights {
  const float* plain;      // [taps][I][O], tap = 3 * ky + kx
  const float* prepared;   // of prepare_dense_weights(), or null: the direct convolution runs
  const Reduced* reduced;  // of prepare_reduced_dense_weights(), or null; preferred to `prepared`
  const float* bias;       // [O]
  bool winograd() const { return prepared != nullptr || reduced != nullptr; }
};

// Numbers of `prepared` and of `reduced`; 0 where only the direct convolution can run. Filled once per model,
// the reduced ones as `kernels` multiplies them.
int64_t prepared_dense_weights(int64_t inputs, int64_t outputs, int taps);
void prepare_dense_weights(const float* weight, int64_t inputs, int64_t outputs, float* prepared);
int64_t reduced_dense_weights(int64_t inputs, int64_t outputs, int taps);
void prepare_reduced_dense_weights(const ReducedKernels& kernels, const float* weight, int64_t inputs,
                                   int64_t outputs, Reduced* prepared);

// Whether a convolution of so many inputs and taps can run from these weights with these kernels.
Status check(const DenseWeights& weights, int64_t inputs, int taps, const Kernels& kernels);

}  // namespace smsr
