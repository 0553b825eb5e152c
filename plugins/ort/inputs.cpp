#include "inputs.h"

#include <algorithm>
#include <map>

#include "errors.h"

namespace smsr::ort {
namespace {

std::string joined(const std::vector<std::string>& sizes) {
  std::string out = "(";
  for (size_t i = 0; i < sizes.size(); ++i) out += (i > 0 ? ", " : "") + sizes[i];
  return out + ")";
}

// Sizes that are not known yet as the contract's letters.
std::string text(const contract::TensorShape& shape, const contract::Letters& letters) {
  std::vector<std::string> sizes;
  for (int i = 0; i < shape.rank; ++i) {
    const int64_t size = contract::size_of(shape.sizes[i], letters);
    sizes.push_back(size == contract::kUnknownSize ? shape.sizes[i] : std::to_string(size));
  }
  return joined(sizes);
}

bool is_letter(const char* size) { return *size >= 'A' && *size <= 'Z' && size[1] == '\0'; }

bool matches(const Dimensions& got, const contract::TensorShape& shape, contract::Letters* letters) {
  if (got.size() != static_cast<size_t>(shape.rank)) return false;
  for (size_t i = 0; i < got.size(); ++i) {
    const char* const size = shape.sizes[i];
    if (is_letter(size) && (*letters)[*size] == contract::kUnknownSize) (*letters)[*size] = got[i];
    if (contract::size_of(size, *letters) != got[i]) return false;
  }
  return true;
}

}  // namespace

std::string text(const Dimensions& dimensions) {
  std::vector<std::string> sizes;
  for (const int64_t size : dimensions) sizes.push_back(std::to_string(size));
  return joined(sizes);
}

void Shapes::match(int first, int end) {
  for (int i = first; i < end; ++i) {
    const auto input = static_cast<size_t>(i);
    const Dimensions got = context_.GetInput(input).GetTensorTypeAndShapeInfo().GetShape();
    contract::Letters letters = letters_;
    const int known = std::min(i, signature_.count - 1);
    if (!matches(got, signature_.inputs[known], &letters))
      fail(where_, signature_.names[known], text(signature_.inputs[known], letters_), text(got));
    letters_ = letters;
  }
}

void Shapes::expect_multiple(char letter, const char* what, int64_t multiple) const {
  const int64_t value = letters_[letter];
  if (value < 1 || value % multiple != 0)
    fail(where_, what, multiple == 1 ? "1 or more" : "a positive multiple of " + std::to_string(multiple),
         std::to_string(value));
}

Dimensions Shapes::output() const {
  Dimensions sizes;
  for (int i = 0; i < signature_.output.rank; ++i)
    sizes.push_back(contract::size_of(signature_.output.sizes[i], letters_));
  return sizes;
}

Constant constant(const Ort::ConstKernelInfo& info, size_t input) {
  int is_constant = 0;
  const Ort::ConstValue value = info.GetTensorConstantInput(input, &is_constant);
  if (is_constant == 0) return {};
  return {value.GetTensorTypeAndShapeInfo().GetShape(), value.GetTensorData<float>()};
}

namespace {

using Symbol = Ort::ShapeInferContext::SymbolicInteger;

// The known sizes of letters that stand alone, from all inputs.
std::map<char, Symbol> letter_sizes(const Signature& signature, const Ort::ShapeInferContext& inputs) {
  std::map<char, Symbol> sizes;
  for (int i = 0; i < signature.count; ++i) {
    const Ort::ShapeInferContext::Shape got = inputs.GetInputShape(static_cast<size_t>(i));
    const contract::TensorShape& shape = signature.inputs[i];
    if (got.size() != static_cast<size_t>(shape.rank)) continue;
    for (size_t k = 0; k < got.size(); ++k) {
      const bool known = !got[k].IsInt() || got[k].AsInt() != contract::kUnknownSize;
      if (is_letter(shape.sizes[k]) && known) sizes.emplace(*shape.sizes[k], got[k]);
    }
  }
  return sizes;
}

// What Ort::ShapeInferContext::SetOutputShape does, but that one marks symbolic sizes by -2, which newer
// runtimes refuse.
void set_output_shape(OrtShapeInferContext* context, const std::vector<Symbol>& shape) {
  const OrtApi& api = Ort::GetApi();
  std::vector<int64_t> sizes;
  std::vector<const char*> names;
  for (const Symbol& size : shape) {
    sizes.push_back(size.IsInt() ? size.AsInt() : contract::kUnknownSize);
    names.push_back(size.IsInt() ? "" : size.AsSym());
  }
  OrtTensorTypeAndShapeInfo* made = nullptr;
  Ort::ThrowOnError(api.CreateTensorTypeAndShapeInfo(&made));
  const Ort::TensorTypeAndShapeInfo info(made);
  Ort::ThrowOnError(api.SetTensorElementType(info, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT));
  Ort::ThrowOnError(api.SetDimensions(info, sizes.data(), sizes.size()));
  Ort::ThrowOnError(api.SetSymbolicDimensions(info, names.data(), names.size()));
  Ort::ThrowOnError(api.ShapeInferContext_SetOutputTypeShape(context, 0, info));
}

}  // namespace

OrtStatusPtr infer_output(const Signature& signature, OrtShapeInferContext* context) {
  try {
    const std::map<char, Symbol> known = letter_sizes(signature, {&Ort::GetApi(), context});
    std::vector<Symbol> shape;
    for (int i = 0; i < signature.output.rank; ++i) {
      const char* const size = signature.output.sizes[i];
      shape.push_back(is_letter(size) ? known.at(*size)
                                      : Symbol(contract::size_of(size, contract::Letters())));
    }
    set_output_shape(context, shape);
  } catch (const std::exception&) {
    // A size that is not known yet: the output's shape is learnt when the session runs.
  }
  return nullptr;
}

}  // namespace smsr::ort
