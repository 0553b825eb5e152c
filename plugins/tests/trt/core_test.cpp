// The adapters' core without TensorRT and without CUDA: attributes, saved state, types, formats, shapes,
// launch.
#include "boundary.h"
#include "trt/module_core.h"

extern "C" {
const char* smsr_pixels_to_planes(const void* pixels, float* planes, int32_t height, int32_t width,
                                  int32_t bytes, cudaStream_t stream);
const char* smsr_planes_to_pixels(const float* planes, void* pixels, uint32_t* not_finite, int32_t height,
                                  int32_t width, int32_t bytes, cudaStream_t stream);
}

namespace smsr::testing {
namespace {

using trt::Dimensions;
using trt::ElementType;
using trt::Field;
using trt::FieldType;
using trt::Format;
using trt::Module;
using trt::Tensor;

Field text_field(const char* name, const std::string& value) {
  return {name, value.data(), FieldType::kChar, static_cast<int64_t>(value.size())};
}

// The fields of a node; each may be changed before use.
struct Fields {
  std::vector<int32_t> counts{24, 9, 3, 0};
  std::string layout = "NCHW", compute = "float16";
  std::vector<Field> list() const {
    return {{"dense_channels", counts.data(), FieldType::kInt32, static_cast<int64_t>(counts.size())},
            text_field("layout", layout),
            text_field("compute", compute)};
  }
};

Module made(const std::vector<Field>& fields, const char* name = "body.0") {
  return Module::from_fields(name, fields.data(), static_cast<int>(fields.size()));
}

Module made_for(const Node& node, const char* compute) {
  Fields fields;
  fields.counts = node.dense_channels;
  fields.compute = compute;
  return made(fields.list());
}

template <class Body>
void throws(const Body& body, const std::string& part, const std::string& what) {
  const auto fails = [&] {
    return trt::guarded(true, [&] {
      body();
      return false;
    });
  };
  refused(fails, part, what);
}

void check_attributes() {
  Fields fields;
  expect(
      made(fields.list()).description().rfind("compute=float16 dense_channels=24,9,3,0 interface=", 0) == 0,
      "description");
  auto list = fields.list();
  std::swap(list[0], list[2]);
  expect(made(list).description() == made(fields.list()).description(), "any order of fields");
  const std::string layout("NCHW\0", 5), compute("float16\0\0", 9);
  const std::vector<int64_t> wide{24, 9, 3, 0};
  expect(made({{"dense_channels", wide.data(), FieldType::kInt64, 4},
               text_field("layout", layout),
               text_field("compute", compute)})
                 .description() == made(fields.list()).description(),
         "64-bit counts, terminated strings");
  for (size_t dropped = 0; dropped < 3; ++dropped) {
    list = fields.list();
    const std::string name(list[dropped].name);
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(dropped));
    throws([&] { made(list); }, "attribute " + name + ": expected a value, got none", "no " + name);
    list = fields.list();
    list.push_back(list[dropped]);
    throws([&] { made(list); }, "got it twice", "twice " + name);
    list = fields.list();
    list[dropped].type = FieldType::kOther;
    throws([&] { made(list); }, "attribute " + name, "other type of " + name);
    list = fields.list();
    list[dropped].data = nullptr;
    throws([&] { made(list); }, "attribute " + name, "no data of " + name);
  }
  throws([] { Module::from_fields("body.0", nullptr, 3); }, "'body.0': attribute dense_channels",
         "null fields");
  throws([] { made({}, nullptr); }, "SparseMaskModule: attribute dense_channels", "no fields, no name");
  list = fields.list();
  list.push_back(text_field("kompute", fields.compute));
  throws([&] { made(list); }, "'kompute'", "unknown field");
  for (const char* layout_name : {"NHWC", "nchw", ""}) {
    Fields other;
    other.layout = layout_name;
    throws([&] { made(other.list()); }, "attribute layout: expected NCHW, got '", layout_name);
  }
  for (const char* compute_name : {"bfloat16", "float64", ""}) {
    Fields other;
    other.compute = compute_name;
    throws([&] { made(other.list()); }, "attribute compute: expected float32 or float16", compute_name);
  }
  for (const std::vector<int32_t>& counts :
       std::vector<std::vector<int32_t>>{{-1}, {3, 129}, {}, std::vector<int32_t>(9, 1)}) {
    Fields other;
    other.counts = counts;
    throws([&] { made(other.list()); }, "attribute dense_channels",
           std::to_string(counts.size()) + " bad counts");
  }
}

void check_state() {
  for (const char* compute : {"float32", "float16"}) {
    const Module module = made_for(unlike_node(), compute);
    const trt::State state = module.state();
    const Module again = Module::from_state("body.0", &state, sizeof state);
    const trt::State second = again.state();
    expect(again.description() == module.description(), std::string("state of ") + compute);
    expect(std::memcmp(&state, &second, sizeof state) == 0, std::string("same bytes of ") + compute);
  }
  const trt::State good = made_for(unlike_node(), "float32").state();
  const auto refuse = [](const trt::State& state, size_t bytes, const char* part) {
    throws([&] { Module::from_state("body.0", &state, bytes); }, part, std::string("saved state: ") + part);
  };
  refuse(good, sizeof good - 1, "expected 56 bytes, got 55");
  refuse(good, 0, "expected 56 bytes, got 0");
  throws([] { Module::from_state("body.0", nullptr, 56); }, "saved plugin", "saved state: null");
  const auto changed = [&](auto change) {
    trt::State state = good;
    change(&state);
    return state;
  };
  refuse(changed([](trt::State* s) { s->interface_hash[3] ^= 1; }), sizeof good, "build the engine again");
  refuse(changed([](trt::State* s) { s->compute = 2; }), sizeof good, "damaged");
  refuse(changed([](trt::State* s) { s->layers = 0; }), sizeof good, "damaged");
  refuse(changed([](trt::State* s) { s->layers = 9; }), sizeof good, "damaged");
  refuse(changed([](trt::State* s) { s->dense_channels[4] = -1; }), sizeof good, "counts within 0..C");
}

// Features and output: exactly (float32, linear), (float16, linear), (float16, HWC8); all other tensors
// linear.
void check_formats() {
  for (const bool half : {false, true}) {
    const Module module = made_for(unlike_node(), half ? "float16" : "float32");
    const ElementType own = half ? ElementType::kFloat16 : ElementType::kFloat32;
    for (int position = -1; position <= trt::kTensors; ++position)
      for (const ElementType type : {ElementType::kFloat32, ElementType::kFloat16, ElementType::kOther})
        for (const Format format : {Format::kLinear, Format::kHwc8, Format::kOther})
          for (const Format features_format : {Format::kLinear, Format::kHwc8}) {
            if (position == op::kFeatures && format != features_format) continue;
            const bool inside = position >= 0 && position < trt::kTensors && type == own;
            const bool rule = position == op::kFeatures
                                  ? format == Format::kLinear || (half && format == Format::kHwc8)
                              : position == op::kInputs ? format == features_format
                                                        : format == Format::kLinear;
            expect(
                module.supports(position, {{}, type, format}, {{}, own, features_format}) == (inside && rule),
                "format of tensor " + std::to_string(position));
          }
    std::array<ElementType, op::kInputs> types;
    types.fill(own);
    module.check_types(types.data());
    for (size_t i = 0; i < types.size(); ++i) {
      auto mixed = types;
      mixed[i] = half ? ElementType::kFloat32 : ElementType::kFloat16;
      throws([&] { module.check_types(mixed.data()); }, std::string("type of ") + op::kInputNames[i],
             "mixed types");
    }
  }
  throws([] { made(Fields().list()).check_counts(9, 1); }, "expected 10 inputs and 1 output, got 9 and 1",
         "9 inputs");
  throws([] { made(Fields().list()).check_counts(10, 2); }, "got 10 and 2", "2 outputs");
}

Dimensions dims(const Sizes& sizes) {
  Dimensions made_dims;
  for (const int64_t size : sizes) made_dims.size[static_cast<size_t>(made_dims.rank++)] = size;
  return made_dims;
}

std::array<Dimensions, op::kInputs> shapes(const Node& node) {
  std::array<Dimensions, op::kInputs> all;
  for (int i = 0; i < op::kInputs; ++i) all[static_cast<size_t>(i)] = dims(sizes_of(node, i));
  return all;
}

void check_shapes() {
  for (const contract::Case& c : contract::kCases) {
    const Node node{c.n, c.channels, c.h, c.w, {c.dense, c.dense + c.layers}};
    made_for(node, "float32").check_shapes(shapes(node));
    expect(true, c.name);
  }
  const Node node = unlike_node();
  const Module module = made_for(node, "float32");
  for (size_t i = 0; i < op::kInputs; ++i) {
    auto all = shapes(node);
    const std::string name = op::kInputNames[i];
    for (size_t axis = 0; axis < static_cast<size_t>(all[i].rank); ++axis) {
      auto wrong = all;
      wrong[i].size[axis] += 16;
      throws([&] { module.check_shapes(wrong); }, "expected", name + " too large in " + std::to_string(axis));
      if (i == op::kFeatures && axis == 1) continue;
      wrong[i].size[axis] = trt::kUnknown;
      module.check_shapes(wrong);
    }
    all[i].size[static_cast<size_t>(all[i].rank++)] = 1;
    throws([&] { module.check_shapes(all); }, name, name + " of another rank");
  }
  for (const int64_t channels : {int64_t{-1}, int64_t{0}, int64_t{40}, int64_t{144}}) {
    Node other = node;
    other.c = channels;
    throws([&] { module.check_shapes(shapes(other)); },
           "features' channels: expected a fixed multiple of 16, at most 128",
           std::to_string(channels) + " channels");
  }
  Node narrow{1, 16, 5, 9, {16, 17}};
  throws([&] { made_for(narrow, "float32").check_shapes(shapes(narrow)); },
         "attribute dense_channels: expected counts within 0..16, got 17", "C + 1 dense channels");
}

Tensor features_of(const Node& node, ElementType type, Format format) {
  return {dims(sizes_of(node, op::kFeatures)), type, format};
}

void check_launch() {
  const Node node = unlike_node();
  const auto stream = reinterpret_cast<cudaStream_t>(0x1234);
  struct Way {
    const char* compute;
    ElementType type;
    Format format;
    cuda::Type cuda_type;
    cuda::Layout layout;
    size_t bytes;
  };
  for (const Way& way :
       {Way{"float32", ElementType::kFloat32, Format::kLinear, cuda::Type::kFloat32, cuda::Layout::kNchw, 4},
        Way{"float16", ElementType::kFloat16, Format::kLinear, cuda::Type::kFloat16, cuda::Layout::kNchw, 2},
        Way{"float16", ElementType::kFloat16, Format::kHwc8, cuda::Type::kFloat16, cuda::Layout::kNhwc, 2}}) {
    const Module module = made_for(node, way.compute);
    const Tensor features = features_of(node, way.type, way.format);
    const Buffers buffers(node, way.bytes, module.workspace_bytes(features));
    module.enqueue(features, buffers.inputs(), buffers.output(), buffers.workspace(), stream);
    expect_launch(node, buffers, way.cuda_type, way.layout, stream, way.compute);
  }
}

void check_failures() {
  const Node node = unlike_node();
  const Module module = made_for(node, "float32");
  const Tensor features = features_of(node, ElementType::kFloat32, Format::kLinear);
  const Buffers buffers(node, 4, module.workspace_bytes(features));
  const auto launch = [&](const Tensor& of) {
    module.enqueue(of, buffers.inputs(), buffers.output(), buffers.workspace(), nullptr);
  };
  for (int status = 1; status <= static_cast<int>(Status::kLaunchFailed); ++status) {
    recorded().next = static_cast<Status>(status);
    throws([&] { launch(features); }, describe(recorded().next), "status " + std::to_string(status));
  }
  recorded().next = Status::kOk;
  const int launches = recorded().launches;
  throws([&] { launch(features_of(node, ElementType::kFloat16, Format::kLinear)); }, "type of features",
         "half");
  throws([&] { launch(features_of(node, ElementType::kFloat32, Format::kOther)); }, "format of features",
         "format");
  for (const int64_t size : {int64_t{-1}, int64_t{0}, int64_t{1} << 31}) {
    Node other = node;
    other.h = size;
    const Tensor bad = features_of(other, ElementType::kFloat32, Format::kLinear);
    throws([&] { launch(bad); }, "features: expected", "height " + std::to_string(size));
    throws([&] { module.workspace_bytes(bad); }, "features: expected",
           "workspace of " + std::to_string(size));
  }
  Node huge = node;
  huge.h = huge.w = 1 << 15;
  throws([&] { module.workspace_bytes(features_of(huge, ElementType::kFloat32, Format::kLinear)); },
         "less than 2^31 elements", "too many elements");
  expect(recorded().launches == launches, "nothing refused was launched");
}

// What the runtime calls: the arguments arrive in their places, and failures in words.
void check_pixels() {
  char pixels[12], planes[48];
  uint32_t flag;
  auto* const numbers = reinterpret_cast<float*>(planes);
  auto* const stream = reinterpret_cast<cudaStream_t>(&flag);
  const auto arrived = [&](const void* from, const void* to, const uint32_t* not_finite, const char* what) {
    const Recorded& last = recorded();
    const cuda::PixelShape& shape = last.pixel_shape;
    expect(last.pixels_from == from && last.pixels_to == to && last.not_finite == not_finite &&
               last.stream == stream && shape.height == 3 && shape.width == 5 && shape.bytes == 2,
           what);
  };
  expect(smsr_pixels_to_planes(pixels, numbers, 3, 5, 2, stream) == nullptr, "pixels to planes");
  arrived(pixels, planes, nullptr, "arguments of pixels to planes");
  expect(smsr_planes_to_pixels(numbers, pixels, &flag, 3, 5, 2, stream) == nullptr, "planes to pixels");
  arrived(planes, pixels, &flag, "arguments of planes to pixels");
  recorded().next = Status::kBadPointer;
  const std::string words = smsr::describe(Status::kBadPointer);
  expect(smsr_pixels_to_planes(pixels, numbers, 3, 5, 2, stream) == words, "a refusal of pixels in words");
  expect(smsr_planes_to_pixels(numbers, pixels, &flag, 3, 5, 2, stream) == words, "of planes, too");
  recorded().next = Status::kOk;
  expect(recorded().pixel_launches == 4, "each called once");
}

void check_log() {
  setenv("SMSR_TRT_LOG", "0", 1);
  expect(printed([] { trt::report("text"); }).empty(), "SMSR_TRT_LOG=0 is silent");
  unsetenv("SMSR_TRT_LOG");
  expect(printed([] { trt::report("text"); }) == "smsr: text\n", "one line by default");
  expect(printed([] { expect(trt::guarded(7, []() -> int { throw 1; }) == 7, "any exception stops"); }) ==
             "smsr: unknown error\n",
         "unknown exceptions are reported");
}

}  // namespace
}  // namespace smsr::testing

int main() {
  unsetenv("SMSR_TRT_LOG");
  smsr::testing::check_attributes();
  smsr::testing::check_state();
  smsr::testing::check_formats();
  smsr::testing::check_shapes();
  smsr::testing::check_launch();
  smsr::testing::check_failures();
  smsr::testing::check_pixels();
  smsr::testing::check_log();
  return smsr::testing::summary("TensorRT adapters' core");
}
