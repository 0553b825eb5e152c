#include "library.h"

#include <dlfcn.h>

#include <cstdio>
#include <vector>

#include "session.h"

namespace smsr::engine_bench {
namespace {

const std::string kMajor = std::to_string(NV_TENSORRT_MAJOR);

std::string number(int major, int minor, int patch) {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

// TensorRT 8 numbers its versions in thousands, newer ones in tens of thousands.
std::string readable(int version) {
  if (version < 10000) return number(version / 1000, version / 100 % 10, version % 100);
  return number(version / 10000, version / 100 % 100, version % 100);
}

void* open_first(const std::string& folder, const std::vector<std::string>& names) {
  std::string errors;
  for (const std::string& name : names) {
    const std::string path = folder.empty() ? name : folder + "/" + name;
    // global: the plugin for TensorRT 8 looks up getPluginRegistry()
    if (void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL)) return library;
    if (errors.empty()) errors = dlerror();
  }
  throw Failure("TensorRT", names.front(), errors, "name its folder with --tensorrt");
}

// The interfaces' tables of functions differ even between the patch releases of 8.6; from 10 on they only
// grow within a major version.
bool fits(int version) {
#if NV_TENSORRT_MAJOR < 10
  return version == NV_TENSORRT_MAJOR * 1000 + NV_TENSORRT_MINOR * 100 + NV_TENSORRT_PATCH;
#else
  return version / 10000 == NV_TENSORRT_MAJOR && version / 100 % 100 >= NV_TENSORRT_MINOR;
#endif
}

}  // namespace

void Log::log(Severity severity, const char* text) noexcept {
  if (severity > Severity::kWARNING) return;
  std::fprintf(stderr, "  TensorRT: %.300s\n", text);
  if (severity <= Severity::kERROR && first_.empty()) first_ = text;
}

std::string Log::reason() {
  const std::string reason = first_.empty() ? "no reason" : first_.substr(0, first_.find('\n'));
  first_.clear();
  return reason;
}

Library::Library(const std::string& folder, bool runtime_alone) : folder_(folder) {
  std::vector<std::string> names{"libnvinfer.so." + kMajor};
  if (runtime_alone) names.push_back("libnvinfer_lean.so." + kMajor);
  core_ = open_first(folder, names);
  version_ = function<int32_t()>(core_, "getInferLibVersion")();
  if (!fits(version_))
    throw Failure("TensorRT",
                  "version " + number(NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR, NV_TENSORRT_PATCH) +
                      ", that of the headers this program was built with",
                  version(), "build it with the headers of that version");
}

template <class Function>
Function* Library::function(void* library, const char* name) const {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr)
    throw Failure("TensorRT", std::string("a library with ") + name, "one without", "check --tensorrt");
  return reinterpret_cast<Function*>(symbol);
}

std::string Library::version() const { return readable(version_); }

nvinfer1::IBuilder* Library::builder(Log& log) const {
  const auto create = function<void*(void*, int32_t)>(core_, "createInferBuilder_INTERNAL");
  auto* builder = static_cast<nvinfer1::IBuilder*>(create(&log, NV_TENSORRT_VERSION));
  if (builder == nullptr) throw Failure("TensorRT", "a builder", log.reason(), "check the GPU's driver");
  return builder;
}

nvinfer1::IRuntime* Library::runtime(Log& log) const {
  const auto create = function<void*(void*, int32_t)>(core_, "createInferRuntime_INTERNAL");
  auto* runtime = static_cast<nvinfer1::IRuntime*>(create(&log, NV_TENSORRT_VERSION));
  if (runtime == nullptr) throw Failure("TensorRT", "a runtime", log.reason(), "check the GPU's driver");
  return runtime;
}

nvonnxparser::IParser* Library::parser(nvinfer1::INetworkDefinition& network, Log& log) const {
  void* library = open_first(folder_, {"libnvonnxparser.so." + kMajor});
  const auto create = function<void*(void*, void*, int)>(library, "createNvOnnxParser_INTERNAL");
  auto* parser = static_cast<nvonnxparser::IParser*>(create(&network, &log, NV_ONNX_PARSER_VERSION));
  if (parser == nullptr) throw Failure("TensorRT", "a parser", log.reason(), "check --tensorrt");
  return parser;
}

void Library::load_plugin(const std::string& path, Log& log) const {
#if NV_TENSORRT_MAJOR >= 10
  const auto registry = function<nvinfer1::IPluginRegistry*()>(core_, "getPluginRegistry")();
  if (registry == nullptr || registry->loadLibrary(path.c_str()) == nullptr)
    throw Failure(path, "a plugin library for TensorRT " + kMajor, log.reason(), "check --plugin");
#else
  (void)log;
  // registers itself; the place of loadLibrary() in the registry differs between 8.6.0 and 8.6.1
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr)
    throw Failure(path, "a plugin library for TensorRT " + kMajor, dlerror(), "check --plugin");
#endif
}

}  // namespace smsr::engine_bench
