// Parallel::run for C++ function objects.
#pragma once

#include "sparse_mask_module.h"

namespace smsr {

template <class Body>
void parallel_for(const Parallel& parallel, int64_t tasks, const Body& body) {
  auto call = [](void* argument, size_t i) {
    (*static_cast<const Body*>(argument))(static_cast<int64_t>(i));
  };
  if (tasks > 0) parallel.run(parallel.context, static_cast<size_t>(tasks), call, const_cast<Body*>(&body));
}

}  // namespace smsr
