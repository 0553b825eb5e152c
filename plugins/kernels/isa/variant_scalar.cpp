// Plain C++: runs on any CPU; for testing and as the last resort, not for speed.
#include "isa/register.h"
#include "kernels.h"
#include "layout.h"

namespace smsr {
namespace {

struct Wide {
  using Register = float;
  static constexpr int kLanes = 1, kVectors = 4;
  static constexpr int rows(int vectors) { return vectors == 4 ? 2 : 4; }
  static Register zero() { return 0.0f; }
  static Register load(const float* p) { return *p; }
  static Register broadcast(const float* p) { return *p; }
  static void store(float* p, Register a) { *p = a; }
  static Register add(Register a, Register b) { return a + b; }
  static Register subtract(Register a, Register b) { return a - b; }
  static Register multiply_add(Register a, Register b, Register c) { return a * b + c; }
  static Register relu(Register a) { return a < 0.0f ? 0.0f : a; }
};
using Narrow = Wide;

#include "isa/variant-inl.h"

}  // namespace

extern const Kernels kernels_scalar;
constexpr Kernels kernels_scalar = make_kernels("scalar");

}  // namespace smsr
