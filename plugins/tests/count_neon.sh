#!/bin/sh
# Counts the instructions of a NEON convolution under qemu: plugins/tests/count_neon.sh [SIZE]. Prints instructions per
# run, and per multiply-add of four numbers that a direct convolution needs.
# Needs what run_neon.sh needs; builds into build/neon.
set -eu
plugins=$(cd "$(dirname "$0")/.." && pwd)
build=$plugins/../build/neon
size=${1:-16}
cmake -S "$plugins" -B "$build" -DSMSR_BUILD_ORT=OFF -DCMAKE_BUILD_TYPE=Release \
      -DCMAKE_TOOLCHAIN_FILE="$plugins/cmake/aarch64-linux-gnu.cmake" >/dev/null
cmake --build "$build" --target smsr_dense_once >/dev/null

# One line of qemu's log for each instruction.
count() {
  qemu-aarch64 -L /usr/aarch64-linux-gnu -singlestep -d nochain,exec -D /dev/stdout \
      "$build/smsr_dense_once" "$size" "$1" "$2" neon | wc -l
}
for mode in direct Winograd; do
  one=$(count 1 "$mode")
  three=$(count 3 "$mode")
  each=$(((three - one) / 2))
  per=$(awk "BEGIN { printf \"%.2f\", $each / ($size * $size * 64 * 64 * 9 / 4) }")
  echo "$mode $size x $size: $each instructions, $per per multiply-add of four"
done
