// The plugins for TensorRT 8.5 and 8.6 (IPluginV2DynamicExt).
#include <cstring>

#include "convert.h"

#if NV_TENSORRT_MAJOR != 8 || NV_TENSORRT_MINOR < 5
#error "module_v2.cpp needs the headers of TensorRT 8.5 or 8.6; TensorRT 10 and newer have module_v3.cpp"
#endif

namespace smsr::trt {
namespace {

using namespace nvinfer1;

// Node: Module or Branch.
template <class Node>
class NodePlugin final : public IPluginV2DynamicExt {
 public:
  using Saved = typename Node::Saved;
  explicit NodePlugin(const Node& node) : node_(node) {}

  const char* getPluginType() const noexcept override { return Node::kName; }
  const char* getPluginVersion() const noexcept override { return contract::kOperatorVersionText; }
  const char* getPluginNamespace() const noexcept override { return contract::kDomain; }
  void setPluginNamespace(const char*) noexcept override {}  // it is always the contract's
  int32_t getNbOutputs() const noexcept override { return kOutputs; }
  int32_t initialize() noexcept override { return 0; }
  void terminate() noexcept override {}
  void destroy() noexcept override { delete this; }

  IPluginV2DynamicExt* clone() const noexcept override {
    return guarded<IPluginV2DynamicExt*>(nullptr, [&] { return new NodePlugin<Node>(node_); });
  }

  // In a weakly typed network this is float32 whatever `compute` says; supportsFormatCombination() decides.
  DataType getOutputDataType(int32_t, const DataType* inputs, int32_t) const noexcept override {
    return inputs[op::kFeatures];
  }

  DimsExprs getOutputDimensions(int32_t, const DimsExprs* inputs, int32_t input_count,
                                IExprBuilder& expressions) noexcept override {
    DimsExprs refused{};
    refused.nbDims = -1;  // TensorRT refuses the layer
    return guarded(refused, [&] {
      node_.check_counts(input_count, kOutputs);
      node_.check_shapes(input_shapes<Node>([&](int i) { return to_dimensions(inputs[i]); }));
      return output_shape<Node>(inputs[op::kFeatures], expressions);
    });
  }

  bool supportsFormatCombination(int32_t position, const PluginTensorDesc* tensors, int32_t input_count,
                                 int32_t output_count) noexcept override {
    return guarded(false, [&] {
      node_.check_counts(input_count, output_count);
      return node_.supports(position, to_tensor(tensors[position]), to_tensor(tensors[op::kFeatures]));
    });
  }

  // Cannot refuse: it reports, and enqueue() refuses.
  void configurePlugin(const DynamicPluginTensorDesc* inputs, int32_t input_count,
                       const DynamicPluginTensorDesc*, int32_t output_count) noexcept override {
    guarded(0, [&] {
      node_.check_counts(input_count, output_count);
      node_.check_shapes(input_shapes<Node>([&](int i) { return to_dimensions(inputs[i].max); }));
      return 0;
    });
  }

  // TensorRT passes the profile's largest shapes; their workspace suffices for all smaller ones.
  size_t getWorkspaceSize(const PluginTensorDesc* inputs, int32_t, const PluginTensorDesc*,
                          int32_t) const noexcept override {
    return guarded(kRefusedWorkspace,
                   [&] { return node_.workspace_bytes(to_tensor(inputs[op::kFeatures])); });
  }

  int32_t enqueue(const PluginTensorDesc* input_descs, const PluginTensorDesc*, const void* const* inputs,
                  void* const* outputs, void* workspace, cudaStream_t stream) noexcept override {
    return guarded(1, [&] {
      node_.check_shapes(input_shapes<Node>([&](int i) { return to_dimensions(input_descs[i].dims); }));
      node_.enqueue(to_tensor(input_descs[op::kFeatures]), inputs, outputs[0], workspace, stream);
      return 0;
    });
  }

  size_t getSerializationSize() const noexcept override { return sizeof(Saved); }

  void serialize(void* buffer) const noexcept override {
    const Saved state = node_.state();
    std::memcpy(buffer, &state, sizeof state);
  }

 private:
  const Node node_;
};

// Returns IPluginV2DynamicExt instead of the base class's IPluginV2, which the headers declare deprecated.
template <class Node>
class NodeCreator final : public AnnouncingCreator<IPluginCreator, Node> {
 public:
  IPluginV2DynamicExt* createPlugin(const char* name, const PluginFieldCollection* fields) noexcept override {
    return guarded<IPluginV2DynamicExt*>(nullptr,
                                         [&] { return new NodePlugin<Node>(to_node<Node>(name, fields)); });
  }

  IPluginV2DynamicExt* deserializePlugin(const char* name, const void* bytes,
                                         size_t count) noexcept override {
    return guarded<IPluginV2DynamicExt*>(
        nullptr, [&] { return new NodePlugin<Node>(Node::from_state(name, bytes, count)); });
  }

  void setPluginNamespace(const char*) noexcept override {}
};

// Opening this library registers its creators. TensorRT 8.5 can load plugins in no other way. In 8.6 the
// place of the registry's loadLibrary() in its table of functions differs between patch releases, whereas
// registerCreator() is the first in all of TensorRT 8. Not by REGISTER_TENSORRT_PLUGIN, whose namespace is
// always "".
template <class Node>
void register_creator(IPluginRegistry* registry) {
  if (registry == nullptr || !registry->registerCreator(*creator<NodeCreator<Node>>(), contract::kDomain))
    throw Error(std::string(Node::kName) +
                ": registry: expected to take this plugin, got a refusal; open this library only once");
}

const bool registered = guarded(false, [] {
  IPluginRegistry* registry = getPluginRegistry();
  register_creator<Module>(registry);
  register_creator<Branch>(registry);
  return true;
});

}  // namespace
}  // namespace smsr::trt

#if NV_TENSORRT_MINOR >= 6
// For the registry's loadLibrary(), which refuses creators that are registered already.
SMSR_EXPORT nvinfer1::IPluginCreator* const* getPluginCreators(int32_t& count) {
  static nvinfer1::IPluginCreator* const creators[] = {
      smsr::trt::creator<smsr::trt::NodeCreator<smsr::trt::Module>>(),
      smsr::trt::creator<smsr::trt::NodeCreator<smsr::trt::Branch>>()};
  count = smsr::trt::registered ? 0 : 2;
  return creators;
}

// loadLibrary() refuses a library without this function. Not used: see report() in module_core.h.
SMSR_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder*) {}
#endif
