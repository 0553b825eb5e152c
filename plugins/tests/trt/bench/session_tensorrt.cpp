// The engine on a GPU.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <numeric>

#include "frames.h"
#include "library.h"
#include "picture.h"

namespace smsr::engine_bench {
namespace {

using namespace nvinfer1;

constexpr int kSmallestSide = 16;  // of the profile, which has pictures of all sizes up to the largest
constexpr int kWarmUps = 10;

// A captured run; empty where it cannot be captured.
class Graph {
 public:
  template <class Queue>
  Graph(cudaStream_t stream, const Queue& queue) {
    cudaGraph_t graph = nullptr;
    if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) return;
    const bool queued = queue();
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess && queued &&
        cudaGraphInstantiateWithFlags(&executable_, graph, 0) != cudaSuccess)
      executable_ = nullptr;
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();  // a refused capture is an answer, and must not fail the next call
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
  }
  cudaGraphExec_t executable() const { return executable_; }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

class Profiler final : public IProfiler {
 public:
  void reportLayerTime(const char* name, float milliseconds) noexcept override {
    const auto at =
        std::find_if(layers.begin(), layers.end(), [&](const LayerTime& l) { return l.name == name; });
    if (at != layers.end())
      at->microseconds += 1e3 * static_cast<double>(milliseconds);
    else
      layers.push_back({name, 1e3 * static_cast<double>(milliseconds)});
  }
  std::vector<LayerTime> layers;
};

Dims image_dims(int batch, int height, int width) { return Dims4{batch, 3, height, width}; }

size_t volume(const Dims& dims) {
  return std::accumulate(dims.d, dims.d + dims.nbDims, size_t{1},
                         [](size_t product, auto size) { return product * static_cast<size_t>(size); });
}

size_t context_bytes(const ICudaEngine& engine) {
#if NV_TENSORRT_MAJOR > 10 || (NV_TENSORRT_MAJOR == 10 && NV_TENSORRT_MINOR >= 1)
  return static_cast<size_t>(engine.getDeviceMemorySizeV2());
#else
  return engine.getDeviceMemorySize();
#endif
}

uint32_t network_flags() {
#if NV_TENSORRT_MAJOR < 10
  return 1u << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kEXPLICIT_BATCH);
#elif NV_TENSORRT_MAJOR == 10
  return 1u << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
#else
  return 0;  // all networks are strongly typed
#endif
}

#if NV_TENSORRT_MAJOR < 10
bool is_named(const ILayer& layer, const std::vector<std::string>& names) {
  const auto starts = [&](const std::string& name) {
    return std::strncmp(layer.getName(), name.c_str(), name.size()) == 0;
  };
  if (std::any_of(names.begin(), names.end(), starts)) return true;
  // the parser names only the first of the layers that it makes of a node after it
  for (int32_t i = 0; i < layer.getNbOutputs(); ++i)
    if (!names.empty() && std::strcmp(layer.getOutput(i)->getName(), "upscaled") == 0) return true;
  return false;
}

// As smsr_runtime.tensorrt.precision does: layers of integers compute sizes and stay as they are.
void pin_float32(INetworkDefinition& network, const std::vector<std::string>& names) {
  for (int32_t i = 0; i < network.getNbLayers(); ++i) {
    ILayer& layer = *network.getLayer(i);
    if (!is_named(layer, names)) continue;
    for (int32_t k = 0; k < layer.getNbOutputs(); ++k) {
      if (layer.getOutput(k)->getType() != DataType::kFLOAT) continue;
      layer.setPrecision(DataType::kFLOAT);
      layer.setOutputType(k, DataType::kFLOAT);
    }
  }
}
#endif

void configure(IBuilderConfig& config, [[maybe_unused]] INetworkDefinition& network, const Options& options) {
  config.clearFlag(BuilderFlag::kTF32);
  config.setMaxAuxStreams(0);  // layers one after the other, so that their times add up
  config.setBuilderOptimizationLevel(options.level);
  config.setProfilingVerbosity(ProfilingVerbosity::kDETAILED);
#if NV_TENSORRT_MAJOR < 10
  if (options.half) config.setFlag(BuilderFlag::kFP16);
  if (!options.float32.empty()) config.setFlag(BuilderFlag::kOBEY_PRECISION_CONSTRAINTS);
  pin_float32(network, options.float32);
  // without the libraries that a machine with CUDA alone does not have: cuBLAS, cuDNN
  config.setTacticSources(1u << static_cast<uint32_t>(TacticSource::kEDGE_MASK_CONVOLUTIONS) |
                          1u << static_cast<uint32_t>(TacticSource::kJIT_CONVOLUTIONS));
#endif
}

void parse(nvonnxparser::IParser& parser, const std::string& path, Log& log) {
  if (parser.parseFromFile(path.c_str(), static_cast<int>(ILogger::Severity::kWARNING))) return;
  const std::string reason =
      parser.getNbErrors() > 0 ? std::string(parser.getError(0)->desc()) : log.reason();
  throw Failure(path, "a model that TensorRT reads", reason.substr(0, reason.find('\n')),
                "check --plugin, and that the model is of this release");
}

void set_profile(IBuilder& builder, IBuilderConfig& config, const Options& options, const Size& largest) {
  IOptimizationProfile& profile = *builder.createOptimizationProfile();
  const int batch = *std::max_element(options.batches.begin(), options.batches.end());
  const auto set = [&](OptProfileSelector which, int n, int height, int width) {
    if (!profile.setDimensions("image", which, image_dims(n, height, width)))
      throw Failure(options.onnx, "an input image of N x 3 x H x W", "another", "export the model again");
  };
  set(OptProfileSelector::kMIN, 1, std::min(kSmallestSide, largest.height),
      std::min(kSmallestSide, largest.width));
  set(OptProfileSelector::kOPT, 1, largest.height, largest.width);
  set(OptProfileSelector::kMAX, batch, largest.height, largest.width);
  if (config.addOptimizationProfile(&profile) < 0)
    throw Failure(options.onnx, "a profile that TensorRT takes", "a refusal", "report this");
}

std::vector<char> build(const Library& library, Log& log, const Options& options, const Size& largest) {
  const std::unique_ptr<IBuilder> builder(library.builder(log));
  const std::unique_ptr<INetworkDefinition> network(builder->createNetworkV2(network_flags()));
  const std::unique_ptr<IBuilderConfig> config(builder->createBuilderConfig());
  if (!network || !config)
    throw Failure("TensorRT", "a network and its settings", log.reason(), "check the GPU");
  const std::unique_ptr<nvonnxparser::IParser> parser(library.parser(*network, log));
  parse(*parser, options.onnx, log);
  configure(*config, *network, options);
  set_profile(*builder, *config, options, largest);
  const std::unique_ptr<IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
  if (!plan) throw Failure(options.onnx, "an engine", log.reason(), "see TensorRT's lines above");
  const auto* bytes = static_cast<const char*>(plan->data());
  return {bytes, bytes + plan->size()};
}

std::string gpu_name() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0)
    throw Failure("GPU", "a CUDA device", cudaGetErrorString(cudaGetLastError()),
                  "run this where there is one");
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0), "GPU");
  return properties.name;
}

class GpuSession final : public Session {
 public:
  GpuSession(const Options& options, const Size& largest)
      : library_(options.tensorrt, !options.load_plan.empty()) {
    facts_.tensorrt = library_.version();
    if (!options.plugin.empty()) library_.load_plugin(options.plugin, log_);
    if (!options.pixels.empty()) pixels_ = std::make_unique<PixelLibrary>(options.pixels);
    std::vector<char> plan;
    if (!options.load_plan.empty()) plan = read_file(options.load_plan, "build it with --save-plan");
    facts_.gpu = gpu_name();
    stream_ = std::make_unique<Stream>();
    if (plan.empty()) plan = built(options, largest);
    open(plan, options);
  }
  // The memory that the context reads and writes goes after it.
  ~GpuSession() override { context_.reset(); }

  const EngineFacts& facts() const override { return facts_; }

  void set_picture(const Picture& picture, int batch) override {
    where_ = picture.name;
    size_ = picture.size;
    single_ = batch == 1;
    image_bytes_ = picture.image.size() * sizeof(float) * static_cast<size_t>(batch);
    memory_.clear();
    outputs_.clear();
    for_each_tensor(TensorIOMode::kINPUT, [&](const char* name) { set_input(name, picture, batch); });
    for_each_tensor(TensorIOMode::kOUTPUT, [&](const char* name) { set_output(name); });
    check(cudaDeviceSynchronize(), where_);  // fills and copies are on another stream than the engine
  }

  std::map<std::string, Tensor> outputs() override {
    queue();
    stream_->wait(where_);
    std::map<std::string, Tensor> all;
    for (const auto& [name, index] : outputs_) {
      const Dims dims = context_->getTensorShape(name.c_str());
      Tensor tensor;
      tensor.shape.assign(dims.d, dims.d + dims.nbDims);
      tensor.values.resize(volume(dims));
      check(cudaMemcpy(tensor.values.data(), memory_[index].data(), tensor.values.size() * sizeof(float),
                       cudaMemcpyDeviceToHost),
            name);
      all.emplace(name, std::move(tensor));
    }
    return all;
  }

  double milliseconds(int repeats, bool graph) override {
    for (int i = 0; i < kWarmUps; ++i) queue();
    stream_->wait(where_);
    if (!graph) return median(repeats, [&] { queue(); });
    const Graph captured(*stream_, [&] { return context_->enqueueV3(*stream_); });
    if (captured.executable() == nullptr) return -1.0;
    return median(repeats, [&] { check(cudaGraphLaunch(captured.executable(), *stream_), "CUDA graph"); });
  }

  // Into memory of its own: the input stays.
  Transfers transfers(int repeats) override {
    const size_t image = image_bytes_, upscaled = memory_[outputs_.at("upscaled")].bytes();
    const size_t most = std::max(image, upscaled);
    const PinnedMemory host(most);
    const DeviceMemory device(most, where_);
    const auto time = [&](size_t bytes, bool up) {
      return median(repeats, [&] {
        check(cudaMemcpyAsync(up ? device.data() : host.data(), up ? host.data() : device.data(), bytes,
                              up ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost, *stream_),
              where_);
      });
    };
    return {time(image, true), time(image / sizeof(float), true), time(upscaled, false),
            time(upscaled / sizeof(float), false)};
  }

  Frames frames(const std::vector<unsigned char>& pixels, int repeats) override {
    if (pixels_ == nullptr || !single_) return {};
    const Dims dims = context_->getTensorShape("upscaled");
    const Size upscaled{static_cast<int>(dims.d[2]), static_cast<int>(dims.d[3])};
    EngineRun run{memory_[image_].data(), memory_[outputs_.at("upscaled")].data(), size_, upscaled, *stream_,
                  [&] { queue(); }};
    FramePipeline pipeline(*pixels_, run, pixels);
    Frames frames{pipeline.result(), {pipeline.alone(repeats), pipeline.overlapped(repeats)}};
    const Graph captured(*stream_, [&] { return context_->enqueueV3(*stream_); });
    if (captured.executable() == nullptr) return frames;
    run.queue = [&] { check(cudaGraphLaunch(captured.executable(), *stream_), "CUDA graph"); };
    frames.times.graph_alone = pipeline.alone(repeats);
    frames.times.graph_overlapped = pipeline.overlapped(repeats);
    return frames;
  }

  std::vector<LayerTime> profile(int repeats) override {
    Profiler profiler;
    context_->setProfiler(&profiler);
    for (int i = 0; i < repeats; ++i) {
      queue();
      stream_->wait(where_);
    }
    context_->setProfiler(nullptr);
    for (LayerTime& layer : profiler.layers) layer.microseconds /= repeats;
    return profiler.layers;
  }

 private:
  std::vector<char> built(const Options& options, const Size& largest) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<char> plan = build(library_, log_, options, largest);
    facts_.build_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return plan;
  }

  void open(const std::vector<char>& plan, const Options& options) {
    runtime_.reset(library_.runtime(log_));
    engine_.reset(runtime_->deserializeCudaEngine(plan.data(), plan.size()));
    if (!engine_)
      throw Failure(options.load_plan.empty() ? options.onnx : options.load_plan,
                    "an engine of this TensorRT and GPU", log_.reason(), "build it again");
    if (!options.save_plan.empty()) save(plan, options.save_plan);
    context_.reset(engine_->createExecutionContext());
    if (!context_) throw Failure("TensorRT", "an execution context", log_.reason(), "free GPU memory");
    facts_.plan_bytes = plan.size();
    facts_.context_bytes = context_bytes(*engine_);
  }

  // First beside it: a file cut short must not look like a plan.
  static void save(const std::vector<char>& plan, const std::string& path) {
    const std::string part = path + ".part";
    const bool written = static_cast<bool>(std::ofstream(part, std::ios::binary)
                                               .write(plan.data(), static_cast<std::streamsize>(plan.size()))
                                               .flush());
    if (!written || std::rename(part.c_str(), path.c_str()) != 0)
      throw Failure(path, "a file that can be written", "a refusal", "check the folder and the disk");
  }

  template <class Visit>
  void for_each_tensor(TensorIOMode mode, const Visit& visit) const {
    for (int32_t i = 0; i < engine_->getNbIOTensors(); ++i) {
      const char* name = engine_->getIOTensorName(i);
      if (engine_->getTensorIOMode(name) == mode) visit(name);
    }
  }

  size_t add_memory(const char* name, size_t bytes) {
    if (engine_->getTensorDataType(name) != DataType::kFLOAT)
      throw Failure(name, "float32, as all inputs and outputs", "another type", "export the model again");
    memory_.emplace_back(std::max<size_t>(bytes, 256), name);
    if (!context_->setTensorAddress(name, memory_.back().data()))
      throw Failure(name, "a tensor that takes an address", log_.reason(), "this is a fault of the engine");
    return memory_.size() - 1;
  }

  // `image` is the picture, anything else (theta) a scalar zero.
  void set_input(const char* name, const Picture& picture, int batch) {
    const size_t bytes = picture.image.size() * sizeof(float);
    const bool image = std::strcmp(name, "image") == 0;
    const size_t index = add_memory(name, image ? bytes * static_cast<size_t>(batch) : sizeof(float));
    auto* data = static_cast<char*>(memory_[index].data());
    if (!image) return check(cudaMemset(data, 0, sizeof(float)), name);
    image_ = index;
    for (int i = 0; i < batch; ++i)
      check(cudaMemcpy(data + static_cast<size_t>(i) * bytes, picture.image.data(), bytes,
                       cudaMemcpyHostToDevice),
            name);
    if (!context_->setInputShape(name, image_dims(batch, picture.size.height, picture.size.width)))
      throw Failure(where_, "a picture and batch within the engine's profile", log_.reason(),
                    "build it for them");
  }

  void set_output(const char* name) {
    const Dims dims = context_->getTensorShape(name);
    if (dims.nbDims < 0 || std::any_of(dims.d, dims.d + dims.nbDims, [](auto size) { return size < 0; }))
      throw Failure(where_ + ": " + name, "a shape that follows from the inputs", log_.reason(),
                    "this is a fault of the model");
    outputs_[name] = add_memory(name, volume(dims) * sizeof(float));
  }

  void queue() {
    if (!context_->enqueueV3(*stream_))
      throw Failure(where_, "a run that is queued", log_.reason(), "see the lines above");
  }

  template <class Queue>
  double median(int repeats, const Queue& queue_one) {
    const Event start, stop;
    std::vector<float> times(static_cast<size_t>(repeats));
    for (float& time : times) {
      check(cudaEventRecord(start, *stream_), "event");
      queue_one();
      check(cudaEventRecord(stop, *stream_), "event");
      check(cudaEventSynchronize(stop), where_);
      check(cudaEventElapsedTime(&time, start, stop), "event");
    }
    std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
    return static_cast<double>(times[static_cast<size_t>(repeats / 2)]);
  }

  Log log_;
  Library library_;
  EngineFacts facts_;
  std::unique_ptr<IRuntime> runtime_;
  std::unique_ptr<ICudaEngine> engine_;
  std::unique_ptr<Stream> stream_;  // made when there is a GPU
  std::vector<DeviceMemory> memory_;
  std::map<std::string, size_t> outputs_;  // index into memory_
  std::unique_ptr<IExecutionContext> context_;
  std::string where_;
  size_t image_bytes_ = 0, image_ = 0;  // image_: index into memory_
  Size size_;
  bool single_ = false;
  std::unique_ptr<PixelLibrary> pixels_;
};

}  // namespace

std::unique_ptr<Session> open_session(const Options& options, const Size& largest) {
  return std::make_unique<GpuSession>(options, largest);
}

}  // namespace smsr::engine_bench
