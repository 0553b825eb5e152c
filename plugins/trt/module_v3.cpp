// The plugins for TensorRT 10 and newer (IPluginV3). They link nothing of TensorRT: the runtime finds the
// creators through getCreators(). The library does not register itself when opened: the registry's table of
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

// Node: Module or Branch.
template <class Node>
class NodePlugin final : public IPluginV3,
                         public IPluginV3OneCore,
                         public IPluginV3OneBuild,
                         public IPluginV3OneRuntime {
 public:
  using Saved = typename Node::Saved;
  explicit NodePlugin(const Node& node) : node_(node), state_(node.state()) {}

  IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
    if (type == PluginCapabilityType::kCORE) return static_cast<IPluginV3OneCore*>(this);
    if (type == PluginCapabilityType::kBUILD) return static_cast<IPluginV3OneBuild*>(this);
    return type == PluginCapabilityType::kRUNTIME ? static_cast<IPluginV3OneRuntime*>(this) : nullptr;
  }

  IPluginV3* clone() noexcept override {
    return guarded<IPluginV3*>(nullptr, [&] { return new NodePlugin<Node>(node_); });
  }

  // Core
  const char* getPluginName() const noexcept override { return Node::kName; }
  const char* getPluginVersion() const noexcept override { return contract::kOperatorVersionText; }
  const char* getPluginNamespace() const noexcept override { return contract::kDomain; }

  // Build
  int32_t getNbOutputs() const noexcept override { return kOutputs; }

  int32_t getOutputDataTypes(DataType* outputs, int32_t output_count, const DataType* inputs,
                             int32_t input_count) const noexcept override {
    return guarded(kFailed, [&] {
      node_.check_counts(input_count, output_count);
      std::array<ElementType, Node::kInputs> types{};
      for (size_t i = 0; i < types.size(); ++i) types[i] = to_type(inputs[i]);
      node_.check_types(types.data());
      outputs[0] = inputs[op::kFeatures];
      return 0;
    });
  }

  int32_t getOutputShapes(const DimsExprs* inputs, int32_t input_count, const DimsExprs*, int32_t,
                          DimsExprs* outputs, int32_t output_count,
                          IExprBuilder& expressions) noexcept override {
    return guarded(kFailed, [&] {
      node_.check_counts(input_count, output_count);
      node_.check_shapes(input_shapes<Node>([&](int i) { return to_dimensions(inputs[i]); }));
      outputs[0] = output_shape<Node>(inputs[op::kFeatures], expressions);
      return 0;
    });
  }

  bool supportsFormatCombination(int32_t position, const DynamicPluginTensorDesc* tensors,
                                 int32_t input_count, int32_t output_count) noexcept override {
    return guarded(false, [&] {
      node_.check_counts(input_count, output_count);
      return node_.supports(position, to_tensor(tensors[position].desc),
                            to_tensor(tensors[op::kFeatures].desc));
    });
  }

  int32_t configurePlugin(const DynamicPluginTensorDesc* inputs, int32_t input_count,
                          const DynamicPluginTensorDesc*, int32_t output_count) noexcept override {
    return guarded(kFailed, [&] {
      node_.check_counts(input_count, output_count);
      node_.check_shapes(input_shapes<Node>([&](int i) { return to_dimensions(inputs[i].desc.dims); }));
      node_.check_shapes(input_shapes<Node>([&](int i) { return to_dimensions(inputs[i].max); }));
      node_.workspace_bytes(largest(inputs[op::kFeatures]));  // refuses what the kernels would
      return 0;
    });
  }

  // For the profile's largest shape; it suffices for all smaller ones.
  size_t getWorkspaceSize(const DynamicPluginTensorDesc* inputs, int32_t, const DynamicPluginTensorDesc*,
                          int32_t) const noexcept override {
    return guarded(kRefusedWorkspace, [&] { return node_.workspace_bytes(largest(inputs[op::kFeatures])); });
  }

  const char* getTimingCacheID() noexcept override { return node_.description().c_str(); }
  const char* getMetadataString() noexcept override { return node_.description().c_str(); }

  // Runtime
  int32_t onShapeChange(const PluginTensorDesc* inputs, int32_t input_count, const PluginTensorDesc*,
                        int32_t output_count) noexcept override {
    return guarded(kFailed, [&] {
      node_.check_counts(input_count, output_count);
      node_.check_shapes(input_shapes<Node>([&](int i) { return to_dimensions(inputs[i].dims); }));
      return 0;
    });
  }

  int32_t enqueue(const PluginTensorDesc* input_descs, const PluginTensorDesc*, const void* const* inputs,
                  void* const* outputs, void* workspace, cudaStream_t stream) noexcept override {
    return guarded(kFailed, [&] {
      node_.enqueue(to_tensor(input_descs[op::kFeatures]), inputs, outputs[0], workspace, stream);
      return 0;
    });
  }

  // A plugin has no state per execution context.
  IPluginV3* attachToContext(IPluginResourceContext*) noexcept override { return clone(); }

  const PluginFieldCollection* getFieldsToSerialize() noexcept override { return &saved_; }

 private:
  const Node node_;
  const Saved state_;
  const PluginField state_field_{kStateField, &state_, PluginFieldType::kUNKNOWN, sizeof(Saved)};
  const PluginFieldCollection saved_{1, &state_field_};
};

template <class Node>
class NodeCreator final : public AnnouncingCreator<IPluginCreatorV3One, Node> {
 public:
  IPluginV3* createPlugin(const char* name, const PluginFieldCollection* fields,
                          TensorRTPhase phase) noexcept override {
    return guarded<IPluginV3*>(nullptr, [&] {
      return new NodePlugin<Node>(phase == TensorRTPhase::kRUNTIME ? restored(name, fields)
                                                                   : to_node<Node>(name, fields));
    });
  }

 private:
  // From the fields that getFieldsToSerialize() returned, which TensorRT saved in the engine.
  static Node restored(const char* name, const PluginFieldCollection* fields) {
    if (fields != nullptr && fields->fields != nullptr)
      for (int32_t i = 0; i < fields->nbFields; ++i)
        if (to_field(fields->fields[i]).name == kStateField)
          return Node::from_state(name, fields->fields[i].data,
                                  static_cast<size_t>(fields->fields[i].length));
    return Node::from_state(name, nullptr, 0);
  }
};

}  // namespace
}  // namespace smsr::trt

SMSR_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
  static nvinfer1::IPluginCreatorInterface* const creators[] = {
      smsr::trt::creator<smsr::trt::NodeCreator<smsr::trt::Module>>(),
      smsr::trt::creator<smsr::trt::NodeCreator<smsr::trt::Branch>>()};
  count = 2;
  return creators;
}

// The registry refuses a library without this function. Not used: see report() in module_core.h.
SMSR_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder*) {}
