// Pixels to planes and back on the emulated GPU.
#include <cstdio>

#include "host_memory.h"
#include "machine.h"
#include "pixels_test.h"

namespace smsr::testing {
namespace {

using cuda::PixelShape;

void check_refusals() {
  const Buffer pixels(64), planes(256), flag(4);
  auto* const bytes = static_cast<char*>(pixels.data());
  auto* const numbers = static_cast<float*>(planes.data());
  auto* const word = static_cast<uint32_t*>(flag.data());
  const auto refuses = [&](Status expected, void* to, float* from, uint32_t* not_finite,
                           const PixelShape& shape, const char* what) {
    const int launches = emulated::launches;
    if (not_finite == word) expect(cuda::pixels_to_planes(to, from, shape, nullptr) == expected, what);
    expect(cuda::planes_to_pixels(from, to, not_finite, shape, nullptr) == expected, what);
    expect(emulated::launches == launches, std::string("nothing queued: ") + what);
  };
  refuses(Status::kBadSize, bytes, numbers, word, {0, 4, 1}, "no rows");
  refuses(Status::kBadSize, bytes, numbers, word, {4, -1, 1}, "no columns");
  refuses(Status::kBadSize, bytes, numbers, word, {46341, 46341, 1}, "more numbers than an int has");
  refuses(Status::kBadType, bytes, numbers, word, {2, 2, 4}, "numbers of 4 bytes");
  refuses(Status::kBadPointer, nullptr, numbers, word, {2, 2, 1}, "no pixels");
  refuses(Status::kBadPointer, bytes + 2, numbers, word, {2, 2, 1}, "pixels at 2 bytes");
  refuses(Status::kBadPointer, bytes, nullptr, word, {2, 2, 1}, "no planes");
  refuses(Status::kBadPointer, bytes, numbers + 1, word, {2, 2, 1}, "planes at 4 bytes");
  refuses(Status::kBadPointer, bytes, numbers, nullptr, {2, 2, 1}, "no flag");
  emulated::gpu.launches_until_failure = 0;
  expect(cuda::pixels_to_planes(bytes, numbers, {2, 2, 1}, nullptr) == Status::kLaunchFailed,
         "a failing launch");
  emulated::gpu = {};
  cudaGetLastError();
}

// Set by one image, the flag stays set by the next.
void check_flag_stays() {
  const Buffer planes(Bytes(48, 0)), pixels(12), flag(Bytes{7, 0, 0, 0});
  cuda::planes_to_pixels(static_cast<const float*>(planes.data()), pixels.data(),
                         static_cast<uint32_t*>(flag.data()), {2, 2, 1}, nullptr);
  expect(flag.bytes() == Bytes{7, 0, 0, 0}, "the flag is left as it is");
}

}  // namespace
}  // namespace smsr::testing

int main() {
  using namespace smsr::testing;
  check_refusals();
  check_flag_stays();
  check_all_pixels<Buffer>();
  smsr::emulated::gpu.reversed = true;
  check_all_pixels<Buffer>();
  std::printf("pixels: %d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
