// What a session hands over, against the shapes of the contract.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <string>
#include <vector>

#include "smsr_shapes.h"

namespace smsr::ort {

using Dimensions = std::vector<int64_t>;

std::string text(const Dimensions& dimensions);

// An operator's names and shapes, most by the contract; `count` inputs of them. repeated: the last input may
// be given several times. output: of the first of `outputs`.
struct Signature {
  const char* name;
  int count;
  const char* const* names;
  const contract::TensorShape* inputs;
  contract::TensorShape output;
  int outputs = 1;
  bool repeated = false;
};

// The shapes of one call's inputs. Letters get their values from the inputs that are matched first.
class Shapes {
 public:
  Shapes(const std::string& where, const Signature& signature, const Ort::KernelContext& context)
      : where_(where), signature_(signature), context_(context) {}

  int64_t operator[](char letter) const { return letters_[letter]; }
  void set(char letter, int64_t value) { letters_[letter] = value; }
  // Inputs [first, end) must have the signature's shapes; unknown letters get their sizes.
  void match(int first, int end);
  // The size of that letter, which error texts call `what`, must be a positive multiple.
  void expect_multiple(char letter, const char* what, int64_t multiple) const;
  Dimensions output() const;

 private:
  const std::string& where_;
  const Signature& signature_;
  const Ort::KernelContext& context_;
  contract::Letters letters_;
};

inline const float* data(const Ort::KernelContext& context, size_t input) {
  return context.GetInput(input).GetTensorData<float>();
}

// An initializer that no caller can override, known when the kernel is made; data is null for any other
// input. The session keeps its memory alive as long as the kernel.
struct Constant {
  Dimensions shape;
  const float* data = nullptr;
};
Constant constant(const Ort::ConstKernelInfo& info, size_t input);

// Shape inference: sets the output's shape where the inputs' known sizes give all of it; else it is learnt
// when the session runs.
OrtStatusPtr infer_output(const Signature& signature, OrtShapeInferContext* context);

}  // namespace smsr::ort
