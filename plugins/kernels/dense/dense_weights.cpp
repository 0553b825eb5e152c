#include "dense/dense_weights.h"

#include "checks.h"

namespace smsr {

int64_t prepared_dense_weights(int64_t inputs, int64_t outputs, int taps) {
  return winograd_can(inputs, taps) ? winograd_weights_size(inputs, outputs) : 0;
}

void prepare_dense_weights(const float* weight, int64_t inputs, int64_t outputs, float* prepared) {
  winograd_prepare(weight, inputs, outputs, prepared);
}

int64_t reduced_dense_weights(int64_t inputs, int64_t outputs, int taps) {
  return winograd_can(inputs, taps) ? reduced_winograd_size(inputs, outputs) : 0;
}

void prepare_reduced_dense_weights(const ReducedKernels& kernels, const float* weight, int64_t inputs,
                                   int64_t outputs, Reduced* prepared) {
  winograd_prepare_reduced(kernels, weight, inputs, outputs, prepared);
}

Status check(const DenseWeights& weights, int64_t inputs, int taps, const Kernels& kernels) {
  if (any_null({weights.plain, weights.bias})) return Status::kBadPointer;
  if (weights.winograd() && !winograd_can(inputs, taps)) return Status::kNoWinograd;
  return weights.reduced != nullptr && kernels.reduced == nullptr ? Status::kNoReducedKernels : Status::kOk;
}

}  // namespace smsr
