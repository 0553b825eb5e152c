// Pictures and expected outputs in raw files, as smsr_bench.tensorrt_files writes them, and the comparison.
//
// FOLDER/pictures.txt: a line NAME HEIGHT WIDTH STEP for each picture.
// FOLDER/NAME.image.u8: 3 x H x W, RGB. FOLDER/NAME.high.u8, optional: 3 x sH x sW, the original picture.
// REFERENCES/NAME.OUTPUT.f32: that output's rows 0, STEP, 2 * STEP, ... of each channel, float32.
#pragma once

#include <optional>

#include "session.h"

namespace smsr::engine_bench {

std::vector<Picture> read_pictures(const std::string& folder);

// Bytes of a whole file. Throws Failure.
std::vector<char> read_file(const std::string& path, const std::string& advice);
// The rows of output `name` that the reference holds; shape: (C, H, W) of the output. None: no such file.
std::optional<std::vector<float>> read_reference(const std::string& folder, const Picture& picture,
                                                 const std::string& name, const std::vector<int64_t>& shape);

struct Margin {
  double active;         // share of pixels above 0
  double flipped = 0.0;  // share of the reference's pixels with another sign
};

// psnr, psnr_y: dB; -1: nothing to compare with. Of a batch's images the worst.
struct Comparison {
  double psnr = -1.0;    // of `upscaled` against the reference, all channels, not rounded
  double psnr_y = -1.0;  // against the original picture, as smsr.metrics measures it
  std::vector<Margin> margins;
};

// Throws Failure where an output is missing, has another shape, or is not finite.
Comparison compare(const Options& options, const Picture& picture, int batch,
                   const std::map<std::string, Tensor>& outputs);

// The picture as files hold it, H x W x 3.
std::vector<unsigned char> pixels_of(const Picture& picture);
// Levels by which the result of frames() differs from the clamped and rounded `upscaled` of one image, at
// most; 256 where its size is another.
int largest_difference(const std::vector<unsigned char>& pixels, const Tensor& upscaled);

// Empty, or what is wrong with it in one line.
std::string complaint(const Options& options, const Picture& picture, const Comparison& comparison);

}  // namespace smsr::engine_bench
