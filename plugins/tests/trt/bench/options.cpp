#include "options.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <sstream>

namespace smsr::engine_bench {
namespace {

constexpr char kHelp[] = R"(engine_bench --pictures FOLDER (--onnx MODEL | --load-plan FILE) [OPTION VALUE]...
Builds an engine, or loads one, checks its outputs for every picture and times it.
  --pictures FOLDER     raw pictures, see picture.h
  --onnx MODEL          the model to build
  --load-plan FILE      an engine saved by this program on this GPU, instead of building
  --save-plan FILE      keep the engine there
  --plugin LIBRARY      libsmsr_trtN.so, for models with our operators
  --pixels LIBRARY      libsmsr_trtN.so, for any model: frames as bytes up and down, and overlapped
  --tensorrt FOLDER     where libnvinfer.so and libnvonnxparser.so are; default: the loader's search
  --references FOLDER   expected outputs of this model; without: outputs are not checked
  --least-psnr DB       of `upscaled` against its reference; default 55
  --most-flips SHARE    of pixels whose margin has another sign than its reference; default 0.005
  --batches N,N         default 1; the engine takes all up to the largest, tuned for 1
  --precision KIND      fp16 (default) or fp32: TensorRT 8 only, newer ones take the types of the model
  --float32 NODE,NODE   nodes that TensorRT 8 must compute in float32
  --level N             the builder's optimization level, 0 to 5; default 3
  --repeats N           runs of which the median is taken; default 30
  --json FILE           write the results there
  --profile             also the time of each layer, for the last picture
Exit status: 0, 1: an output is wrong or a picture failed, 2: nothing could be measured.
)";
constexpr char kSeeHelp[] = "see engine_bench --help";

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream words(text);
  for (std::string part; std::getline(words, part, ',');) parts.push_back(part);
  return parts;
}

int to_integer(const std::string& name, const std::string& text, int least, int most) {
  int value = least - 1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    throw Failure(name, "an integer within " + std::to_string(least) + ".." + std::to_string(most),
                  "'" + text + "'", kSeeHelp);
  return value;
}

double to_number(const std::string& name, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value) || value < 0.0)
    throw Failure(name, "a number, 0 or more", "'" + text + "'", kSeeHelp);
  return value;
}

void set_batches(Options& options, const std::string& name, const std::string& text) {
  options.batches.clear();
  for (const std::string& part : split(text)) options.batches.push_back(to_integer(name, part, 1, 64));
  if (options.batches.empty()) throw Failure(name, "one batch or more", "none", kSeeHelp);
}

void set_precision(Options& options, const std::string& name, const std::string& text) {
  if (text != "fp16" && text != "fp32") throw Failure(name, "fp16 or fp32", "'" + text + "'", kSeeHelp);
  options.half = text == "fp16";
}

void set(Options& options, const std::string& name, const std::string& text) {
  const auto path = [&](std::string Options::* member) { return [&, member] { options.*member = text; }; };
  const std::map<std::string, std::function<void()>> setters{
      {"--pictures", path(&Options::pictures)},
      {"--onnx", path(&Options::onnx)},
      {"--load-plan", path(&Options::load_plan)},
      {"--save-plan", path(&Options::save_plan)},
      {"--plugin", path(&Options::plugin)},
      {"--pixels", path(&Options::pixels)},
      {"--tensorrt", path(&Options::tensorrt)},
      {"--references", path(&Options::references)},
      {"--json", path(&Options::json)},
      {"--least-psnr", [&] { options.least_psnr = to_number(name, text); }},
      {"--most-flips", [&] { options.most_flips = to_number(name, text); }},
      {"--batches", [&] { set_batches(options, name, text); }},
      {"--precision", [&] { set_precision(options, name, text); }},
      {"--float32", [&] { options.float32 = split(text); }},
      {"--level", [&] { options.level = to_integer(name, text, 0, 5); }},
      {"--repeats", [&] { options.repeats = to_integer(name, text, 1, 100000); }},
  };
  const auto setter = setters.find(name);
  if (setter == setters.end()) throw Failure("options", "a known one", "'" + name + "'", kSeeHelp);
  setter->second();
}

}  // namespace

Options parse_options(int count, char** words) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string name = words[i];
    if (name == "--help") {
      std::fputs(kHelp, stdout);
      std::exit(0);
    }
    if (name == "--profile") {
      options.profile = true;
      continue;
    }
    if (i + 1 == count) throw Failure("options", "a value behind " + name, "none", kSeeHelp);
    set(options, name, words[++i]);
  }
  if (options.pictures.empty()) throw Failure("options", "--pictures FOLDER", "none", kSeeHelp);
  if (options.onnx.empty() == options.load_plan.empty())
    throw Failure("options", "either --onnx or --load-plan", options.onnx.empty() ? "neither" : "both",
                  kSeeHelp);
  return options;
}

}  // namespace smsr::engine_bench
