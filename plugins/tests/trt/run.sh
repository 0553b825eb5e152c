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
  case $version in
    8.5.*) expected="smsr_interface_hash " foreign="getPluginRegistry " ;;
    8.*) expected="getPluginCreators setLoggerFinder smsr_interface_hash " foreign="getPluginRegistry " ;;
    *) expected="getCreators setLoggerFinder smsr_interface_hash " ;;
  esac
  [[ $(exported "$library") == "$expected" ]] ||
    fail "$version: exports: expected $expected, got $(exported "$library")"
  [[ $(imported "$library") == "$foreign" ]] ||
    fail "$version: symbols of TensorRT: expected '$foreign', got '$(imported "$library")'"
}

compiled=() libraries=()
declare -A drive
for folder in "${headers[@]}"; do
  [[ -f $folder/NvInferRuntime.h ]] || fail "TENSORRT_INCLUDE: expected folders with NvInferRuntime.h, got $folder"
  work=$build/$(echo "$folder" | cksum | cut -d' ' -f1)
  cmake -S "$plugins" -B "$work" -DCMAKE_BUILD_TYPE=Release -DSMSR_BUILD_ORT=OFF -DSMSR_BUILD_TRT=ON \
    -DTENSORRT_INCLUDE="$folder" -DCUDA_INCLUDE="$cuda" >"$work.log" 2>&1 || { cat "$work.log" >&2; exit 1; }
  version=$(sed -n 's/^-- TensorRT: \([0-9.]*\) headers.*/\1/p' "$work.log")
  [[ -n $version ]] || fail "CUDA's headers: expected CUDA_INCLUDE or an installed CUDA, got none"
  cmake --build "$work" --parallel 2 --target smsr_trt_core_test smsr_trt_on_double smsr_trt_drive >"$work.log" 2>&1 ||
    { cat "$work.log" >&2; fail "TensorRT $version: expected a build without warnings, got the errors above"; }
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

driven=0
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
  done
done
((driven > 0 || ${#libraries[@]} == 0)) || fail "runtimes: expected one for TensorRT 10 or newer, got none"
echo "compiled without warnings: ${compiled[*]}; driven through runtimes: $driven pairs; no kernel ran (no GPU)"
