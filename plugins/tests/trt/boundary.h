// Shared by the tests of the TensorRT adapters: checks of what a call prints, and a node's tensors in host
// memory.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "cuda_double.h"
#include "expect.h"
#include "smsr_contract.h"

namespace smsr::testing {

namespace op = contract::sparse_mask_module;

// Returns what `body` writes to stderr.
template <class Body>
std::string printed(const Body& body) {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) std::abort();
  std::fflush(stderr);
  const int before = dup(STDERR_FILENO);
  dup2(fileno(file), STDERR_FILENO);
  body();
  std::fflush(stderr);
  dup2(before, STDERR_FILENO);
  close(before);
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

// The text must be one line "smsr: where: what: expected ..., got ...; advice" that contains `part`; where:
// the plugin.
inline void expect_one_line(const std::string& text, const std::string& part, const std::string& what,
                            const std::string& plugin = "SparseMaskModule") {
  const bool line = !text.empty() && text.find('\n') == text.size() - 1;
  const bool whole = text.rfind("smsr: " + plugin, 0) == 0 && text.find(": expected ") != std::string::npos &&
                     text.find(", got ") != std::string::npos && text.find("; ") != std::string::npos;
  expect(line && whole && text.find(part) != std::string::npos,
         what + ": expected '" + part + "', got: " + text);
}

inline void expect_branch_line(const std::string& text, const std::string& part) {
  expect_one_line(text, part, "MaskBranch", "MaskBranch");
}

// body() returns whether a call failed; it must fail and print one line that contains `part`.
template <class Body>
void refused(const Body& body, const std::string& part, const std::string& what) {
  bool failure = false;
  const std::string text = printed([&] { failure = body(); });
  expect(failure, what + " is refused");
  expect_one_line(text, part, what);
}

inline bool same(const char* left, const char* right) { return std::string(left) == right; }

using Sizes = std::vector<int64_t>;

struct Node {
  int64_t n, c, h, w;
  std::vector<int32_t> dense_channels;
  int64_t layers() const { return static_cast<int64_t>(dense_channels.size()); }
};

// All sizes differ, so that none can be mistaken for another.
inline Node unlike_node() { return {2, 64, 5, 9, {24, 9, 3, 0, 7}}; }

// Shapes as the exporter writes them; index kInputs is the output.
inline Sizes sizes_of(const Node& node, int tensor) {
  const int64_t c = node.c, reduced = c / 16;
  switch (tensor) {
    case op::kMargin:
      return {node.n, 1, node.h, node.w};
    case op::kTheta:
      return {};
    case op::kConvWeights:
      return {node.layers(), 9, c, c};
    case op::kCollectWeight:
      return {node.layers() * c, c};
    case op::kSqueezeWeight:
      return {c, reduced};
    case op::kSqueezeBias:
      return {reduced};
    case op::kExciteWeight:
      return {reduced, c};
    case op::kCollectBias:
    case op::kExciteBias:
      return {c};
    default:
      return {node.n, c, node.h, node.w};
  }
}

// Tensors in host memory instead of the GPU's: each filled with a number of its own, canaries behind output
// and workspace.
class Buffers {
 public:
  Buffers(const Node& node, size_t element_bytes, size_t workspace_bytes)
      : workspace_bytes_(workspace_bytes) {
    for (int tensor = 0; tensor <= op::kInputs; ++tensor) {
      size_t bytes = element_bytes;
      for (const int64_t size : sizes_of(node, tensor)) bytes *= static_cast<size_t>(size);
      sizes_.push_back(bytes);
      storage_.emplace_back(bytes + kCanaries + 16, static_cast<unsigned char>(tensor + 1));
      auto* start = storage_.back().data();
      start += (16 - reinterpret_cast<uintptr_t>(start) % 16) % 16;
      starts_.push_back(start);
      if (tensor < op::kInputs) inputs_.push_back(start);
    }
    std::memset(starts_.back() + sizes_.back(), kCanary, kCanaries);
    workspace_.assign(workspace_bytes + kCanaries + 512, kCanary);
    // The worst alignment: one byte past a multiple.
    workspace_start_ = workspace_.data();
    workspace_start_ += (256 - reinterpret_cast<uintptr_t>(workspace_start_) % 256) % 256 + 1;
  }
  const void* const* inputs() const { return inputs_.data(); }
  void* output() const { return starts_.back(); }
  void* workspace() const { return workspace_start_; }

  // The output equals the features, as the double writes it, and all canaries are intact.
  bool as_launched() const {
    if (std::memcmp(starts_.front(), starts_.back(), sizes_.back()) != 0) return false;
    return alive(starts_.back() + sizes_.back()) && alive(workspace_start_ + workspace_bytes_);
  }

 private:
  static bool alive(const unsigned char* canaries) {
    for (size_t i = 0; i < kCanaries; ++i)
      if (canaries[i] != kCanary) return false;
    return true;
  }
  size_t workspace_bytes_;
  std::vector<size_t> sizes_;
  std::vector<std::vector<unsigned char>> storage_;
  std::vector<unsigned char*> starts_;
  std::vector<const void*> inputs_;
  std::vector<unsigned char> workspace_;
  unsigned char* workspace_start_ = nullptr;
};

// The last launch had this node's sizes, these buffers and this stream.
inline void expect_launch(const Node& node, const Buffers& buffers, cuda::Type type, cuda::Layout layout,
                          cudaStream_t stream, const std::string& what) {
  const Recorded& r = recorded();
  const cuda::Shape& shape = r.params.shape;
  expect(shape.batch == node.n && shape.channels == node.c && shape.height == node.h &&
             shape.width == node.w && shape.layers == node.layers() && shape.type == type &&
             shape.layout == layout,
         what + ": shape");
  expect(std::memcmp(r.dense_channels, node.dense_channels.data(), node.dense_channels.size() * 4) == 0,
         what + ": dense channels");
  expect(std::equal(buffers.inputs(), buffers.inputs() + op::kInputs, r.params.inputs) &&
             r.params.output == buffers.output(),
         what + ": pointers");
  expect(r.stream == stream, what + ": stream");
  expect(buffers.as_launched(), what + ": output written, nothing behind output and workspace");
}

inline int summary(const char* what) {
  std::printf("%s: %d checks passed, %d failed\n", what, passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace smsr::testing
