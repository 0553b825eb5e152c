// Runs a TensorRT engine on raw pictures: checks what it computes, times it. See options.cpp for how to call
// it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "options.h"
#include "picture.h"

namespace smsr::engine_bench {
namespace {

constexpr int kFewerFrames = 3;  // each repeat of them is several runs

struct Row {
  const Picture* picture;
  int batch;
  double milliseconds, graph_milliseconds;
  Transfers transfers;
  FrameTimes frames;
  Comparison comparison;
};

struct Results {
  EngineFacts facts;
  std::vector<Row> rows;
  std::vector<LayerTime> layers;
  int failures = 0;
};

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return result + "\"";
}

// JSON has neither infinity, which equal pictures give, nor our -1 for "not measured".
std::string number(double value) {
  if (std::isinf(value)) return "999.0";
  if (value < 0.0) return "null";
  std::ostringstream text;
  text.precision(8);
  text << value;
  return text.str();
}

template <class Values, class Text>
std::string list(const Values& values, const Text& text) {
  std::string result;
  for (const auto& value : values) result += (result.empty() ? "" : ", ") + text(value);
  return "[" + result + "]";
}

std::string to_json(const Row& row) {
  const Comparison& c = row.comparison;
  return "{\"name\": " + quoted(row.picture->name) +
         ", \"height\": " + std::to_string(row.picture->size.height) +
         ", \"width\": " + std::to_string(row.picture->size.width) +
         ", \"batch\": " + std::to_string(row.batch) + ", \"ms\": " + number(row.milliseconds) +
         ", \"graph_ms\": " + number(row.graph_milliseconds) + ", \"transfers_ms\": " +
         list(std::vector<double>{row.transfers.upload, row.transfers.upload_bytes, row.transfers.download,
                                  row.transfers.download_bytes},
              number) +
         ", \"frames_ms\": " +
         list(std::vector<double>{row.frames.alone, row.frames.overlapped, row.frames.graph_alone,
                                  row.frames.graph_overlapped},
              number) +
         ", \"psnr\": " + number(c.psnr) + ", \"psnr_y\": " + number(c.psnr_y) +
         ", \"active\": " + list(c.margins, [](const Margin& m) { return number(m.active); }) +
         ", \"flipped\": " + list(c.margins, [](const Margin& m) { return number(m.flipped); }) + "}";
}

std::string to_json(const Options& options, const Results& results) {
  const EngineFacts& facts = results.facts;
  return "{\"model\": " + quoted(options.onnx.empty() ? options.load_plan : options.onnx) +
         ", \"tensorrt\": " + quoted(facts.tensorrt) + ", \"gpu\": " + quoted(facts.gpu) +
         ", \"build_seconds\": " + number(facts.build_seconds) +
         ", \"plan_bytes\": " + std::to_string(facts.plan_bytes) +
         ", \"context_bytes\": " + std::to_string(facts.context_bytes) +
         ", \"failures\": " + std::to_string(results.failures) +
         ",\n\"pictures\": " + list(results.rows, [](const Row& row) { return "\n" + to_json(row); }) +
         ",\n\"layers\": " +
         list(results.layers,
              [](const LayerTime& layer) {
                return "\n{\"name\": " + quoted(layer.name) + ", \"us\": " + number(layer.microseconds) + "}";
              }) +
         "}\n";
}

void print(const EngineFacts& facts) {
  std::printf("TensorRT %s, %s: ", facts.tensorrt.c_str(), facts.gpu.c_str());
  if (facts.build_seconds >= 0.0)
    std::printf("built in %.1f s", facts.build_seconds);
  else
    std::printf("loaded");
  std::printf(", plan %.1f MB, context %.1f MB\n", 1e-6 * static_cast<double>(facts.plan_bytes),
              1e-6 * static_cast<double>(facts.context_bytes));
}

void print(const Row& row) {
  std::printf("%s %dx%d batch %d: %.3f ms", row.picture->name.c_str(), row.picture->size.height,
              row.picture->size.width, row.batch, row.milliseconds);
  if (row.graph_milliseconds >= 0.0)
    std::printf(", graph %.3f ms", row.graph_milliseconds);
  else
    std::printf(", no graph: it cannot be captured");
  if (row.frames.alone >= 0.0)
    std::printf(", frames %.3f ms, overlapped %.3f ms", row.frames.alone, row.frames.overlapped);
  const Comparison& c = row.comparison;
  if (c.psnr >= 0.0) std::printf(", against the reference %.2f dB", c.psnr);
  if (c.psnr_y >= 0.0) std::printf(", Y %.4f dB", c.psnr_y);
  for (size_t k = 0; k < c.margins.size(); ++k)
    std::printf("%s%.3f", k == 0 ? ", active " : " ", c.margins[k].active);
  std::printf("\n");
}

void report(Results& results, const std::string& text) {
  std::fprintf(stderr, "engine_bench: %s\n", text.c_str());
  ++results.failures;
}

// One level: engines need not give the same bits twice.
void check_pixels(const Picture& picture, const std::vector<unsigned char>& pixels, const Tensor& upscaled,
                  Results& results) {
  const int difference = largest_difference(pixels, upscaled);
  if (difference > 1)
    report(results, picture.name + ": expected pixels within 1 of the rounded output, got a difference of " +
                        std::to_string(difference) + "; run gpu_pixels_test");
}

void measure(Session& session, const Options& options, const Picture& picture, int batch, Results& results) {
  session.set_picture(picture, batch);
  const std::map<std::string, Tensor> outputs = session.outputs();
  Row row{&picture, batch, 0.0, 0.0, {}, {}, compare(options, picture, batch, outputs)};
  const std::string wrong = complaint(options, picture, row.comparison);
  if (!wrong.empty()) report(results, wrong);
  row.milliseconds = session.milliseconds(options.repeats, false);
  row.graph_milliseconds = session.milliseconds(options.repeats, true);
  row.transfers = session.transfers(options.repeats);
  const Frames frames = session.frames(pixels_of(picture), std::max(1, options.repeats / kFewerFrames));
  row.frames = frames.times;
  if (!frames.result.empty()) check_pixels(picture, frames.result, outputs.at("upscaled"), results);
  print(row);
  results.rows.push_back(std::move(row));
}

// One picture's failure, such as too little memory for a batch, leaves the others to measure.
void measure_all(Session& session, const Options& options, const std::vector<Picture>& pictures,
                 Results& results) {
  for (const int batch : options.batches)
    for (const Picture& picture : pictures) {
      try {
        measure(session, options, picture, batch, results);
      } catch (const Failure& failure) {
        report(results, failure.what());
      }
      std::fflush(stdout);
    }
}

void print_mean_psnr(const Results& results, int batch) {
  double sum = 0.0;
  int count = 0;
  for (const Row& row : results.rows)
    if (row.batch == batch && row.comparison.psnr_y >= 0.0) {
      sum += row.comparison.psnr_y;
      ++count;
    }
  if (count > 0) std::printf("mean PSNR on Y of %d pictures: %.4f dB\n", count, sum / count);
}

void profile(Session& session, const Options& options, const Picture& picture, Results& results) {
  session.set_picture(picture, options.batches.front());
  results.layers = session.profile(options.repeats);
  std::printf("layers for %s, us:\n", picture.name.c_str());
  for (const LayerTime& layer : results.layers)
    std::printf("  %9.1f  %.120s\n", layer.microseconds, layer.name.c_str());
}

int run(const Options& options) {
  const std::vector<Picture> pictures = read_pictures(options.pictures);
  Size largest;
  for (const Picture& picture : pictures) {
    largest.height = std::max(largest.height, picture.size.height);
    largest.width = std::max(largest.width, picture.size.width);
  }
  const std::unique_ptr<Session> session = open_session(options, largest);
  Results results;
  results.facts = session->facts();
  print(results.facts);
  measure_all(*session, options, pictures, results);
  print_mean_psnr(results, options.batches.front());
  if (options.profile) profile(*session, options, pictures.back(), results);
  if (!options.json.empty() && !(std::ofstream(options.json) << to_json(options, results)).flush())
    throw Failure(options.json, "a file that can be written", "a refusal", "check the folder and the disk");
  return results.failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace smsr::engine_bench

int main(int count, char** words) {
  try {
    return smsr::engine_bench::run(smsr::engine_bench::parse_options(count, words));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "engine_bench: %s\n", error.what());
    return 2;
  }
}
