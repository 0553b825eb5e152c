#!/usr/bin/env bash
# The network with its plugin against dense engines of the same architecture, in whatever TensorRT (8.6 or newer) is at
# hand: builds the engines, checks what they compute, times them, prints one table. On a machine with a GPU, `run` is
# the whole measurement, within SECONDS_LEFT (480).
#   bench_tensorrt.sh prepare FOLDER CHECKPOINT EVALUATION PHOTOGRAPHS
#                                        without a GPU: models, pictures and references into FOLDER/data, engine_bench
#                                        and plugin into FOLDER/bin. EVALUATION: such as Set5; PHOTOGRAPHS: such as Kodak
#   bench_tensorrt.sh rehearse FOLDER    without a GPU: as `run`, with made-up times
#   bench_tensorrt.sh run FOLDER [TENSORRT]   TENSORRT: folder of libnvinfer.so.N, packed or not; none: installed
#   bench_tensorrt.sh pack LIBRARIES PARTS    compresses a folder of TensorRT's libraries, for a machine that has only
#                                        CUDA, into parts PARTS/1, PARTS/2, ... of PART_BYTES (60000000): one per transfer
#   bench_tensorrt.sh keep PART STORE    there: keeps a transferred part; when all are there, give STORE to `run`
# Results go to OUT (FOLDER/results). Other variables:
#   KERNELS          for `run`: measure the plugin with each SMSR_CUDA_KERNEL of this list ("gather staged"), which share
#                    one engine: the kernel is chosen when it runs
#   TENSORRT_INCLUDE for `prepare`: folder of NvInfer.h and NvOnnxParser.h; unset: CMake's search
#   ARCHITECTURES    for `prepare`: compute capabilities, default 90
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

fail() {
  echo "bench_tensorrt.sh: $*" >&2
  exit 2
}

prepare() {
  local folder=$1 python=${PYTHON:-python3}
  mkdir -p "$folder/bin"
  "$python" -m smsr_bench.tensorrt_files "$2" -o "$folder/data" --evaluation "$3" --photographs "$4"
  build_programs "$folder/build" "$folder/bin"
}

build_programs() {
  local build=$1 bin=$2
  cmake -S "$root/plugins" -B "$build" -DSMSR_BUILD_ORT=OFF -DSMSR_BUILD_CUDA=ON -DSMSR_BUILD_TRT=ON \
    -DSMSR_CUDA_ARCHITECTURES="${ARCHITECTURES:-90}" -DTENSORRT_INCLUDE="${TENSORRT_INCLUDE:-}"
  cmake --build "$build" --parallel "${JOBS:-2}" \
    --target smsr_trt smsr_engine_bench smsr_engine_bench_rehearsal smsr_cuda_gpu_branch_test smsr_cuda_gpu_pixels_test
  cp "$build"/trt/libsmsr_trt*.so "$build"/trt/tests/smsr_engine_bench{,_rehearsal} \
    "$build"/tests/cuda/smsr_cuda_gpu_{branch,pixels}_test "$bin/"
}

# All files of LIBRARIES as one stream: xz with a dictionary so large that the builder's many similar kernels compress.
pack() {
  local libraries=$1 parts=$2 number=0 part
  [[ -n $(ls "$libraries" 2>/dev/null) ]] || fail "pack: expected a folder of TensorRT's libraries, got $libraries"
  mkdir -p "$parts"
  tar -C "$libraries" --dereference -c . | xz -T1 --lzma2=preset=6,dict=128MiB |
    split -b "${PART_BYTES:-60000000}" -a 3 - "$parts/tensorrt."
  for part in "$parts"/tensorrt.*; do
    number=$((number + 1))
    mkdir -p "$parts/$number"
    mv "$part" "$parts/$number/"
  done
  (cd "$parts" && cat */tensorrt.* | sha256sum >"1/sha256")
  echo "packed into $number parts: $parts/1 to $parts/$number"
}

keep() {
  [[ -n $(ls "$1" 2>/dev/null) ]] || fail "keep: expected a part that \`pack\` wrote, got $1"
  mkdir -p "$2"
  cp "$1"/* "$2/"
}

# Prints the folder with the libraries: TENSORRT itself, or what its parts hold.
unpacked() {
  local folder=$1
  if [[ ! -e $folder/sha256 ]]; then
    echo "$folder"
    return
  fi
  if [[ ! -e $folder/libraries ]]; then
    [[ $(cat "$folder"/tensorrt.* | sha256sum) == $(cat "$folder/sha256") ]] ||
      fail "$folder: expected all parts that \`pack\` wrote, got others; transfer them again with \`keep\`"
    mkdir "$folder/unpacking"
    cat "$folder"/tensorrt.* | xz -dc | tar -C "$folder/unpacking" -x
    mv "$folder/unpacking" "$folder/libraries"
  fi
  echo "$folder/libraries"
}

# measure NAME MODEL REFERENCES [OPTION...]: one engine, within the time left. Plans that were kept, or that another
# kernel's measurement has just saved, spare the build.
measure() {
  local name=$1 model=$2 references=$3 left=$((deadline - SECONDS)) status=0 plan
  shift 3
  if ((left < ${LEAST_SECONDS:-45})); then
    echo "== $name: skipped, $left s left"
    return
  fi
  local command=(timeout "$left" "$bench" --pictures "$data" --references "$data/$references" --batches 1,4 --profile
    --json "$out/$name.json" "$@")
  [[ -z $tensorrt ]] || command+=(--tensorrt "$tensorrt")
  echo "== $name"
  for plan in "$out/$model.plan" "$plans/$model.plan"; do
    [[ -e $plan ]] || continue
    "${command[@]}" --load-plan "$plan" && return || status=$?
    ((status == 2)) || { failed+=" $name"; return; }
    echo "building it instead"
    break
  done
  "${command[@]}" --onnx "$data/$model.onnx" --save-plan "$out/$model.plan" || failed+=" $name"
}

measure_model() {
  local model=$1 plugin=$2 references=$3 psnr=$4 float32=$5 kernel options
  options=(--least-psnr "$psnr" --pixels "$library")
  [[ $float32 == - ]] || options+=(--float32 "$float32")
  if [[ $plugin == - ]]; then
    measure "$model" "$model" "$references" "${options[@]}"
    return
  fi
  options+=(--plugin "$library")
  for kernel in ${KERNELS:-gather staged}; do
    SMSR_CUDA_KERNEL=$kernel measure "$model-$kernel" "$model" "$references" "${options[@]}"
  done
}

run() {
  local folder=$1 line libraries program
  bench=$2 data=$folder/data out=${OUT:-$folder/results} plans=${PLANS:-$folder/plans} failed="" tensorrt=""
  deadline=$((SECONDS + ${SECONDS_LEFT:-480}))
  [[ -x $bench && -f $data/models.txt ]] || fail "run: expected a folder that \`prepare\` wrote, got $folder"
  libraries=("$folder"/bin/libsmsr_trt*.so)
  library=${libraries[0]}
  [[ -f $library ]] || fail "run: expected $folder/bin/libsmsr_trtN.so, got none; run prepare again"
  if [[ -n ${3:-} ]]; then tensorrt=$(unpacked "$3"); fi
  [[ -z $tensorrt ]] || export LD_LIBRARY_PATH="$tensorrt${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  mkdir -p "$out"
  rm -f "$out"/*.json "$out"/*.plan "$out/table.md"  # of an earlier run, which the table would mix in
  for program in "$folder"/bin/smsr_cuda_gpu_*_test; do
    [[ $bench == *_bench && -x $program ]] || continue
    "$program" || failed+=" ${program##*/}"
  done
  while read -r -a line; do
    ((${#line[@]} == 5)) || fail "$data/models.txt: expected 5 words in each line, got '${line[*]}'; run prepare again"
    measure_model "${line[@]}" </dev/null
  done <"$data/models.txt"
  python3 "$here/table.py" "$out"/*.json | tee "$out/table.md" || failed+=" table"
  echo "took $((SECONDS - deadline + ${SECONDS_LEFT:-480})) s"
  [[ -z $failed ]] || { echo "bench_tensorrt.sh: failed:$failed" >&2; exit 1; }
}

case ${1:-}/$# in
  prepare/5) prepare "${@:2}" ;;
  rehearse/2) run "$2" "$2/bin/smsr_engine_bench_rehearsal" ;;
  run/2 | run/3) run "$2" "$2/bin/smsr_engine_bench" "${3:-}" ;;
  pack/3) pack "${@:2}" ;;
  keep/3) keep "${@:2}" ;;
  *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
