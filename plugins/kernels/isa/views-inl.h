// The micro-kernel's views of a register R: types of inputs (and weights) and outputs, and input channels per
// step. Needs from the includer: an unnamed namespace; isa/register.h.

// Multiplicands are float32.
template <class R, class Out>
struct FloatProducts : R {
  using Input = float;
  using Output = Out;
  static constexpr int kStep = 1;  // input channels of one multiply_add
  static typename R::Register load_weights(const float* p) { return R::load(p); }
};
template <class R>
using Single = FloatProducts<R, float>;

// Multiplicands are of reduced precision, sums float32.
template <class R, class Out>
struct ReducedProducts : R {
  using Input = Reduced;
  using Output = Out;
  static constexpr int kStep = R::kReducedStep;
};
