// Made by `python -m smsr.contract_header --write` from smsr/contract.py. Do not edit.
// clang-format off
#pragma once

namespace smsr::contract {
inline constexpr const char* kInterfaceHash = "4d3ca874dbaeea94";
inline constexpr const char* kDomain = "smsr";
inline constexpr int kOperatorVersion = 1;
inline constexpr const char* kOperatorVersionText = "1";
inline constexpr int kChannelAttentionReduction = 16;
inline constexpr int kLanePadding = 16;
inline constexpr int kTensorrtMaxLayers = 8;
inline constexpr int kTensorrtMaxChannels = 128;
inline constexpr const char* kLayouts[] = {"NHWC", "NCHW"};
inline constexpr const char* kComputeTypes[] = {"float32", "bfloat16", "float16"};

// Sizes as products of letters and digits, such as L*C; smsr_shapes.h computes them.
inline constexpr int kMostSizes = 4;
struct TensorShape {
  int rank;
  const char* sizes[kMostSizes];
};
namespace sparse_mask_module {
inline constexpr const char* kName = "SparseMaskModule";
enum Input : int { kFeatures, kMargin, kTheta, kConvWeights, kCollectWeight, kCollectBias, kSqueezeWeight, kSqueezeBias, kExciteWeight, kExciteBias, kInputs };
inline constexpr const char* kInputNames[] = {"features", "margin", "theta", "conv_weights", "collect_weight", "collect_bias", "squeeze_weight", "squeeze_bias", "excite_weight", "excite_bias"};
inline constexpr TensorShape kInputShapes[] = {
    {4, {"N", "H", "W", "C"}},  // features
    {4, {"N", "1", "H", "W"}},  // margin
    {0, {}},  // theta
    {4, {"L", "9", "C", "C"}},  // conv_weights
    {2, {"L*C", "C"}},  // collect_weight
    {1, {"C"}},  // collect_bias
    {2, {"C", "R"}},  // squeeze_weight
    {1, {"R"}},  // squeeze_bias
    {2, {"R", "C"}},  // excite_weight
    {1, {"C"}},  // excite_bias
};
inline constexpr TensorShape kOutputShape = {4, {"N", "H", "W", "C"}};
inline constexpr const char* kDenseChannelsAttribute = "dense_channels";
inline constexpr const char* kLayoutAttribute = "layout";
inline constexpr const char* kComputeAttribute = "compute";
}  // namespace sparse_mask_module
namespace convolution {
inline constexpr const char* kName = "Convolution";
enum Input : int { kFeatures, kWeight, kBias, kInputs };
inline constexpr const char* kInputNames[] = {"features", "weight", "bias"};
inline constexpr TensorShape kInputShapes[] = {
    {4, {"N", "H", "W", "I"}},  // features
    {3, {"T", "I", "O"}},  // weight
    {1, {"O"}},  // bias
};
inline constexpr TensorShape kOutputShape = {4, {"N", "H", "W", "O"}};
inline constexpr const char* kLayoutAttribute = "layout";
inline constexpr const char* kComputeAttribute = "compute";
}  // namespace convolution
namespace convolution_relu {
inline constexpr const char* kName = "ConvolutionRelu";
enum Input : int { kFeatures, kWeight, kBias, kInputs };
inline constexpr const char* kInputNames[] = {"features", "weight", "bias"};
inline constexpr TensorShape kInputShapes[] = {
    {4, {"N", "H", "W", "I"}},  // features
    {3, {"T", "I", "O"}},  // weight
    {1, {"O"}},  // bias
};
inline constexpr TensorShape kOutputShape = {4, {"N", "H", "W", "O"}};
inline constexpr const char* kLayoutAttribute = "layout";
inline constexpr const char* kComputeAttribute = "compute";
}  // namespace convolution_relu
namespace convolution_add {
inline constexpr const char* kName = "ConvolutionAdd";
enum Input : int { kFeatures, kWeight, kBias, kAddend, kInputs };
inline constexpr const char* kInputNames[] = {"features", "weight", "bias", "addend"};
inline constexpr TensorShape kInputShapes[] = {
    {4, {"N", "H", "W", "I"}},  // features
    {3, {"T", "I", "O"}},  // weight
    {1, {"O"}},  // bias
    {4, {"N", "H", "W", "O"}},  // addend
};
inline constexpr TensorShape kOutputShape = {4, {"N", "H", "W", "O"}};
inline constexpr const char* kLayoutAttribute = "layout";
inline constexpr const char* kComputeAttribute = "compute";
}  // namespace convolution_add
namespace mask_branch {
inline constexpr const char* kName = "MaskBranch";
enum Input : int { kFeatures, kFullWeight, kFullBias, kHalfWeight, kHalfBias, kPhasesWeight, kPhasesBias, kInputs };
inline constexpr const char* kInputNames[] = {"features", "full_weight", "full_bias", "half_weight", "half_bias", "phases_weight", "phases_bias"};
inline constexpr TensorShape kInputShapes[] = {
    {4, {"N", "H", "W", "C"}},  // features
    {3, {"9", "C", "Q"}},  // full_weight
    {1, {"Q"}},  // full_bias
    {3, {"9", "Q", "Q"}},  // half_weight
    {1, {"Q"}},  // half_bias
    {3, {"4", "Q", "4"}},  // phases_weight
    {1, {"4"}},  // phases_bias
};
inline constexpr TensorShape kOutputShape = {4, {"N", "1", "H", "W"}};
inline constexpr const char* kLayoutAttribute = "layout";
inline constexpr const char* kComputeAttribute = "compute";
}  // namespace mask_branch

// Mandatory comparisons with the reference; relative tolerances per compute type.
inline constexpr double kFloat32Tolerance = 2e-05;
inline constexpr double kBfloat16Tolerance = 0.02;
inline constexpr double kFloat16Tolerance = 0.003;
struct Case {
  const char* name;
  int n, h, w, channels, layers;
  int dense[6];
  const char* mask;
  int dead;
};
inline constexpr Case kCases[] = {
    {"mask_off", 1, 13, 21, 64, 4, {24, 9, 3, 0}, "off", 0},
    {"mask_on", 1, 13, 21, 64, 4, {24, 9, 3, 0}, "on", 0},
    {"one_pixel", 1, 12, 19, 64, 4, {24, 9, 3, 0}, "one", 0},
    {"border_only", 1, 11, 14, 64, 4, {16, 7, 1, 0}, "border", 0},
    {"wide", 1, 5, 67, 64, 4, {24, 9, 3, 0}, "clustered", 0},
    {"tall", 1, 67, 5, 64, 4, {16, 4, 1, 0}, "clustered", 0},
    {"batch_2", 2, 17, 10, 64, 4, {14, 5, 0, 0}, "random", 0},
    {"batch_3_odd", 3, 7, 9, 32, 4, {8, 3, 17, 0}, "random", 0},
    {"single_pixel_on", 1, 1, 1, 64, 4, {24, 9, 3, 0}, "on", 0},
    {"single_pixel_off", 1, 1, 1, 64, 4, {24, 9, 3, 0}, "off", 0},
    {"single_row", 1, 1, 23, 64, 4, {3, 0, 0, 0}, "random", 0},
    {"single_column", 1, 23, 1, 64, 4, {3, 0, 0, 0}, "random", 0},
    {"all_sparse", 1, 15, 18, 64, 4, {0, 0, 0, 0}, "clustered", 0},
    {"all_sparse_mask_off", 1, 9, 8, 64, 4, {0, 0, 0, 0}, "off", 0},
    {"all_dense", 1, 15, 18, 64, 4, {64, 64, 64, 64}, "clustered", 0},
    {"one_dense", 1, 15, 18, 64, 4, {1, 1, 1, 1}, "clustered", 0},
    {"one_sparse", 1, 10, 16, 64, 4, {63, 63, 63, 63}, "random", 0},
    {"dense_grows", 1, 14, 9, 64, 4, {0, 33, 5, 64}, "random", 0},
    {"real_module_1", 1, 33, 47, 64, 4, {24, 9, 3, 0}, "clustered", 0},
    {"real_module_2", 1, 33, 47, 64, 4, {16, 4, 1, 0}, "clustered", 0},
    {"real_module_3", 1, 47, 33, 64, 4, {16, 7, 1, 0}, "clustered", 0},
    {"real_module_4", 1, 33, 47, 64, 4, {3, 0, 0, 0}, "clustered", 0},
    {"real_module_5", 1, 31, 46, 64, 4, {14, 5, 0, 0}, "clustered", 0},
    {"dead_channels", 1, 16, 13, 64, 4, {10, 20, 5, 9}, "clustered", 7},
    {"channels_16", 1, 18, 11, 16, 4, {6, 2, 0, 1}, "clustered", 0},
    {"channels_32", 1, 18, 11, 32, 4, {20, 2, 0, 15}, "clustered", 0},
    {"channels_48", 1, 12, 13, 48, 4, {20, 2, 0, 47}, "random", 0},
    {"channels_128", 1, 9, 10, 128, 4, {50, 3, 0, 17}, "random", 0},
    {"six_layers", 1, 10, 12, 32, 6, {9, 8, 7, 3, 1, 0}, "random", 0},
    {"one_layer", 1, 10, 12, 32, 1, {9}, "random", 0},
};
struct ConvolutionCase {
  const char* name;
  int n, h, w, inputs, outputs, taps;
};
inline constexpr ConvolutionCase kConvolutionCases[] = {
    {"body", 1, 33, 47, 64, 64, 9},
    {"image", 1, 21, 18, 3, 64, 9},
    {"tail", 1, 19, 22, 64, 16, 9},
    {"batch_2", 2, 9, 14, 64, 64, 9},
    {"collect", 1, 13, 17, 64, 64, 1},
    {"single_pixel", 1, 1, 1, 64, 64, 9},
    {"single_row", 1, 1, 23, 64, 32, 9},
    {"single_column", 1, 23, 1, 64, 48, 9},
    {"channels_16", 1, 7, 6, 16, 16, 9},
    {"channels_odd", 1, 10, 5, 37, 80, 9},
    {"channels_128", 2, 6, 7, 128, 128, 9},
};
inline constexpr int kBranchSizes[][4] = {
    {1, 16, 20, 64},
    {1, 17, 20, 64},
    {2, 16, 21, 64},
    {1, 13, 9, 32},
    {1, 1, 1, 64},
    {1, 1, 6, 16},
    {1, 5, 1, 16},
    {1, 2, 2, 48},
    {2, 7, 8, 128},
};
}  // namespace smsr::contract
