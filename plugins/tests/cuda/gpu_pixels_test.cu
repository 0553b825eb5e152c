// Pixels to planes and back on a GPU.
#include <cstdio>

#include "gpu_memory.h"
#include "pixels_test.h"

int main() {
  using namespace smsr::testing;
  check_all_pixels<GpuMemory>();
  std::printf("pixels: %d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
