// Parallel::run for C++ function objects.
#pragma once

#include <algorithm>

#include "layout.h"
#include "sparse_mask_module.h"

namespace smsr {

template <class Body>
void parallel_for(const Parallel& parallel, int64_t tasks, const Body& body) {
  auto call = [](void* argument, size_t i) {
    (*static_cast<const Body*>(argument))(static_cast<int64_t>(i));
  };
  if (tasks > 0) parallel.run(parallel.context, static_cast<size_t>(tasks), call, const_cast<Body*>(&body));
}

// body(first, count) for every `size` of [0, total) that follow each other; the last ones may be fewer.
template <class Body>
void parallel_parts(const Parallel& parallel, int64_t total, int64_t size, const Body& body) {
  parallel_for(parallel, divide_up(total, size), [&](int64_t task) {
    const int64_t first = task * size;
    body(first, std::min(size, total - first));
  });
}

}  // namespace smsr
