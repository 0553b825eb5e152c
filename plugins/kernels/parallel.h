// How kernels spread their work over threads, which the caller owns.
#pragma once

#include <algorithm>

#include "layout.h"

namespace smsr {

// Calls fn(argument, i) once for every i below tasks, in any order, on any threads, and returns when all are
// done.
struct Parallel {
  void* context;
  void (*run)(void* context, size_t tasks, void (*fn)(void* argument, size_t i), void* argument);
};

// Parallel::run for C++ function objects.
template <class Body>
void parallel_for(const Parallel& parallel, int64_t tasks, const Body& body) {
  auto call = [](void* argument, size_t i) {
    (*static_cast<const Body*>(argument))(static_cast<int64_t>(i));
  };
  if (tasks > 0) parallel.run(parallel.context, static_cast<size_t>(tasks), call, const_cast<Body*>(&body));
}

// body(first, count) for parts [first, first + count) of [0, total), `size` each; the last may be smaller.
template <class Body>
void parallel_parts(const Parallel& parallel, int64_t total, int64_t size, const Body& body) {
  parallel_for(parallel, divide_up(total, size), [&](int64_t task) {
    const int64_t first = task * size;
    body(first, std::min(size, total - first));
  });
}

}  // namespace smsr
