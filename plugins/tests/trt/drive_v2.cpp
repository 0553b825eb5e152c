// Calls every method of the plugin for TensorRT 8.5 and 8.6: drive PLUGIN. No runtime of TensorRT 8 is
// available separately, so this program has a registry of its own. The plugin registers itself there when it
// is opened; that for 8.6 can also return its creators.
#include <dlfcn.h>
#include <sys/wait.h>

#include <memory>

#include "branch_checks.h"
#include "trt_checks.h"

namespace smsr::testing {
namespace {

using namespace nvinfer1;

struct Destroy {
  void operator()(IPluginV2DynamicExt* plugin) const { plugin->destroy(); }
};
using PluginPointer = std::unique_ptr<IPluginV2DynamicExt, Destroy>;

void check_creator(IPluginCreator& creator) {
  creator.setPluginNamespace("other");
  check_names(creator.getPluginName(), creator.getPluginVersion(), creator.getPluginNamespace(),
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
  check_names(plugin.getPluginType(), plugin.getPluginVersion(), plugin.getPluginNamespace(),
              "plugin's names, whatever is set");
  expect(plugin.getNbOutputs() == 1, "one output");
  for (const DataType type : {DataType::kFLOAT, DataType::kHALF}) {
    std::array<DataType, op::kInputs> inputs;
    inputs.fill(type);
    expect(plugin.getOutputDataType(0, inputs.data(), op::kInputs) == type, "output's type is the features'");
  }
}

void check_formats(IPluginV2DynamicExt& plugin, const Node& node, const Way& way) {
  check_formats(descs_of(node, way.type, TensorFormat::kLINEAR), descs_of(node, way.type, way.format), way,
                [&](int position, const PluginTensorDesc* descs) {
                  return plugin.supportsFormatCombination(position, descs, op::kInputs, 1);
                });
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
  return check_workspace(way, workspace);
}

void check_launch(IPluginV2DynamicExt& plugin, const Node& node, const Way& way, size_t workspace) {
  const auto enqueue = [&](const PluginTensorDesc* descs, auto inputs, auto outputs, void* memory) {
    return plugin.enqueue(descs, &descs[op::kInputs], inputs, outputs, memory, some_stream());
  };
  expect(plugin.initialize() == 0, "initialized");
  check_launch(node, way, workspace, enqueue);
  const Buffers buffers(node, way.bytes, workspace);
  void* const outputs[] = {buffers.output()};
  check_wrong_margin(node, way, [&](const PluginTensorDesc* descs) {
    return enqueue(descs, buffers.inputs(), outputs, buffers.workspace()) != 0;
  });
  plugin.terminate();
}

// As from an engine: created from the saved bytes, after the plugin that wrote them is destroyed.
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

void check_branch(IPluginCreator& creator) {
  check_branch_fields(*creator.getFieldNames(), [&](const PluginFieldCollection* fields) {
    return create(creator, fields) != nullptr;
  });
  PluginPointer plugin = create(creator, BranchFields().collection());
  expect(plugin != nullptr, "branch: created");
  if (!plugin) return;
  expect(same(plugin->getPluginType(), "MaskBranch") && same(plugin->getPluginNamespace(), "smsr"),
         "branch: names");
  check_branch_shapes(
      [&](const DimsExprs* inputs, int32_t count, IExprBuilder& expressions, DimsExprs* shape) {
        *shape = plugin->getOutputDimensions(0, inputs, count, expressions);
        return shape->nbDims >= 0;
      });
  check_branch_formats([&](int position, const PluginTensorDesc* descs) {
    return plugin->supportsFormatCombination(position, descs, branch_op::kInputs, 1);
  });
  const BranchNode largest{3, 64, 31, 17, 16};
  const auto dynamic = dynamic_branch_descs(largest);
  const std::string said = printed(
      [&] { plugin->configurePlugin(dynamic.data(), branch_op::kInputs, &dynamic[branch_op::kInputs], 1); });
  expect(said.empty(), "branch: configured, said: " + said);
  const auto descs_of_largest = branch_descs(largest);
  const size_t workspace = plugin->getWorkspaceSize(descs_of_largest.data(), branch_op::kInputs,
                                                    &descs_of_largest[branch_op::kInputs], 1);
  expect(recorded().branch_asked.height == 31 && workspace > 777, "branch: workspace of the largest");
  const size_t count = plugin->getSerializationSize();
  std::vector<unsigned char> bytes(count);
  plugin->serialize(bytes.data());
  plugin = restored(creator, bytes.data(), count);
  expect(plugin != nullptr, "branch: restored");
  bytes[3] ^= 1;
  expect_branch_line(
      printed([&] { expect(restored(creator, bytes.data(), count) == nullptr, "branch: changed bytes"); }),
      "build the engine again");
  plugin.reset(plugin->clone());
  for (const BranchNode& node : {largest, BranchNode{}})
    check_branch_launch(node, workspace, some_stream(),
                        [&](const PluginTensorDesc* descs, auto inputs, auto outputs, void* memory) {
                          return plugin->enqueue(descs, &descs[branch_op::kInputs], inputs, outputs, memory,
                                                 some_stream());
                        });
}

// Records the creators that register themselves.
class Registry final : public IPluginRegistry {
 public:
  bool registerCreator(IPluginCreator& creator, AsciiChar const* const space) noexcept override {
    ++registrations;
    (registered == nullptr ? registered : second) = &creator;
    name_space = space;
    return accepts;
  }
  IPluginCreator* const* getPluginCreatorList(int32_t* const) const noexcept override { return nullptr; }
  IPluginCreator* getPluginCreator(AsciiChar const* const, AsciiChar const* const,
                                   AsciiChar const* const) noexcept override {
    return registered;
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
  IPluginCreator *registered = nullptr, *second = nullptr;  // the module's, the branch's
  std::string name_space;
} registry;

// TensorRT 8.6's loadLibrary() gets from the opened library the creators to register: `expected` of them.
void check_entry_points(void* library, int32_t expected) {
#if NV_TENSORRT_MINOR >= 6
  const auto set_finder = reinterpret_cast<void (*)(ILoggerFinder*)>(dlsym(library, "setLoggerFinder"));
  const auto creators =
      reinterpret_cast<IPluginCreator* const* (*)(int32_t&)>(dlsym(library, "getPluginCreators"));
  expect(set_finder != nullptr && creators != nullptr, "8.6's entry points");
  if (set_finder == nullptr || creators == nullptr) return;
  set_finder(nullptr);
  int32_t count = -1;
  expect(creators(count)[0] == registry.registered && count == expected, "creators left to register");
#else
  expect(dlsym(library, "getPluginCreators") == nullptr,
         "no entry point of 8.6, " + std::to_string(expected));
#endif
}

// In a process of its own, because a library registers itself only once per process.
void check_refused_registration(const char* path) {
  const pid_t child = fork();
  if (child == 0) {
    registry.accepts = false;
    void* library = nullptr;
    expect_one_line(printed([&] { library = dlopen(path, RTLD_NOW); }),
                    "registry: expected to take this plugin", "a refused registration");
    check_entry_points(library, 2);
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
  expect(registry.registrations == 2 && registry.name_space == "smsr",
         "both registered once, in namespace smsr");
  check_entry_points(library, 0);
  return registry.registered;
}

int drive(const char* path) {
  IPluginCreator* creator = open_plugin(path);
  expect(creator != nullptr, "found its creator");
  if (creator == nullptr) return summary("own registry");
  check_creator(*creator);
  for (const Way& way : kWays) check_way(*creator, way);
  check_bad_fields([&](const PluginFieldCollection* fields) { return create(*creator, fields) != nullptr; });
  expect(registry.second != nullptr, "the mask branch is registered");
  if (registry.second != nullptr) check_branch(*registry.second);
  return summary("own registry");
}

}  // namespace
}  // namespace smsr::testing

// The plugin calls it; in a real process it is libnvinfer's.
extern "C" __attribute__((visibility("default"))) nvinfer1::IPluginRegistry* getPluginRegistry() noexcept {
  return &smsr::testing::registry;
}

int main(int count, char** arguments) {
  if (count != 2) return std::fprintf(stderr, "usage: drive PLUGIN\n"), 2;
  unsetenv("SMSR_TRT_LOG");
  return smsr::testing::drive(arguments[1]);
}
