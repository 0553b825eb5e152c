// What engine_bench needs of an engine: session_tensorrt.cpp has the real one, session_double.cpp one for
// machines without a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace smsr::engine_bench {

// One line: where, what was expected, what came instead, what to do.
class Failure : public std::runtime_error {
 public:
  Failure(const std::string& where, const std::string& expected, const std::string& got,
          const std::string& advice)
      : std::runtime_error(where + ": expected " + expected + ", got " + got + "; " + advice) {}
};

struct Options {
  std::string onnx;                  // the model; may be empty with load_plan
  std::string plugin;                // a library, or empty
  std::string pixels;                // a library that converts pixels, or empty: frames are not measured
  std::string tensorrt;              // folder of libnvinfer, or empty: the loader's search
  std::string pictures;              // folder with pictures.txt, see picture.h
  std::string references;            // folder of expected outputs, or empty: outputs are not checked
  std::string load_plan, save_plan;  // files
  std::string json;                  // file for the results
  std::vector<std::string> float32;  // nodes that TensorRT 8 must compute in float32
  std::vector<int> batches{1};
  bool half = true;  // TensorRT 8 only: newer ones take the types of the model
  bool profile = false;
  int level = 3;  // of the builder's optimization
  int repeats = 30;
  double least_psnr = 55.0;   // dB against the references
  double most_flips = 0.005;  // share of pixels whose margin has another sign than the reference
};

struct Size {
  int height = 0, width = 0;
};

// image: 3 x height x width, RGB, 0..255.
struct Picture {
  std::string name;
  Size size;
  int step = 1;  // references hold rows 0, step, 2 * step, ...
  std::vector<float> image;
};

// N C H W.
struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

struct LayerTime {
  std::string name;
  double microseconds;
};

// Milliseconds of one frame whose pixels go up and down as bytes (frames.h), while no other is under way, and
// of each of many in a row; -1: not measured, or the engine cannot be captured.
struct FrameTimes {
  double alone = -1.0, overlapped = -1.0, graph_alone = -1.0, graph_overlapped = -1.0;
};

// result: of one frame, H x W x 3.
struct Frames {
  std::vector<unsigned char> result;
  FrameTimes times;
};

// Milliseconds from and to pinned memory: the picture and its result, as float32 or as bytes.
struct Transfers {
  double upload, upload_bytes, download, download_bytes;
};

struct EngineFacts {
  std::string tensorrt, gpu;
  double build_seconds = -1.0;  // -1: loaded
  size_t plan_bytes = 0, context_bytes = 0;
};

// An engine and one set of inputs and outputs. All functions throw Failure.
class Session {
 public:
  virtual ~Session() = default;
  virtual const EngineFacts& facts() const = 0;
  // Makes `batch` copies of the picture the input of all that follows.
  virtual void set_picture(const Picture& picture, int batch) = 0;
  // Runs once; all float32 outputs by name.
  virtual std::map<std::string, Tensor> outputs() = 0;
  // Median milliseconds of one run, queued by itself or as a CUDA graph; -1: it cannot be captured.
  virtual double milliseconds(int repeats, bool graph) = 0;
  // Medians of what goes to the GPU and back around one run.
  virtual Transfers transfers(int repeats) = 0;
  // pixels: the picture, H x W x 3. Nothing is measured of batches, or without a library for it.
  virtual Frames frames(const std::vector<unsigned char>& pixels, int repeats) = 0;
  // Mean time of each layer.
  virtual std::vector<LayerTime> profile(int repeats) = 0;
};

// An engine for pictures up to `largest` (both sides) and batches up to the largest of the options.
std::unique_ptr<Session> open_session(const Options& options, const Size& largest);

}  // namespace smsr::engine_bench
