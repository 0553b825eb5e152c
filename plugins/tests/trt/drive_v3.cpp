// Calls every method of the plugin for TensorRT 10 and newer, as registered in a real runtime: drive RUNTIME
// PLUGIN. RUNTIME is NVIDIA's libnvinfer_lean.so.N; this program is built with headers of the same major
// version N, because the registry's table of functions differs between 10 and 11. PLUGIN may be built for an
// older one. Without a GPU: cuda_double.h replaces the kernels.
#include <dlfcn.h>

#include <memory>

#include "branch_checks.h"
#include "trt_checks.h"

namespace smsr::testing {
namespace {

using namespace nvinfer1;
using PluginPointer = std::unique_ptr<IPluginV3>;

struct Capabilities {
  explicit Capabilities(IPluginV3& plugin)
      : core(static_cast<IPluginV3OneCore*>(plugin.getCapabilityInterface(PluginCapabilityType::kCORE))),
        build(static_cast<IPluginV3OneBuild*>(plugin.getCapabilityInterface(PluginCapabilityType::kBUILD))),
        runtime(static_cast<IPluginV3OneRuntime*>(
            plugin.getCapabilityInterface(PluginCapabilityType::kRUNTIME))) {}
  IPluginV3OneCore* core;
  IPluginV3OneBuild* build;
  IPluginV3OneRuntime* runtime;
};

void check_creator(IPluginCreatorV3One& creator) {
  expect(same(creator.getInterfaceInfo().kind, "PLUGIN CREATOR_V3ONE"), "kind of creator");
  check_names(creator.getPluginName(), creator.getPluginVersion(), creator.getPluginNamespace(),
              "creator's names");
  check_announced(*creator.getFieldNames());
}

PluginPointer create(IPluginCreatorV3One& creator, const PluginFieldCollection* fields,
                     TensorRTPhase phase = TensorRTPhase::kBUILD) {
  return PluginPointer(creator.createPlugin("body.0", fields, phase));
}

void check_core(IPluginV3& plugin) {
  const Capabilities of(plugin);
  expect(same(plugin.getInterfaceInfo().kind, "PLUGIN"), "kind of plugin");
  expect(same(of.core->getInterfaceInfo().kind, "PLUGIN_V3ONE_CORE") &&
             same(of.build->getInterfaceInfo().kind, "PLUGIN_V3ONE_BUILD") &&
             same(of.runtime->getInterfaceInfo().kind, "PLUGIN_V3ONE_RUNTIME"),
         "kinds of capabilities");
  check_names(of.core->getPluginName(), of.core->getPluginVersion(), of.core->getPluginNamespace(),
              "plugin's names");
  expect(plugin.getCapabilityInterface(static_cast<PluginCapabilityType>(9)) == nullptr,
         "unknown capability");
}

void check_types(IPluginV3OneBuild& build, const Way& way) {
  std::array<DataType, op::kInputs> inputs;
  inputs.fill(way.type);
  DataType output = DataType::kINT8;
  expect(build.getNbOutputs() == 1, "one output");
  expect(build.getOutputDataTypes(&output, 1, inputs.data(), op::kInputs) == 0 && output == way.type,
         "output's type");
  inputs[op::kTheta] = way.type == DataType::kHALF ? DataType::kFLOAT : DataType::kHALF;
  refused([&] { return build.getOutputDataTypes(&output, 1, inputs.data(), op::kInputs) != 0; },
          "type of theta", "theta of another type");
  inputs.fill(DataType::kINT8);
  refused([&] { return build.getOutputDataTypes(&output, 1, inputs.data(), op::kInputs) != 0; },
          "type of features", "int8");
  refused([&] { return build.getOutputDataTypes(&output, 1, inputs.data(), 9) != 0; }, "got 9 and 1",
          "9 inputs");
}

void check_formats(IPluginV3OneBuild& build, const Node& node, const Way& way) {
  check_formats(dynamic_descs_of(node, way.type, TensorFormat::kLINEAR),
                dynamic_descs_of(node, way.type, way.format), way,
                [&](int position, const DynamicPluginTensorDesc* descs) {
                  return build.supportsFormatCombination(position, descs, op::kInputs, 1);
                });
  expect(build.getFormatCombinationLimit() >= 2, "limit of combinations");
}

// Returns the workspace's size for the profile's largest shape.
size_t check_configuration(IPluginV3OneBuild& build, const Way& way) {
  const auto configure = [&](const Node& largest) {
    const auto descs = dynamic_descs_of(largest, way.type, way.format);
    return build.configurePlugin(descs.data(), op::kInputs, &descs[op::kInputs], 1);
  };
  const auto workspace = [&](const Node& largest) {
    const auto descs = dynamic_descs_of(largest, way.type, way.format);
    return build.getWorkspaceSize(descs.data(), op::kInputs, &descs[op::kInputs], 1);
  };
  expect(configure(largest_node()) == 0, "configured");
  const size_t bytes = check_workspace(way, workspace);
  Node huge = largest_node();
  huge.h = huge.w = 1 << 15;
  refused([&] { return configure(huge) != 0; }, "less than 2^31 elements", "a profile too large");
  expect(build.getNbTactics() == 0 && build.getValidTactics(nullptr, 0) == 0, "no tactics of its own");
  return bytes;
}

void check_identity(IPluginCreatorV3One& creator, IPluginV3OneBuild& build, const Node& node) {
  Node other = node;
  other.dense_channels[0] = 25;
  const PluginPointer second = create(creator, NodeFields(other, "float32").collection());
  expect(second && !same(Capabilities(*second).build->getTimingCacheID(), build.getTimingCacheID()),
         "nodes of unlike attributes are timed apart");
  expect(std::string(build.getMetadataString()).find("dense_channels=24,9,3,0,7") != std::string::npos,
         "metadata");
}

// As from an engine: created from the saved fields, which are copied because the plugin that owns them is
// destroyed first.
PluginPointer restored(IPluginCreatorV3One& creator, PluginPointer plugin) {
  const std::string name = creator.getPluginName();
  const auto refuse = [&](const PluginFieldCollection* fields, const std::string& part,
                          const std::string& what) {
    expect_one_line(printed([&] {
                      expect(create(creator, fields, TensorRTPhase::kRUNTIME) == nullptr,
                             what + " is refused");
                    }),
                    part, what, name);
  };
  const PluginFieldCollection* saved = Capabilities(*plugin).runtime->getFieldsToSerialize();
  std::vector<std::vector<unsigned char>> bytes;
  std::vector<std::string> names;
  std::vector<PluginField> fields;
  for (int32_t i = 0; i < saved->nbFields; ++i) {
    const PluginField& field = saved->fields[i];
    expect(field.type == PluginFieldType::kUNKNOWN, "saved fields are bytes");
    const auto* start = static_cast<const unsigned char*>(field.data);
    bytes.emplace_back(start, start + field.length);
    names.emplace_back(field.name);
  }
  for (size_t i = 0; i < bytes.size(); ++i)
    fields.emplace_back(names[i].c_str(), bytes[i].data(), PluginFieldType::kUNKNOWN,
                        static_cast<int32_t>(bytes[i].size()));
  PluginFieldCollection collection{};
  collection.nbFields = static_cast<int32_t>(fields.size());
  collection.fields = fields.data();
  plugin.reset();
  auto again = create(creator, &collection, TensorRTPhase::kRUNTIME);
  bytes[0][3] ^= 1;
  refuse(&collection, "build the engine again", "a changed saved plugin");
  collection.nbFields = 0;
  refuse(&collection, "saved plugin: expected", "no saved plugin");
  return again;
}

void check_launch(IPluginV3OneRuntime& runtime, const Node& node, const Way& way, size_t workspace) {
  const auto changed = [&](const PluginTensorDesc* descs) {
    return runtime.onShapeChange(descs, op::kInputs, &descs[op::kInputs], 1);
  };
  expect(runtime.setTactic(0) == 0, "default tactic");
  expect(changed(descs_of(node, way.type, way.format).data()) == 0, "shape accepted");
  check_launch(node, way, workspace,
               [&](const PluginTensorDesc* descs, auto inputs, auto outputs, void* memory) {
                 return runtime.enqueue(descs, &descs[op::kInputs], inputs, outputs, memory, some_stream());
               });
  check_wrong_margin(node, way, [&](const PluginTensorDesc* descs) { return changed(descs) != 0; });
}

void check_way(IPluginCreatorV3One& creator, const Way& way) {
  const Node node = unlike_node(), largest = largest_node();
  PluginPointer plugin = create(creator, NodeFields(node, way.compute).collection());
  expect(plugin != nullptr, "created");
  if (!plugin) return;
  check_core(*plugin);
  const Capabilities of(*plugin);
  check_types(*of.build, way);
  check_shape_rule(
      [&](const DimsExprs* inputs, int32_t count, IExprBuilder& expressions, DimsExprs* output) {
        return of.build->getOutputShapes(inputs, count, nullptr, 0, output, 1, expressions) == 0;
      },
      node);
  check_formats(*of.build, node, way);
  const size_t workspace = check_configuration(*of.build, way);
  check_identity(creator, *of.build, node);
  check_launch(*of.runtime, largest, way, workspace);
  PluginPointer copy(plugin->clone());
  plugin = restored(creator, std::move(plugin));
  expect(copy && plugin, "cloned, restored");
  const PluginPointer attached(Capabilities(*plugin).runtime->attachToContext(nullptr));
  plugin.reset();
  check_launch(*Capabilities(*copy).runtime, node, way, workspace);
  check_launch(*Capabilities(*attached).runtime, node, way, workspace);
}

void check_branch(IPluginCreatorV3One& creator) {
  check_branch_fields(*creator.getFieldNames(), [&](const PluginFieldCollection* fields) {
    return create(creator, fields) != nullptr;
  });
  PluginPointer plugin = create(creator, BranchFields().collection());
  expect(plugin != nullptr, "branch: created");
  if (!plugin) return;
  const Capabilities of(*plugin);
  expect(same(of.core->getPluginName(), "MaskBranch") && same(of.core->getPluginNamespace(), "smsr"),
         "branch: names");
  std::array<DataType, branch_op::kInputs> types;
  types.fill(DataType::kHALF);
  DataType output = DataType::kINT8;
  expect(of.build->getOutputDataTypes(&output, 1, types.data(), branch_op::kInputs) == 0 &&
             output == DataType::kHALF,
         "branch: output's type");
  types[3] = DataType::kFLOAT;
  expect_branch_line(printed([&] {
                       expect(of.build->getOutputDataTypes(&output, 1, types.data(), branch_op::kInputs) != 0,
                              "branch: a float32 weight");
                     }),
                     "type of half_weight: expected float16");
  check_branch_shapes(
      [&](const DimsExprs* inputs, int32_t count, IExprBuilder& expressions, DimsExprs* shape) {
        return of.build->getOutputShapes(inputs, count, nullptr, 0, shape, 1, expressions) == 0;
      });
  check_branch_formats([&](int position, const PluginTensorDesc* descs) {
    std::vector<DynamicPluginTensorDesc> dynamic(branch_op::kInputs + 1);
    for (size_t i = 0; i < dynamic.size(); ++i) dynamic[i].desc = descs[i];
    return of.build->supportsFormatCombination(position, dynamic.data(), branch_op::kInputs, 1);
  });
  const BranchNode largest{3, 64, 31, 17, 16};
  const auto dynamic = dynamic_branch_descs(largest);
  expect(of.build->configurePlugin(dynamic.data(), branch_op::kInputs, &dynamic[branch_op::kInputs], 1) == 0,
         "branch: configured");
  const size_t workspace =
      of.build->getWorkspaceSize(dynamic.data(), branch_op::kInputs, &dynamic[branch_op::kInputs], 1);
  expect(recorded().branch_asked.height == 31 && workspace > 777, "branch: workspace of the largest");
  const PluginPointer copy = restored(creator, PluginPointer(plugin->clone()));
  plugin.reset();
  expect(copy != nullptr, "branch: restored");
  IPluginV3OneRuntime& runtime = *Capabilities(*copy).runtime;
  for (const BranchNode& node : {largest, BranchNode{}}) {
    expect(runtime.onShapeChange(branch_descs(node).data(), branch_op::kInputs,
                                 &branch_descs(node)[branch_op::kInputs], 1) == 0,
           "branch: shape accepted");
    check_branch_launch(node, workspace, some_stream(),
                        [&](const PluginTensorDesc* descs, auto inputs, auto outputs, void* memory) {
                          return runtime.enqueue(descs, &descs[branch_op::kInputs], inputs, outputs, memory,
                                                 some_stream());
                        });
  }
}

template <class Function>
Function symbol(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

int drive(const char* runtime_path, const char* plugin_path) {
  void* runtime = dlopen(runtime_path, RTLD_NOW | RTLD_GLOBAL);
  if (runtime == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 1;
  const int32_t version = symbol<int32_t (*)()>(runtime, "getInferLibVersion")();
  const int major = version / (version >= 100000 ? 10000 : 1000);
  if (major != NV_TENSORRT_MAJOR)
    return std::fprintf(stderr, "drive: expected a runtime of TensorRT %d, got %d\n", NV_TENSORRT_MAJOR,
                        major),
           1;
  IPluginRegistry* registry = symbol<IPluginRegistry* (*)()>(runtime, "getPluginRegistry")();
  const auto find = [&](const char* space) { return registry->getCreator("SparseMaskModule", "1", space); };

  expect(find("smsr") == nullptr, "not registered yet");
  auto* handle = registry->loadLibrary(plugin_path);
  expect(handle != nullptr, "loaded");
  auto* creator = static_cast<IPluginCreatorV3One*>(find("smsr"));
  expect(creator != nullptr && find("") == nullptr, "registered in namespace smsr only");
  if (creator == nullptr) return 1;
  check_creator(*creator);
  for (const Way& way : kWays) check_way(*creator, way);
  check_bad_fields([&](const PluginFieldCollection* fields) { return create(*creator, fields) != nullptr; });
  auto* branch = static_cast<IPluginCreatorV3One*>(registry->getCreator("MaskBranch", "1", "smsr"));
  expect(branch != nullptr, "the mask branch is registered");
  if (branch != nullptr) check_branch(*branch);
  expect(registry->loadLibrary(plugin_path) != nullptr || find("smsr") == creator,
         "loaded twice: still there");
  registry->deregisterLibrary(handle);
  expect(find("smsr") == nullptr, "deregistered");
  handle = registry->loadLibrary(plugin_path);
  expect(handle != nullptr && find("smsr") != nullptr, "loaded again");
  registry->deregisterLibrary(handle);
  return summary(("runtime " + std::to_string(version)).c_str());
}

}  // namespace
}  // namespace smsr::testing

int main(int count, char** arguments) {
  if (count != 3) return std::fprintf(stderr, "usage: drive RUNTIME PLUGIN\n"), 2;
  unsetenv("SMSR_TRT_LOG");
  return smsr::testing::drive(arguments[1], arguments[2]);
}
