// Stands in for the engine where there is no GPU: the outputs are those that a folder holds, the times are
// made up. The environment variable SMSR_ENGINE_BENCH_OUTPUTS names the folder; unset: that of the
// references.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "picture.h"

namespace smsr::engine_bench {
namespace {

constexpr char kPlan[] = "engine_bench rehearsal\n";
constexpr double kMilliseconds = 2.0, kGraphMilliseconds = 1.0;

class DoubleSession final : public Session {
 public:
  explicit DoubleSession(const Options& options) {
    const char* folder = std::getenv("SMSR_ENGINE_BENCH_OUTPUTS");
    folder_ = folder != nullptr ? folder : options.references;
    facts_ = {"0.0.0", "none (rehearsal)"};
    if (!options.plugin.empty()) read_file(options.plugin, "check --plugin");
    if (!options.pixels.empty()) read_file(options.pixels, "check --pixels");
    pixels_ = options.pixels;
    std::vector<char> plan(kPlan, kPlan + sizeof kPlan - 1);
    if (!options.load_plan.empty()) {
      if (read_file(options.load_plan, "build it with --save-plan") != plan)
        throw Failure(options.load_plan, "an engine of this TensorRT and GPU", "another file",
                      "build it again");
    } else {
      read_file(options.onnx, "export the model");
      facts_.build_seconds = 0.0;
    }
    facts_.plan_bytes = plan.size();
    if (!options.save_plan.empty()) std::ofstream(options.save_plan, std::ios::binary) << kPlan;
  }

  const EngineFacts& facts() const override { return facts_; }

  void set_picture(const Picture& picture, int batch) override {
    picture_ = &picture;
    batch_ = batch;
  }

  std::map<std::string, Tensor> outputs() override {
    std::map<std::string, Tensor> all;
    for (int scale = 1; scale <= 4 && all.empty(); ++scale) add(all, "upscaled", 3, scale);
    if (all.empty())
      throw Failure(folder_, "a file " + picture_->name + ".upscaled.f32", "none", "give --references");
    for (int k = 1; add(all, "margin_" + std::to_string(k), 1, 1); ++k) continue;
    return all;
  }

  double milliseconds(int, bool graph) override {
    return batch_ * (graph ? kGraphMilliseconds : kMilliseconds);
  }

  Transfers transfers(int) override { return {0.4 * batch_, 0.1 * batch_, 1.6 * batch_, 0.4 * batch_}; }

  // SMSR_ENGINE_BENCH_PIXEL_ERROR: bits of the first number that are wrong.
  Frames frames(const std::vector<unsigned char>&, int) override {
    if (batch_ != 1 || pixels_.empty()) return {};
    const std::map<std::string, Tensor> all = outputs();
    const Tensor& upscaled = all.at("upscaled");
    const size_t count = upscaled.values.size() / 3;
    Frames frames{{}, {3.0, 1.5, 2.0, 1.25}};
    for (size_t i = 0; i < 3 * count; ++i) {
      const float level = std::clamp(upscaled.values[i % 3 * count + i / 3], 0.0f, 255.0f);
      frames.result.push_back(static_cast<unsigned char>(std::nearbyint(level)));
    }
    const char* error = std::getenv("SMSR_ENGINE_BENCH_PIXEL_ERROR");
    if (error != nullptr) frames.result[0] = static_cast<unsigned char>(frames.result[0] ^ std::atoi(error));
    return frames;
  }

  std::vector<LayerTime> profile(int) override { return {{"head.0/Conv", 700.0}, {"tail/Conv", 300.0}}; }

 private:
  // Adds the output from its file; rows that the file has not are like the last one before. False: none of
  // this scale.
  bool add(std::map<std::string, Tensor>& all, const std::string& name, int channels, int scale) const {
    const std::vector<int64_t> shape{channels, int64_t{scale} * picture_->size.height,
                                     int64_t{scale} * picture_->size.width};
    std::optional<std::vector<float>> rows;
    try {
      rows = read_reference(folder_, *picture_, name, shape);
    } catch (const Failure&) {  // its size is that of another scale
    }
    if (!rows) return false;
    Tensor tensor{{batch_, shape[0], shape[1], shape[2]}, {}};
    for (int image = 0; image < batch_; ++image) append(tensor.values, *rows, shape);
    all.emplace(name, std::move(tensor));
    return true;
  }

  void append(std::vector<float>& values, const std::vector<float>& rows,
              const std::vector<int64_t>& shape) const {
    const int64_t stored = (shape[1] + picture_->step - 1) / picture_->step;
    for (int64_t c = 0; c < shape[0]; ++c)
      for (int64_t y = 0; y < shape[1]; ++y) {
        const auto row = rows.begin() + (c * stored + y / picture_->step) * shape[2];
        values.insert(values.end(), row, row + shape[2]);
      }
  }

  std::string pixels_;
  std::string folder_;
  EngineFacts facts_;
  const Picture* picture_ = nullptr;
  int batch_ = 1;
};

}  // namespace

std::unique_ptr<Session> open_session(const Options& options, const Size&) {
  return std::make_unique<DoubleSession>(options);
}

}  // namespace smsr::engine_bench
