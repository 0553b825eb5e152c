// Drives the plugin for TensorRT 8.5 and 8.6, method by method: drive PLUGIN. There is no runtime of 8 to
// take, so the registry is ours: 8.5's plugin registers itself there when it is opened, 8.6's hands out its
// creators.
#include <dlfcn.h>
#include <sys/wait.h>

#include <memory>

#include "trt_tensors.h"

namespace smsr::testing {
namespace {

using namespace nvinfer1;

struct Destroy {
  void operator()(IPluginV2DynamicExt* plugin) const { plugin->destroy(); }
};
using PluginPointer = std::unique_ptr<IPluginV2DynamicExt, Destroy>;

void check_creator(IPluginCreator& creator) {
  creator.setPluginNamespace("other");
  expect(same(creator.getPluginName(), "SparseMaskModule") && same(creator.getPluginVersion(), "1") &&
             same(creator.getPluginNamespace(), "smsr"),
         "creator's names, whatever is set");
  check_announced(*creator.getFieldNames());
}

PluginPointer create(IPluginCreator& creator, const PluginFieldCollection* fields) {
  return PluginPointer(static_cast<IPluginV2DynamicExt*>(creator.createPlugin("body.0", fields)));
}

PluginPointer restored(IPluginCreator& creator, const void* bytes, size_t count) {
  return PluginPointer(static_cast<IPluginV2DynamicExt*>(creator.deserializePlugin("body.0", bytes, count)));
}

void check_core(IPluginV2DynamicExt& plugin) {
  plugin.setPluginNamespace("other");
  expect(same(plugin.getPluginType(), "SparseMaskModule") && same(plugin.getPluginVersion(), "1") &&
             same(plugin.getPluginNamespace(), "smsr"),
         "plugin's names, whatever is set");
  expect(plugin.getNbOutputs() == 1, "one output");
  for (const DataType type : {DataType::kFLOAT, DataType::kHALF}) {
    std::array<DataType, op::kInputs> inputs;
    inputs.fill(type);
    expect(plugin.getOutputDataType(0, inputs.data(), op::kInputs) == type, "output's type is the features'");
  }
}

void check_formats(IPluginV2DynamicExt& plugin, const Node& node, const Way& way) {
  auto descs = descs_of(node, way.type, TensorFormat::kLINEAR);
  const auto supports = [&](int position, DataType type, TensorFormat format) {
    descs[static_cast<size_t>(position)].type = type;
    descs[static_cast<size_t>(position)].format = format;
    return plugin.supportsFormatCombination(position, descs.data(), op::kInputs, 1);
  };
  check_combinations(supports, way);
  const auto chosen = descs_of(node, way.type, way.format);
  for (int i = 0; i <= op::kInputs; ++i)
    expect(plugin.supportsFormatCombination(i, chosen.data(), op::kInputs, 1), "its own format is supported");
}

// Returns the workspace's size for the profile's largest shape.
size_t check_configuration(IPluginV2DynamicExt& plugin, const Way& way) {
  const auto dynamic = dynamic_descs_of(largest_node(), way.type, way.format);
  const std::string said =
      printed([&] { plugin.configurePlugin(dynamic.data(), op::kInputs, &dynamic[op::kInputs], 1); });
  expect(said.empty(), "configured, said: " + said);
  auto wrong = dynamic;
  wrong[op::kMargin].max.d[2] += 1;
  expect_one_line(printed([&] { plugin.configurePlugin(wrong.data(), op::kInputs, &wrong[op::kInputs], 1); }),
                  "shape of margin", "a margin of another height");
  const auto workspace = [&](const Node& largest) {
    const auto descs = descs_of(largest, way.type, way.format);
    return plugin.getWorkspaceSize(descs.data(), op::kInputs, &descs[op::kInputs], 1);
  };
  const size_t bytes = workspace(largest_node());
  check_workspace(bytes, way, workspace);
  return bytes;
}

void check_launch(IPluginV2DynamicExt& plugin, const Node& node, const Way& way, size_t workspace) {
  auto descs = descs_of(node, way.type, way.format);
  const Buffers buffers(node, way.bytes, workspace);
  void* const outputs[] = {buffers.output()};
  const auto stream = reinterpret_cast<cudaStream_t>(0x1234);
  const auto run = [&] {
    return plugin.enqueue(descs.data(), &descs[op::kInputs], buffers.inputs(), outputs, buffers.workspace(),
                          stream);
  };
  expect(plugin.initialize() == 0, "initialized");
  expect(run() == 0, "enqueue");
  expect_launch(node, buffers, way.cuda_type, way.layout, stream, way.compute);
  check_kernel_failure(run);
  descs[op::kMargin].dims.d[3] += 1;
  refused([&] { return run() != 0; }, "shape of margin", "a margin of another width");
  plugin.terminate();
}

// Through the engine's bytes; the plugin they come from is gone.
PluginPointer through_engine(IPluginCreator& creator, PluginPointer plugin) {
  const size_t count = plugin->getSerializationSize();
  std::vector<unsigned char> bytes(count + kCanaries, kCanary);
  plugin->serialize(bytes.data());
  bool alive = true;
  for (size_t i = count; i < bytes.size(); ++i) alive = alive && bytes[i] == kCanary;
  expect(alive, "writes no more than it said");
  plugin.reset();
  PluginPointer again = restored(creator, bytes.data(), count);
  refused([&] { return restored(creator, bytes.data(), count - 1) == nullptr; },
          "saved plugin: expected 56 bytes", "too few bytes");
  bytes[3] ^= 1;
  refused([&] { return restored(creator, bytes.data(), count) == nullptr; }, "build the engine again",
          "changed bytes");
  return again;
}

void check_way(IPluginCreator& creator, const Way& way) {
  const Node node = unlike_node(), largest = largest_node();
  PluginPointer plugin = create(creator, NodeFields(node, way.compute).collection());
  expect(plugin != nullptr, "created");
  if (!plugin) return;
  check_core(*plugin);
  check_shape_rule(
      [&](const DimsExprs* inputs, int32_t count, IExprBuilder& expressions, DimsExprs* output) {
        *output = plugin->getOutputDimensions(0, inputs, count, expressions);
        return output->nbDims >= 0;
      },
      node);
  check_formats(*plugin, node, way);
  const size_t workspace = check_configuration(*plugin, way);
  check_launch(*plugin, largest, way, workspace);
  const PluginPointer copy(plugin->clone());
  plugin = through_engine(creator, std::move(plugin));
  expect(copy && plugin, "cloned, restored");
  check_launch(*copy, node, way, workspace);
  check_launch(*plugin, node, way, workspace);
}

// Keeps what registers itself.
class Registry final : public IPluginRegistry {
 public:
  bool registerCreator(IPluginCreator& creator, AsciiChar const* const space) noexcept override {
    ++registrations;
    found = &creator;
    name_space = space;
    return accepts;
  }
  IPluginCreator* const* getPluginCreatorList(int32_t* const) const noexcept override { return nullptr; }
  IPluginCreator* getPluginCreator(AsciiChar const* const, AsciiChar const* const,
                                   AsciiChar const* const) noexcept override {
    return found;
  }
  void setErrorRecorder(IErrorRecorder* const) noexcept override {}
  IErrorRecorder* getErrorRecorder() const noexcept override { return nullptr; }
  bool deregisterCreator(IPluginCreator const&) noexcept override { return true; }
#if NV_TENSORRT_MINOR >= 6
  bool isParentSearchEnabled() const override { return false; }
  void setParentSearchEnabled(bool const) override {}
  PluginLibraryHandle loadLibrary(AsciiChar const*) noexcept override { return nullptr; }
  void deregisterLibrary(PluginLibraryHandle) noexcept override {}
#endif

  bool accepts = true;
  int registrations = 0;
  IPluginCreator* found = nullptr;
  std::string name_space;
} registry;

// 8.6's loadLibrary() asks the opened library for creators to register: `expected` of them.
void check_entry_points(void* library, int32_t expected) {
#if NV_TENSORRT_MINOR >= 6
  const auto set_finder = reinterpret_cast<void (*)(ILoggerFinder*)>(dlsym(library, "setLoggerFinder"));
  const auto creators =
      reinterpret_cast<IPluginCreator* const* (*)(int32_t&)>(dlsym(library, "getPluginCreators"));
  expect(set_finder != nullptr && creators != nullptr, "8.6's entry points");
  if (set_finder == nullptr || creators == nullptr) return;
  set_finder(nullptr);
  int32_t count = -1;
  expect(creators(count)[0] == registry.found && count == expected, "creators left to register");
#else
  expect(dlsym(library, "getPluginCreators") == nullptr,
         "no entry point of 8.6, " + std::to_string(expected));
#endif
}

// In a process of its own, since a library registers itself only once a process.
void check_refused_registration(const char* path) {
  const pid_t child = fork();
  if (child == 0) {
    registry.accepts = false;
    void* library = nullptr;
    expect_one_line(printed([&] { library = dlopen(path, RTLD_NOW); }),
                    "registry: expected to take this plugin", "a refused registration");
    check_entry_points(library, 1);
    std::fflush(stdout);
    _exit(failed == 0 ? 0 : 1);
  }
  int status = -1;
  expect(child > 0 && waitpid(child, &status, 0) == child && status == 0,
         "a refused registration is reported");
}

IPluginCreator* open_plugin(const char* path) {
  check_refused_registration(path);
  void* library = dlopen(path, RTLD_NOW);
  if (library == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), nullptr;
  expect(registry.registrations == 1 && registry.name_space == "smsr", "registered once, in namespace smsr");
  check_entry_points(library, 0);
  return registry.found;
}

int drive(const char* path) {
  IPluginCreator* creator = open_plugin(path);
  expect(creator != nullptr, "found its creator");
  if (creator == nullptr) return summary("own registry");
  check_creator(*creator);
  for (const Way& way : kWays) check_way(*creator, way);
  check_bad_fields([&](const PluginFieldCollection* fields) { return create(*creator, fields) != nullptr; });
  return summary("own registry");
}

}  // namespace
}  // namespace smsr::testing

// What libnvinfer would give the plugin.
extern "C" __attribute__((visibility("default"))) nvinfer1::IPluginRegistry* getPluginRegistry() noexcept {
  return &smsr::testing::registry;
}

int main(int count, char** arguments) {
  if (count != 2) return std::fprintf(stderr, "usage: drive PLUGIN\n"), 2;
  unsetenv("SMSR_TRT_LOG");
  return smsr::testing::drive(arguments[1]);
}
