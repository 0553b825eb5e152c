#!/bin/sh
# Builds the kernels for 64-bit ARM and runs their test under emulation, JOBS groups of checks at a time (default: one for
# each processor): plugins/tests/run_neon.sh [BUILD_DIR]
# Needs, on Debian and Ubuntu: apt-get install g++-aarch64-linux-gnu qemu-user cmake
set -eu
plugins=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$plugins/../build/neon}
jobs=${JOBS:-$(nproc)}

for tool in cmake aarch64-linux-gnu-g++ qemu-aarch64; do
  if ! command -v "$tool" >/dev/null; then
    echo "run_neon.sh: $tool is missing: apt-get install g++-aarch64-linux-gnu qemu-user cmake" >&2
    exit 1
  fi
done

cmake -S "$plugins" -B "$build" -DSMSR_BUILD_ORT=OFF \
      -DCMAKE_TOOLCHAIN_FILE="$plugins/cmake/aarch64-linux-gnu.cmake" >/dev/null
cmake --build "$build" --parallel "$jobs" --target smsr_kernel_test
set -- qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu "$build/smsr_kernel_test"
"$@" --groups >"$build/groups"
xargs -n 1 -P "$jobs" "$@" --emulated <"$build/groups"
