#!/usr/bin/env bash
# Tests the TensorRT adapters with NVIDIA's headers and lean runtimes, without a GPU: plugins/tests/trt/run.sh [BUILD_DIR]
# Compiles them for each version of the headers with warnings as errors, checks the libraries' exports, and calls every
# method of the plugins: those for TensorRT 8 through the test's own registry, newer ones through each runtime of the
# same or a later major version. Everything of NVIDIA's stays below BUILD_DIR (build/trt).
#   TENSORRT_INCLUDE     folders with NvInferRuntime.h, separated by ":"; unset: TENSORRT_TAGS of TENSORRT_REPOSITORY
#   TENSORRT_LEAN        files libnvinfer_lean.so.N, separated by ":"; unset: LEAN_VERSIONS from PyPI
#   CUDA_INCLUDE         folder of cuda_runtime_api.h; unset: CUDA's usual places, else from PyPI
set -euo pipefail
plugins=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$plugins/../build/trt}
mkdir -p "$build"
build=$(cd "$build" && pwd)
PYTHON=${PYTHON:-python3}
TENSORRT_REPOSITORY=${TENSORRT_REPOSITORY:-https://github.com/NVIDIA/TensorRT.git}
TENSORRT_TAGS=${TENSORRT_TAGS:-8.5.3 v8.6.1 v10.0.0 v10.3.0 v10.8.0 v10.13.3 v10.16 v11.0 v11.1}
PARSER_REPOSITORY=${PARSER_REPOSITORY:-https://github.com/onnx/onnx-tensorrt.git}
LEAN_VERSIONS=${LEAN_VERSIONS:-10.15.1.29 10.16.1.11 11.0.0.114 11.4.0.106}

fail() {
  echo "run.sh: $*" >&2
  exit 1
}

# Downloads wheels PACKAGE==VERSION ... and unpacks them into a folder.
unpack_wheels() {
  local folder=$1 wheel
  shift
  [[ -e $folder/done ]] && return
  "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --dest "$folder" "$@" >&2 || fail "PyPI: expected $*, got the error above; set TENSORRT_LEAN and CUDA_INCLUDE"
  for wheel in "$folder"/*.whl; do "$PYTHON" -m zipfile -e "$wheel" "$folder"; done
  rm "$folder"/*.whl
  touch "$folder/done"
}

# NvOnnxParser.h, for engine_bench: before TensorRT 11 in a repository of its own, which names branches, not versions.
add_parser_header() {
  local folder=$2 branch clone=$build/headers/parser
  [[ -e $folder/NvOnnxParser.h ]] && return
  case $1 in
    8.5*) branch=8.5-GA ;;
    v8.6*) branch=8.6-GA ;;
    *) branch=10.1-GA ;;
  esac
  rm -rf "$clone"
  { git clone --quiet --depth 1 --branch "$branch" --filter=blob:none --no-checkout "$PARSER_REPOSITORY" "$clone" &&
    git -C "$clone" checkout --quiet HEAD -- NvOnnxParser.h; } 2>"$build/git.log" ||
    fail "NvOnnxParser.h: expected branch $branch of $PARSER_REPOSITORY, got: $(tail -1 "$build/git.log");" \
         "set TENSORRT_INCLUDE=FOLDER[:FOLDER...]"
  cp "$clone/NvOnnxParser.h" "$folder/"
}

headers=()
if [[ -n ${TENSORRT_INCLUDE:-} ]]; then
  IFS=: read -ra headers <<<"$TENSORRT_INCLUDE"
else
  for tag in $TENSORRT_TAGS; do
    if [[ ! -e $build/headers/$tag/include/NvInferRuntime.h ]]; then
      rm -rf "$build/headers/$tag"
      { git -c advice.detachedHead=false clone --quiet --depth 1 --branch "$tag" --filter=blob:none --no-checkout \
          "$TENSORRT_REPOSITORY" "$build/headers/$tag" &&
        git -C "$build/headers/$tag" checkout --quiet "$tag" -- include; } 2>"$build/git.log" ||
        fail "TensorRT's headers: expected tag $tag of $TENSORRT_REPOSITORY, got: $(tail -1 "$build/git.log");" \
             "set TENSORRT_INCLUDE=FOLDER[:FOLDER...]"
    fi
    add_parser_header "$tag" "$build/headers/$tag/include"
    headers+=("$build/headers/$tag/include")
  done
fi

runtimes=()
if [[ -n ${TENSORRT_LEAN:-} ]]; then
  IFS=: read -ra runtimes <<<"$TENSORRT_LEAN"
else
  for version in $LEAN_VERSIONS; do
    unpack_wheels "$build/lean-$version" "tensorrt_lean_cu13_libs==$version"
    runtimes+=("$build/lean-$version"/tensorrt_lean_libs/libnvinfer_lean.so.*)
  done
fi
for runtime in "${runtimes[@]}"; do
  [[ -f $runtime && ${runtime##*.so.} =~ ^[0-9]+ ]] ||
    fail "TENSORRT_LEAN: expected files libnvinfer_lean.so.N, got $runtime"
done

cuda=${CUDA_INCLUDE:-}
if [[ -z $cuda && ! -e /usr/local/cuda/include/cuda_runtime_api.h ]] && ! command -v nvcc >/dev/null; then
  unpack_wheels "$build/cuda" nvidia-cuda-runtime-cu12==12.9.79 nvidia-cuda-nvcc-cu12==12.9.86
  cuda=$build/cuda/nvidia/cuda_runtime/include
  cp -r "$build/cuda/nvidia/cuda_nvcc/include/crt" "$cuda/"
fi

# The symbols that a library exports, and those of TensorRT that it imports.
exported() { nm -D --defined-only "$1" | awk '{print $3}' | sort | tr '\n' ' '; }
imported() { nm -D --undefined-only "$1" | awk '{print $2}' | { grep -E 'nvinfer|^get(Plugin|Infer|Logger)|^create' || true; } | tr '\n' ' '; }

check_symbols() {
  local library=$1 version=$2 expected foreign=""
  local runtime="smsr_interface_hash smsr_pixels_to_planes smsr_planes_to_pixels "
  case $version in
    8.5.*) expected="$runtime" foreign="getPluginRegistry " ;;
    8.*) expected="getPluginCreators setLoggerFinder $runtime" foreign="getPluginRegistry " ;;
    *) expected="getCreators setLoggerFinder $runtime" ;;
  esac
  [[ $(exported "$library") == "$expected" ]] ||
    fail "$version: exports: expected $expected, got $(exported "$library")"
  [[ $(imported "$library") == "$foreign" ]] ||
    fail "$version: symbols of TensorRT: expected '$foreign', got '$(imported "$library")'"
}

compiled=() libraries=() benches=()
declare -A drive
for folder in "${headers[@]}"; do
  [[ -f $folder/NvInferRuntime.h ]] || fail "TENSORRT_INCLUDE: expected folders with NvInferRuntime.h, got $folder"
  work=$build/$(echo "$folder" | cksum | cut -d' ' -f1)
  cmake -S "$plugins" -B "$work" -DCMAKE_BUILD_TYPE=Release -DSMSR_BUILD_ORT=OFF -DSMSR_BUILD_TRT=ON \
    -DTENSORRT_INCLUDE="$folder" -DCUDA_INCLUDE="$cuda" >"$work.log" 2>&1 || { cat "$work.log" >&2; exit 1; }
  cp "$work.log" "$work.configured"
  version=$(sed -n 's/^-- TensorRT: \([0-9.]*\) headers.*/\1/p' "$work.log")
  [[ -n $version ]] || fail "CUDA's headers: expected CUDA_INCLUDE or an installed CUDA, got none"
  cmake --build "$work" --parallel 2 --target smsr_trt_core_test smsr_trt_on_double smsr_trt_drive >"$work.log" 2>&1 ||
    { cat "$work.log" >&2; fail "TensorRT $version: expected a build without warnings, got the errors above"; }
  if ! grep -q "engine_bench is not built" "$work.configured"; then
    cmake --build "$work" --parallel 2 --target smsr_engine_bench_tensorrt >"$work.log" 2>&1 ||
      { cat "$work.log" >&2; fail "TensorRT $version: expected engine_bench without warnings, got the errors above"; }
    benches+=("$version")
    # only with CUDA's static library
    cmake --build "$work" --parallel 2 --target smsr_engine_bench >"$work.log" 2>&1 || true
  fi
  major=${version%%.*}
  library=$work/trt/tests/libsmsr_trt$major.so
  check_symbols "$library" "$version"
  "$work/trt/tests/smsr_trt_core_test" >/dev/null || fail "TensorRT $version: smsr_trt_core_test failed"
  compiled+=("$version")
  if ((major < 10)); then
    echo -n "headers $version, "
    "$work/trt/tests/smsr_trt_drive" "$library"
  else
    libraries+=("$version=$library")
    drive[$major]=$work/trt/tests/smsr_trt_drive
  fi
done

# engine_bench opens this runtime and the plugin, and ends at the missing GPU, or, where there is one, at the file that is
# no engine.
check_engine_bench() {
  local bench=$1 runtime=$2 plugin=$3 said
  printf 'one 1 1 1\n' >"$build/pictures.txt"
  head -c 3 /dev/zero >"$build/one.image.u8"
  said=$("$bench" --pictures "$build" --load-plan "$build/pictures.txt" --tensorrt "$(dirname "$runtime")" \
    --plugin "$plugin" 2>&1 >/dev/null) && fail "engine_bench: expected an error, got none"
  grep -qE "^engine_bench: (GPU: expected a CUDA device|.*an engine of this TensorRT and GPU)" <<<"$said" ||
    fail "engine_bench with $runtime: expected to end at the GPU, got: $said"
}

driven=0 benched=0
for runtime in "${runtimes[@]}"; do
  major=${runtime##*.so.}
  major=${major%%.*}
  if [[ -z ${drive[$major]:-} ]]; then
    echo "not driven: $runtime (no headers of TensorRT $major given)"
    continue
  fi
  for entry in "${libraries[@]}"; do
    ((${entry%%.*} > major)) && continue
    echo -n "headers ${entry%%=*}, "
    "${drive[$major]}" "$runtime" "${entry#*=}"
    driven=$((driven + 1))
    bench=${entry#*=}
    bench=${bench%/*}/smsr_engine_bench
    if [[ -x $bench && ${entry%%.*} == "$major" ]]; then
      check_engine_bench "$bench" "$runtime" "${entry#*=}"
      benched=$((benched + 1))
    fi
  done
done
((driven > 0 || ${#libraries[@]} == 0)) || fail "runtimes: expected one for TensorRT 10 or newer, got none"
echo "engine_bench compiled without warnings: ${benches[*]:-for none (no NvOnnxParser.h)}; opened runtime and plugin: $benched times"
echo "compiled without warnings: ${compiled[*]}; driven through runtimes: $driven pairs; no kernel ran (no GPU)"
