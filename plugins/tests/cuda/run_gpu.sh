#!/bin/sh
# Builds and runs the GPU test and benchmarks with nvcc and g++ alone, for a machine without cmake: the one call that
# compares the gathering with the staged kernels. SMSR_BUILD_ONLY=1: builds only, without a GPU;
# SMSR_RUN_ONLY=1: runs what lies in BUILD_DIR.
#   plugins/tests/cuda/run_gpu.sh [ARCHITECTURE [BUILD_DIR]]      default: 90, build/gpu
# A program that fails does not stop the next ones, because machines with a GPU are rare; the exit status is then 1.
set -eu
plugins=$(cd "$(dirname "$0")/../.." && pwd)
architecture=${1:-90}
build=${2:-$plugins/../build/gpu}
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
mkdir -p "$build"

build_programs() {
  include="-I$plugins/include -I$plugins/kernels -I$plugins/tests -I$plugins/tests/cuda"
  # The tests' problems prepare their weights by the CPU kernels, whose variants need flags of their own.
  avx512="-mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl"
  for source in "$plugins"/kernels/*/*.cpp; do
    case $source in
      *variant_neonfp16*) [ "$(uname -m)" = aarch64 ] || continue; flags="-march=armv8.2-a+fp16+fp16fml" ;;
      *variant_neon*) [ "$(uname -m)" = aarch64 ] || continue; flags= ;;
      *variant_avx2*) [ "$(uname -m)" = x86_64 ] || continue; flags="-mavx2 -mfma" ;;
      *variant_avx512bf16*) [ "$(uname -m)" = x86_64 ] || continue; flags="$avx512 -mavx512bf16" ;;
      *variant_avx512*) [ "$(uname -m)" = x86_64 ] || continue; flags=$avx512 ;;
      *) flags= ;;
    esac
    echo "g++ -std=c++17 -O2 $flags $include -c $source -o $build/$(basename "$source").o"
  done > "$build/commands"
  for source in "$plugins"/kernels/cuda/*.cu; do
    echo "$nvcc -std=c++17 -O3 -DSMSR_CUDA_VOLTA -arch=sm_$architecture $include -c $source -o $build/$(basename "$source").o"
  done >> "$build/commands"
  for program in gpu_test gpu_bench gpu_branch_test gpu_pixels_test; do
    echo "$nvcc -std=c++17 -O2 -arch=sm_$architecture $include -c $plugins/tests/cuda/$program.cu -o $build/$program.main.o"
  done >> "$build/commands"
  xargs -P "$(nproc)" -I{} sh -c '{}' < "$build/commands"
  for program in gpu_test gpu_bench gpu_branch_test gpu_pixels_test; do
    "$nvcc" -arch="sm_$architecture" -o "$build/$program" "$build/$program.main.o" "$build"/*.cpp.o "$build"/*.cu.o -lpthread
  done
}
[ -n "${SMSR_RUN_ONLY:-}" ] || build_programs
[ -z "${SMSR_BUILD_ONLY:-}" ] || exit 0

failed=
step() {
  echo "== $*"
  "$@" || failed="$failed
  $*"
}
with_kernel() {
  kernel_name=$1
  shift
  step env SMSR_CUDA_KERNEL="$kernel_name" "$@"
}
# The most important first, what may be missing or slow last. Both kernels, by launch_module() and by the API.
step "$build/gpu_test"
with_kernel staged "$build/gpu_test"
step "$build/gpu_branch_test"
step "$build/gpu_pixels_test"
for kernel in gather staged; do with_kernel $kernel "$build/gpu_bench" 720 1280 0.3 float16; done
sanitizer=$(command -v compute-sanitizer || true)
for tool in memcheck racecheck synccheck; do
  [ -z "$sanitizer" ] || step "$sanitizer" --tool $tool --error-exitcode 9 "$build/gpu_test" one_pixel channels_48 wide
done
for share in 1 0 0.1; do
  for kernel in gather staged; do with_kernel $kernel "$build/gpu_bench" 720 1280 $share float16; done
done
for share in 0.3 1 0 0.1; do
  for kernel in gather staged; do with_kernel $kernel "$build/gpu_bench" 360 640 $share float16; done
done
for size in "180 320 0.3" "128 128 0.63" "256 256 0.18"; do  # the last two: pictures of Set5
  # shellcheck disable=SC2086  # three words
  for kernel in gather staged; do with_kernel $kernel "$build/gpu_bench" $size float16; done
done
step "$build/gpu_bench" 720 1280 0.3 float16 NCHW
step "$build/gpu_bench" 720 1280 0.3 float32
step python3 "$plugins/../benchmarks/gpu/bench_cudnn.py" 720 1280
# Nsight Compute, where it is installed and may read the counters: what limits convolutions and collect of one module
# (gather), or whole modules (staged).
if command -v ncu >/dev/null; then
  for kernel in staged gather; do
    echo "== ncu $kernel"
    SMSR_CUDA_KERNEL=$kernel ncu --clock-control none --section SpeedOfLight --section MemoryWorkloadAnalysis \
      --section WarpStateStats --section Occupancy -k "regex:gather_gemm|staged_module" -c 5 "$build/gpu_bench" 720 1280 0.3 ||
      echo "run_gpu.sh: ncu failed, so it has no result" >&2
  done
fi
[ -z "$failed" ] || { echo "run_gpu.sh: failed:$failed" >&2; exit 1; }
