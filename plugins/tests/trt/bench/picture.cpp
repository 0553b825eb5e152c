#include "picture.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>

namespace smsr::engine_bench {
namespace {

constexpr char kAgain[] = "write the folder again with bench_tensorrt.sh prepare";

template <class Value>
std::vector<Value> read_values(const std::string& path, size_t count) {
  const std::vector<char> bytes = read_file(path, kAgain);
  if (bytes.size() != count * sizeof(Value))
    throw Failure(path, std::to_string(count * sizeof(Value)) + " bytes", std::to_string(bytes.size()),
                  kAgain);
  std::vector<Value> values(count);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

bool exists(const std::string& path) { return std::ifstream(path).good(); }

// Decibels of a mean square error on the scale 0..255; equal pictures: infinity, NaN: 0.
double decibels(double mean_square) {
  if (!std::isfinite(mean_square)) return 0.0;
  return mean_square == 0.0 ? std::numeric_limits<double>::infinity()
                            : 10.0 * std::log10(255.0 * 255.0 / mean_square);
}

// The named output of image `image` of the batch, C x H x W.
const float* one_image(const Tensor& tensor, int image) {
  const size_t size = tensor.values.size() / static_cast<size_t>(tensor.shape[0]);
  return tensor.values.data() + static_cast<size_t>(image) * size;
}

const Tensor& output(const std::map<std::string, Tensor>& outputs, const std::string& name,
                     const Picture& picture, int batch, int channels) {
  const auto at = outputs.find(name);
  if (at == outputs.end()) {
    std::string names;
    for (const auto& [known, tensor] : outputs) names += (names.empty() ? "" : ", ") + known;
    throw Failure(picture.name, "an output " + name, names, "export the model again");
  }
  const std::vector<int64_t>& shape = at->second.shape;
  const bool right = shape.size() == 4 && shape[0] == batch && shape[1] == channels &&
                     shape[2] % picture.size.height == 0 && shape[3] % picture.size.width == 0 &&
                     shape[2] / picture.size.height == shape[3] / picture.size.width;
  if (!right) {
    std::string got;
    for (const int64_t size : shape) got += (got.empty() ? "" : "x") + std::to_string(size);
    throw Failure(picture.name + ": " + name,
                  std::to_string(batch) + "x" + std::to_string(channels) + "x(s*" +
                      std::to_string(picture.size.height) + ")x(s*" + std::to_string(picture.size.width) +
                      ")",
                  got, "this is a fault of the engine");
  }
  return at->second;
}

// Calls visit(value, expected) for every value that the reference holds.
template <class Visit>
void visit_rows(const float* values, const std::vector<int64_t>& shape, int step,
                const std::vector<float>& reference, const Visit& visit) {
  size_t next = 0;
  for (int64_t c = 0; c < shape[1]; ++c)
    for (int64_t y = 0; y < shape[2]; y += step)
      for (int64_t x = 0; x < shape[3]; ++x)
        visit(values[(c * shape[2] + y) * shape[3] + x], reference[next++]);
}

double psnr(const Tensor& upscaled, int batch, const Picture& picture, const std::vector<float>& reference) {
  double worst = std::numeric_limits<double>::infinity();
  for (int image = 0; image < batch; ++image) {
    double sum = 0.0;
    visit_rows(one_image(upscaled, image), upscaled.shape, picture.step, reference,
               [&](float value, float expected) {
                 const double difference = static_cast<double>(value) - static_cast<double>(expected);
                 sum += difference * difference;
               });
    worst = std::min(worst, decibels(sum / static_cast<double>(reference.size())));
  }
  return worst;
}

// Half to even, as NumPy rounds.
double rounded(float value) { return std::nearbyint(std::clamp(static_cast<double>(value), 0.0, 255.0)); }

// Y of the error alone: the offset of 16 cancels out.
double psnr_y(const Tensor& upscaled, int batch, int border, const std::vector<unsigned char>& high) {
  constexpr double kWeights[] = {65.738 / 256.0, 129.057 / 256.0, 25.064 / 256.0};
  const int64_t height = upscaled.shape[2], width = upscaled.shape[3];
  double worst = std::numeric_limits<double>::infinity();
  for (int image = 0; image < batch; ++image) {
    const float* values = one_image(upscaled, image);
    double sum = 0.0;
    for (int64_t y = border; y < height - border; ++y)
      for (int64_t x = border; x < width - border; ++x) {
        double error = 0.0;
        for (int64_t c = 0; c < 3; ++c) {
          const int64_t at = (c * height + y) * width + x;
          error += kWeights[c] * (rounded(values[at]) - static_cast<double>(high[static_cast<size_t>(at)]));
        }
        sum += error * error;
      }
    const auto count = static_cast<double>((height - 2 * border) * (width - 2 * border));
    worst = std::min(worst, decibels(sum / count));
  }
  return worst;
}

Margin margin_of(const Tensor& margin, int batch, const Picture& picture,
                 const std::optional<std::vector<float>>& reference) {
  const auto active =
      std::count_if(margin.values.begin(), margin.values.end(), [](float v) { return v > 0; });
  Margin result{static_cast<double>(active) / static_cast<double>(margin.values.size())};
  if (!reference) return result;
  for (int image = 0; image < batch; ++image) {
    size_t flips = 0;
    visit_rows(
        one_image(margin, image), margin.shape, picture.step, *reference,
        [&](float value, float expected) { flips += std::isnan(value) || (value > 0) != (expected > 0); });
    result.flipped =
        std::max(result.flipped, static_cast<double>(flips) / static_cast<double>(reference->size()));
  }
  return result;
}

}  // namespace

std::vector<char> read_file(const std::string& path, const std::string& advice) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Failure(path, "a readable file", "none", advice);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<Picture> read_pictures(const std::string& folder) {
  const std::string list = folder + "/pictures.txt";
  const std::vector<char> bytes = read_file(list, kAgain);
  std::istringstream lines(std::string(bytes.begin(), bytes.end()));
  std::vector<Picture> pictures;
  for (std::string line; std::getline(lines, line);) {
    Picture picture;
    std::istringstream words(line);
    std::string more;
    if (!(words >> picture.name >> picture.size.height >> picture.size.width >> picture.step) ||
        words >> more || picture.size.height < 1 || picture.size.width < 1 || picture.step < 1)
      throw Failure(list, "lines NAME HEIGHT WIDTH STEP", "'" + line + "'", kAgain);
    const auto pixels = static_cast<size_t>(picture.size.height) * static_cast<size_t>(picture.size.width);
    const auto image = read_values<unsigned char>(folder + "/" + picture.name + ".image.u8", 3 * pixels);
    picture.image.assign(image.begin(), image.end());
    pictures.push_back(std::move(picture));
  }
  if (pictures.empty()) throw Failure(list, "one picture or more", "none", kAgain);
  return pictures;
}

std::optional<std::vector<float>> read_reference(const std::string& folder, const Picture& picture,
                                                 const std::string& name, const std::vector<int64_t>& shape) {
  const std::string path = folder + "/" + picture.name + "." + name + ".f32";
  if (folder.empty() || !exists(path)) return std::nullopt;
  const int64_t rows = (shape[1] + picture.step - 1) / picture.step;
  return read_values<float>(path, static_cast<size_t>(shape[0] * rows * shape[2]));
}

Comparison compare(const Options& options, const Picture& picture, int batch,
                   const std::map<std::string, Tensor>& outputs) {
  const auto reference_of = [&](const std::string& name, const Tensor& tensor) {
    return read_reference(options.references, picture, name,
                          {tensor.shape[1], tensor.shape[2], tensor.shape[3]});
  };
  const Tensor& upscaled = output(outputs, "upscaled", picture, batch, 3);
  const auto scale = static_cast<int>(upscaled.shape[2] / picture.size.height);
  Comparison result;
  if (!options.references.empty()) {
    const auto reference = reference_of("upscaled", upscaled);
    if (!reference)
      throw Failure(options.references, "a file " + picture.name + ".upscaled.f32", "none", kAgain);
    result.psnr = psnr(upscaled, batch, picture, *reference);
  }
  const std::string high = options.pictures + "/" + picture.name + ".high.u8";
  if (exists(high))
    result.psnr_y =
        psnr_y(upscaled, batch, scale,
               read_values<unsigned char>(high, upscaled.values.size() / static_cast<size_t>(batch)));
  for (int k = 1; outputs.count("margin_" + std::to_string(k)) != 0; ++k) {
    const std::string name = "margin_" + std::to_string(k);
    const Tensor& margin = output(outputs, name, picture, batch, 1);
    result.margins.push_back(margin_of(margin, batch, picture, reference_of(name, margin)));
  }
  return result;
}

std::vector<unsigned char> pixels_of(const Picture& picture) {
  std::vector<unsigned char> pixels(picture.image.size());
  const size_t count = pixels.size() / 3;
  for (size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<unsigned char>(picture.image[i % 3 * count + i / 3]);
  return pixels;
}

int largest_difference(const std::vector<unsigned char>& pixels, const Tensor& upscaled) {
  if (pixels.size() != upscaled.values.size()) return 256;
  const size_t count = pixels.size() / 3;
  int largest = 0;
  for (size_t i = 0; i < pixels.size(); ++i) {
    const int expected = static_cast<int>(rounded(upscaled.values[i % 3 * count + i / 3]));
    largest = std::max(largest, std::abs(static_cast<int>(pixels[i]) - expected));
  }
  return largest;
}

std::string complaint(const Options& options, const Picture& picture, const Comparison& comparison) {
  const auto line = [&](const std::string& what, double limit, double got) {
    std::ostringstream text;
    text << picture.name << ": expected " << what << " " << limit << ", got " << got
         << "; run gpu_test, and compare the layers with --profile";
    return text.str();
  };
  if (comparison.psnr >= 0.0 && comparison.psnr < options.least_psnr)
    return line("a PSNR against the reference of at least", options.least_psnr, comparison.psnr);
  for (size_t k = 0; k < comparison.margins.size(); ++k)
    if (comparison.margins[k].flipped > options.most_flips)
      return line("a share of changed mask pixels in margin_" + std::to_string(k + 1) + " of at most",
                  options.most_flips, comparison.margins[k].flipped);
  return "";
}

}  // namespace smsr::engine_bench
