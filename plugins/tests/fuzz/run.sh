#!/usr/bin/env bash
# Fuzzes the kernels' interfaces for some minutes, from corpus/ on: plugins/tests/fuzz/run.sh MINUTES [BUILD_DIR]
# New inputs are kept below BUILD_DIR, and start the next run; one that fails is written there too, and named.
set -euo pipefail
plugins=$(cd "$(dirname "$0")/../.." && pwd)
minutes=${1:-}
build=${2:-$plugins/../build/fuzz}
[[ $minutes =~ ^[0-9]+$ ]] || { echo "run.sh: error: MINUTES: expected a whole number, got '$minutes'; name one" >&2; exit 2; }
clang=
for version in '' -19 -18 -17 -15 -14; do  # 16 crashes on bfloat16
  [[ -n $clang ]] || ! command -v "clang++$version" >/dev/null || clang=clang++$version
done
[[ -n $clang ]] || {
  echo "run.sh: error: compiler: expected clang++ with libFuzzer, got none; apt install clang-14 libclang-rt-14-dev" >&2
  exit 1
}
mkdir -p "$build/found"
cmake -S "$plugins" -B "$build" -G Ninja -DCMAKE_CXX_COMPILER="$clang" -DSMSR_SANITIZE=ON -DSMSR_BUILD_FUZZERS=ON \
  -DSMSR_BUILD_ORT=OFF -DSMSR_BUILD_TESTS=OFF -DSMSR_WERROR=OFF -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O1 -g1" \
  >"$build/configure.log" 2>&1 || { cat "$build/configure.log" >&2; exit 1; }
cmake --build "$build" --parallel "$(nproc)" --target smsr_fuzz_kernels >"$build/build.log" 2>&1 ||
  { cat "$build/build.log" >&2; exit 1; }
"$build/tests/fuzz/smsr_fuzz_kernels" -max_total_time=$((60 * minutes)) -timeout=10 -rss_limit_mb=2048 -max_len=4096 \
  -print_final_stats=1 -artifact_prefix="$build/" "$build/found" "$plugins/tests/fuzz/corpus" >"$build/fuzz.log" 2>&1 ||
  { tail -40 "$build/fuzz.log" >&2; exit 1; }
grep -E "stat::(number_of_executed_units|peak_rss_mb)" "$build/fuzz.log"
echo "no input failed in $minutes minutes; $(ls "$build/found" | wc -l) inputs kept"
