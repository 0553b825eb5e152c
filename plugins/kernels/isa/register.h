// The Register concept: what an instruction set provides, stated once. The loops (*-inl.h) are written
// against it, and each variant is checked against it when it is compiled.
//
// A variant names two such types: Wide for all output channels, Narrow for the few dense outputs of inactive
// pixels. Either has static functions with the signatures below, and
//   Register        kLanes floats; kLanes divides kLanePadding
//   kVectors        most registers of output channels in a tile of the micro-kernel, 1..4
//   rows(vectors)   pixels in a tile of so many registers, 1..12. The sums [rows][vectors], the weights
//                   [vectors] of one step and one broadcast input should fit the registers there are.
// With multiplicands of reduced precision also
//   Multiplicand    the inputs, or the weights, of one multiply_add
//   kReducedStep    input channels that one multiply_add sums, 1 or 2
#pragma once

#include "rows.h"
#include "smsr_contract.h"

namespace smsr {

template <class R>
struct RegisterFunctions {
  using V = typename R::Register;
  V (*zero)();
  V (*load)(const float*);       // kLanes floats, not aligned
  V (*broadcast)(const float*);  // one float to all lanes
  void (*store)(float*, V);
  V (*add)(V, V);
  V (*subtract)(V a, V b);           // a - b
  V (*multiply_add)(V a, V b, V c);  // a * b + c
  V (*relu)(V);                      // max(0, a); NaN stays NaN
};

template <class R>
constexpr bool is_register() {
  static_assert(contract::kLanePadding % R::kLanes == 0);
  static_assert(R::kVectors >= 1 && R::kVectors <= 4);
  static_assert(R::rows(1) <= 12 && R::rows(R::kVectors) >= 1);
  constexpr RegisterFunctions<R> provided = {R::zero, R::load,     R::broadcast,    R::store,
                                             R::add,  R::subtract, R::multiply_add, R::relu};
  return provided.zero != nullptr;
}

template <class R>
struct ReducedFunctions {
  using V = typename R::Register;
  using M = typename R::Multiplicand;
  V (*load)(const Reduced*);          // kLanes numbers, to floats
  void (*store)(Reduced*, V);         // rounded to nearest, ties to even
  M (*broadcast)(const Reduced*);     // kReducedStep inputs to all lanes
  M (*load_weights)(const Reduced*);  // [kLanes][kReducedStep]
  V (*multiply_add)(M a, M w, V c);   // c + sum over the step of a * w, in float
};

// With a step of 2, for the last one of an odd number of inputs: zero in place of the second.
template <class R>
struct FirstOfTwoFunctions {
  using M = typename R::Multiplicand;
  M (*broadcast_first)(const Reduced*);
  M (*load_first_weights)(const Reduced*);
};

template <class R>
constexpr bool is_reduced_register() {
  static_assert(is_register<R>());
  static_assert(R::kReducedStep == 1 || R::kReducedStep == 2);
  constexpr ReducedFunctions<R> provided = {R::load, R::store, R::broadcast, R::load_weights,
                                            R::multiply_add};
  if constexpr (R::kReducedStep == 2) {
    constexpr FirstOfTwoFunctions<R> first = {R::broadcast_first, R::load_first_weights};
    return provided.load != nullptr && first.broadcast_first != nullptr;
  }
  return provided.load != nullptr;
}

}  // namespace smsr
