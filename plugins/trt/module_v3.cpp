// The plugin for TensorRT 10 and newer (IPluginV3). It links nothing of TensorRT: the runtime finds the
// creator through getCreators(). The library does not register itself when opened: the registry's table of
// functions differs between TensorRT 10 and 11, and loadLibrary() would then refuse the creator as registered
// already.
#include "convert.h"

#if NV_TENSORRT_MAJOR < 10
#error "module_v3.cpp needs the headers of TensorRT 10 or newer; TensorRT 8 has module_v2.cpp"
#endif

namespace smsr::trt {
namespace {

using namespace nvinfer1;

constexpr const char* kStateField = "state";
constexpr int32_t kFailed = 1;

class ModulePlugin final : public IPluginV3,
                           public IPluginV3OneCore,
                           public IPluginV3OneBuild,
                           public IPluginV3OneRuntime {
 public:
  explicit ModulePlugin(const Module& module) : module_(module), state_(module.state()) {}

  IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
    if (type == PluginCapabilityType::kCORE) return static_cast<IPluginV3OneCore*>(this);
    if (type == PluginCapabilityType::kBUILD) return static_cast<IPluginV3OneBuild*>(this);
    return type == PluginCapabilityType::kRUNTIME ? static_cast<IPluginV3OneRuntime*>(this) : nullptr;
  }

  IPluginV3* clone() noexcept override {
    return guarded<IPluginV3*>(nullptr, [&] { return new ModulePlugin(module_); });
  }

  // Core
  const char* getPluginName() const noexcept override { return op::kName; }
  const char* getPluginVersion() const noexcept override { return contract::kOperatorVersionText; }
  const char* getPluginNamespace() const noexcept override { return contract::kDomain; }

  // Build
  int32_t getNbOutputs() const noexcept override { return kOutputs; }

  int32_t getOutputDataTypes(DataType* outputs, int32_t output_count, const DataType* inputs,
                             int32_t input_count) const noexcept override {
    return guarded(kFailed, [&] {
      module_.check_counts(input_count, output_count);
      std::array<ElementType, op::kInputs> types{};
      for (size_t i = 0; i < types.size(); ++i) types[i] = to_type(inputs[i]);
      module_.check_types(types.data());
      outputs[0] = inputs[op::kFeatures];
      return 0;
    });
  }

  int32_t getOutputShapes(const DimsExprs* inputs, int32_t input_count, const DimsExprs*, int32_t,
                          DimsExprs* outputs, int32_t output_count, IExprBuilder&) noexcept override {
    return guarded(kFailed, [&] {
      module_.check_counts(input_count, output_count);
      module_.check_shapes(input_shapes([&](int i) { return to_dimensions(inputs[i]); }));
      outputs[0] = inputs[op::kFeatures];
      return 0;
    });
  }

  bool supportsFormatCombination(int32_t position, const DynamicPluginTensorDesc* tensors,
                                 int32_t input_count, int32_t output_count) noexcept override {
    return guarded(false, [&] {
      module_.check_counts(input_count, output_count);
      return module_.supports(position, to_tensor(tensors[position].desc),
                              to_tensor(tensors[op::kFeatures].desc));
    });
  }

  int32_t configurePlugin(const DynamicPluginTensorDesc* inputs, int32_t input_count,
                          const DynamicPluginTensorDesc*, int32_t output_count) noexcept override {
    return guarded(kFailed, [&] {
      module_.check_counts(input_count, output_count);
      module_.check_shapes(input_shapes([&](int i) { return to_dimensions(inputs[i].desc.dims); }));
      module_.check_shapes(input_shapes([&](int i) { return to_dimensions(inputs[i].max); }));
      module_.workspace_bytes(largest(inputs[op::kFeatures]));  // refuses what the kernels would
      return 0;
    });
  }

  // For the profile's largest shape; it suffices for all smaller ones.
  size_t getWorkspaceSize(const DynamicPluginTensorDesc* inputs, int32_t, const DynamicPluginTensorDesc*,
                          int32_t) const noexcept override {
    return guarded(kRefusedWorkspace,
                   [&] { return module_.workspace_bytes(largest(inputs[op::kFeatures])); });
  }

  const char* getTimingCacheID() noexcept override { return module_.description().c_str(); }
  const char* getMetadataString() noexcept override { return module_.description().c_str(); }

  // Runtime
  int32_t onShapeChange(const PluginTensorDesc* inputs, int32_t input_count, const PluginTensorDesc*,
                        int32_t output_count) noexcept override {
    return guarded(kFailed, [&] {
      module_.check_counts(input_count, output_count);
      module_.check_shapes(input_shapes([&](int i) { return to_dimensions(inputs[i].dims); }));
      return 0;
    });
  }

  int32_t enqueue(const PluginTensorDesc* input_descs, const PluginTensorDesc*, const void* const* inputs,
                  void* const* outputs, void* workspace, cudaStream_t stream) noexcept override {
    return guarded(kFailed, [&] {
      module_.enqueue(to_tensor(input_descs[op::kFeatures]), inputs, outputs[0], workspace, stream);
      return 0;
    });
  }

  // A plugin has no state per execution context.
  IPluginV3* attachToContext(IPluginResourceContext*) noexcept override { return clone(); }

  const PluginFieldCollection* getFieldsToSerialize() noexcept override { return &saved_; }

 private:
  const Module module_;
  const State state_;
  const PluginField state_field_{kStateField, &state_, PluginFieldType::kUNKNOWN, sizeof(State)};
  const PluginFieldCollection saved_{1, &state_field_};
};

class ModuleCreator final : public AnnouncingCreator<IPluginCreatorV3One> {
 public:
  IPluginV3* createPlugin(const char* name, const PluginFieldCollection* fields,
                          TensorRTPhase phase) noexcept override {
    return guarded<IPluginV3*>(nullptr, [&] {
      return new ModulePlugin(phase == TensorRTPhase::kRUNTIME ? restored(name, fields)
                                                               : to_module(name, fields));
    });
  }

 private:
  // From the fields that getFieldsToSerialize() returned, which TensorRT saved in the engine.
  static Module restored(const char* name, const PluginFieldCollection* fields) {
    if (fields != nullptr && fields->fields != nullptr)
      for (int32_t i = 0; i < fields->nbFields; ++i)
        if (to_field(fields->fields[i]).name == kStateField)
          return Module::from_state(name, fields->fields[i].data,
                                    static_cast<size_t>(fields->fields[i].length));
    return Module::from_state(name, nullptr, 0);
  }
};

}  // namespace
}  // namespace smsr::trt

SMSR_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
  static nvinfer1::IPluginCreatorInterface* const creators[] = {
      smsr::trt::creator<smsr::trt::ModuleCreator>()};
  count = 1;
  return creators;
}

// The registry refuses a library without this function. Not used: see report() in module_core.h.
SMSR_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder*) {}
