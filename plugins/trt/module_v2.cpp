// The plugin for TensorRT 8.5 and 8.6 (IPluginV2DynamicExt).
#include <cstring>

#include "convert.h"

#if NV_TENSORRT_MAJOR != 8 || NV_TENSORRT_MINOR < 5
#error "module_v2.cpp needs the headers of TensorRT 8.5 or 8.6; TensorRT 10 and newer have module_v3.cpp"
#endif

namespace smsr::trt {
namespace {

using namespace nvinfer1;

class ModulePlugin final : public IPluginV2DynamicExt {
 public:
  explicit ModulePlugin(const Module& module) : module_(module) {}

  const char* getPluginType() const noexcept override { return op::kName; }
  const char* getPluginVersion() const noexcept override { return contract::kOperatorVersionText; }
  const char* getPluginNamespace() const noexcept override { return contract::kDomain; }
  void setPluginNamespace(const char*) noexcept override {}  // it is always the contract's
  int32_t getNbOutputs() const noexcept override { return kOutputs; }
  int32_t initialize() noexcept override { return 0; }
  void terminate() noexcept override {}
  void destroy() noexcept override { delete this; }

  IPluginV2DynamicExt* clone() const noexcept override {
    return guarded<IPluginV2DynamicExt*>(nullptr, [&] { return new ModulePlugin(module_); });
  }

  // In a weakly typed network this is float32 whatever `compute` says; supportsFormatCombination() decides.
  DataType getOutputDataType(int32_t, const DataType* inputs, int32_t) const noexcept override {
    return inputs[op::kFeatures];
  }

  DimsExprs getOutputDimensions(int32_t, const DimsExprs* inputs, int32_t input_count,
                                IExprBuilder&) noexcept override {
    DimsExprs refused{};
    refused.nbDims = -1;  // TensorRT refuses the layer
    return guarded(refused, [&] {
      module_.check_counts(input_count, kOutputs);
      module_.check_shapes(input_shapes([&](int i) { return to_dimensions(inputs[i]); }));
      return inputs[op::kFeatures];
    });
  }

  bool supportsFormatCombination(int32_t position, const PluginTensorDesc* tensors, int32_t input_count,
                                 int32_t output_count) noexcept override {
    return guarded(false, [&] {
      module_.check_counts(input_count, output_count);
      return module_.supports(position, to_tensor(tensors[position]), to_tensor(tensors[op::kFeatures]));
    });
  }

  // Cannot refuse: it reports, and enqueue() refuses.
  void configurePlugin(const DynamicPluginTensorDesc* inputs, int32_t input_count,
                       const DynamicPluginTensorDesc*, int32_t output_count) noexcept override {
    guarded(0, [&] {
      module_.check_counts(input_count, output_count);
      module_.check_shapes(input_shapes([&](int i) { return to_dimensions(inputs[i].max); }));
      return 0;
    });
  }

  // TensorRT passes the profile's largest shapes; their workspace suffices for all smaller ones.
  size_t getWorkspaceSize(const PluginTensorDesc* inputs, int32_t, const PluginTensorDesc*,
                          int32_t) const noexcept override {
    return guarded(kRefusedWorkspace,
                   [&] { return module_.workspace_bytes(to_tensor(inputs[op::kFeatures])); });
  }

  int32_t enqueue(const PluginTensorDesc* input_descs, const PluginTensorDesc*, const void* const* inputs,
                  void* const* outputs, void* workspace, cudaStream_t stream) noexcept override {
    return guarded(1, [&] {
      module_.check_shapes(input_shapes([&](int i) { return to_dimensions(input_descs[i].dims); }));
      module_.enqueue(to_tensor(input_descs[op::kFeatures]), inputs, outputs[0], workspace, stream);
      return 0;
    });
  }

  size_t getSerializationSize() const noexcept override { return sizeof(State); }

  void serialize(void* buffer) const noexcept override {
    const State state = module_.state();
    std::memcpy(buffer, &state, sizeof state);
  }

 private:
  const Module module_;
};

// Returns IPluginV2DynamicExt instead of the base class's IPluginV2, which the headers declare deprecated.
class ModuleCreator final : public AnnouncingCreator<IPluginCreator> {
 public:
  IPluginV2DynamicExt* createPlugin(const char* name, const PluginFieldCollection* fields) noexcept override {
    return guarded<IPluginV2DynamicExt*>(nullptr, [&] { return new ModulePlugin(to_module(name, fields)); });
  }

  IPluginV2DynamicExt* deserializePlugin(const char* name, const void* bytes,
                                         size_t count) noexcept override {
    return guarded<IPluginV2DynamicExt*>(
        nullptr, [&] { return new ModulePlugin(Module::from_state(name, bytes, count)); });
  }

  void setPluginNamespace(const char*) noexcept override {}
};

// Opening this library registers its creator. TensorRT 8.5 can load plugins in no other way. In 8.6 the place
// of the registry's loadLibrary() in its table of functions differs between patch releases, whereas
// registerCreator() is the first in all of TensorRT 8. Not by REGISTER_TENSORRT_PLUGIN, whose namespace is
// always "".
const bool registered = guarded(false, [] {
  IPluginRegistry* registry = getPluginRegistry();
  if (registry == nullptr || !registry->registerCreator(*creator<ModuleCreator>(), contract::kDomain))
    throw Error(std::string(op::kName) +
                ": registry: expected to take this plugin, got a refusal; open this library only once");
  return true;
});

}  // namespace
}  // namespace smsr::trt

#if NV_TENSORRT_MINOR >= 6
// For the registry's loadLibrary(), which refuses creators that are registered already.
SMSR_EXPORT nvinfer1::IPluginCreator* const* getPluginCreators(int32_t& count) {
  static nvinfer1::IPluginCreator* const creators[] = {smsr::trt::creator<smsr::trt::ModuleCreator>()};
  count = smsr::trt::registered ? 0 : 1;
  return creators;
}

// loadLibrary() refuses a library without this function. Not used: see report() in module_core.h.
SMSR_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder*) {}
#endif
