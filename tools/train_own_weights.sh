#!/bin/sh
# tools/train_own_weights.sh SCALE MINUTES [OPTION ...]
#
# A slice of training smsr's own weights on a CPU or a GPU: starts a run or goes on where the last slice stopped, wherever
# that was. Repeat the same line until it says "done". OPTIONs go to smsr-train, the same ones in every slice.
#
# DATA    mixed (default): all photographs but BSDS's JPEGs, from the shipped weights of that scale; free: those whose terms
#         are known and free alone, from scratch (x2 first, it needs a GPU); or folders and ZIP files, from the shipped weights
# STEPS   length of the run, which its schedules depend on (default 8500; free x2: 60000, twice)
# RUNS    folder of the runs and of decoded pictures (default runs)
# PHOTOS  folder that has train/ and train_free/ (default ../shared/data)
# PYTHON  default .venv/bin/python
set -eu
if [ $# -lt 2 ]; then
    sed -n '2,14s/^# \{0,1\}//p' "$0"
    exit 2
fi
here=$(dirname "$0")/..
scale=$1 minutes=$2 data=${DATA:-mixed} runs=${RUNS:-runs} photos=${PHOTOS:-../shared/data}
shift 2
train() { "${PYTHON:-$here/.venv/bin/python}" -m smsr.training "$@"; }
free="$photos/train/Kodak24 $photos/train_free/CLIC25 $photos/train_free/CID22 $photos/train_free/gb82 $photos/train_free/budgie"
name=$data
case $data in
mixed) folders="$photos/train/DIV2K_crop128 $photos/train/McMaster18 $free" ;;
free) folders=$free ;;
*) folders=$data name=own ;;
esac

start="--init-from $here/smsr/pretrained/smsr_x$scale.safetensors"
recipe="--steps ${STEPS:-8500} --learning-rate 1.5e-4 --hard-share 1"
run=$runs/${name}_x$scale
if [ "$data" = free ]; then
    if [ "$scale" != 2 ]; then
        start="--init-from $runs/free_x2/best.pt --fit-tail 320"
    elif [ ! -e "$runs/free_x2_learned.pt" ]; then # learn first, then thin out: docs/training.md
        run=$runs/free_x2_learn start=""
        recipe="--steps ${STEPS:-60000} --learning-rate 4e-4 --sparsity-weight 0.01 --sparsity-ramp 0.5 --tau-schedule constant"
    else
        start="--init-from $runs/free_x2_learned.pt --reopen-masks 0.6"
        recipe="--steps ${STEPS:-60000} --learning-rate 3e-4 --sparsity-weight 0.3 --sparsity-ramp 0.02 --hard-share 0.2"
    fi
fi
if [ -e "$run/last.pt" ]; then start=""; fi

# shellcheck disable=SC2086  # lists of words
{
    mkdir -p "$runs"
    pixels=$runs/${name}_x$scale.safetensors
    if [ ! -e "$pixels" ]; then train pack $folders --raw "$scale" -o "$pixels"; fi
    train "$pixels" -o "$run" --resume --time-limit "$minutes" --scale "$scale" --batch 4 --patch 48 --min-patch 48 \
        --rate-schedule cosine --precision bf16 --channels-last --workers 0 $recipe $start "$@"
}
if [ "$run" = "$runs/free_x2_learn" ] && tail -n 1 "$run/metrics.jsonl" | grep -q "\"step\": ${STEPS:-60000},"; then
    cp "$run/best.pt" "$runs/free_x2_learned.pt"
    echo "the first of two phases is done: repeat the same line for the second"
fi
