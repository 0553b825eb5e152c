// TensorRT's libraries, opened by path or by the loader's search: the program links with none of them, so
// that one binary serves any folder, and what is missing is named.
#pragma once

#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <string>

namespace smsr::engine_bench {

// Keeps what went wrong for the failure's text.
class Log final : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char* text) noexcept override;
  // The first error since the last call, or "no reason".
  std::string reason();

 private:
  std::string first_;
};

class Library {
 public:
  // folder: where libnvinfer is, or empty. runtime_alone: no builder is needed, so the lean runtime will do.
  // Throws Failure where it is missing or its version does not fit the headers of this program.
  Library(const std::string& folder, bool runtime_alone);

  std::string version() const;  // "8.6.0"
  nvinfer1::IBuilder* builder(Log& log) const;
  nvinfer1::IRuntime* runtime(Log& log) const;
  nvonnxparser::IParser* parser(nvinfer1::INetworkDefinition& network, Log& log) const;
  void load_plugin(const std::string& path, Log& log) const;

 private:
  template <class Function>
  Function* function(void* library, const char* name) const;

  std::string folder_;
  void* core_;
  int version_;
};

}  // namespace smsr::engine_bench
