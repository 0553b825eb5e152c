#!/bin/sh
# Builds both images of cpu.Dockerfile with buildah, no Docker engine and no registry needed, looks inside and, given
# a checkpoint, exports and upscales with them; results must equal those of the same bundle run outside, byte for byte.
# Needs root on Debian or Ubuntu: apt-get install --no-install-recommends buildah debootstrap. All of it from outside:
#   BASE            base image to pull instead of one made by debootstrap
#   SUITE, MIRROR   what debootstrap takes (default: bookworm, the mirror this system uses)
#   TORCH_INDEX     index of CPU torch wheels (default: the Dockerfile's)
#   BUILD_FLAGS     more flags of `buildah bud`, such as --volume /etc/pip.conf:/etc/pip.conf:ro for a private index
#   CHECKPOINT      trained weights; without them nothing is run but --version
#   PICTURE         picture to upscale (default: the bundle's golden input)
#   OUTSIDE         command that runs bundles outside (default: .venv/bin/smsr-run)
#   REPEAT=1        build everything twice and compare the images, not only their parts
#   WORK            folder for images and results, used again by the next run (default: a temporary one, removed)
#   STORAGE_DRIVER  of buildah (default: overlay, 4 GB; vfs works inside containers too, slower and with 25 GB)
set -eu
cd "$(dirname "$0")/.."

fail() { echo "check.sh: $*" >&2; exit 1; }
say() { echo "== $*"; }

[ "$(id -u)" = 0 ] || fail "root: expected, got user $(id -un); chroots and debootstrap need it"
command -v buildah >/dev/null || fail "buildah: not installed; apt-get install --no-install-recommends buildah"
if [ -z "${WORK:-}" ]; then
    WORK=$(mktemp -d)
    trap 'rm -rf "$WORK"' EXIT
fi
: "${SUITE:=bookworm}" "${STORAGE_DRIVER:=overlay}" "${BUILD_FLAGS:=}" "${OUTSIDE:=.venv/bin/smsr-run}"
export BUILDAH_ISOLATION=chroot
mkdir -p "$WORK"

# With --root buildah does not look at STORAGE_DRIVER itself.
image() { buildah --root "$WORK/storage" --runroot "$WORK/run" --storage-driver "$STORAGE_DRIVER" "$@"; }

make_base() {
    command -v debootstrap >/dev/null || fail "debootstrap: not installed; install it or set BASE"
    # shellcheck disable=SC2016
    : "${MIRROR:=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $SUITE" 2>/dev/null | head -n 1)}"
    : "${MIRROR:=http://deb.debian.org/debian}"
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv \
        "$SUITE" "$WORK/base" "$MIRROR" >"$WORK/debootstrap.log" 2>&1 || fail "debootstrap: see $WORK/debootstrap.log"
    rm -rf "$WORK"/base/var/cache/apt/archives/*.deb "$WORK"/base/var/lib/apt/lists/* "$WORK"/base/dev/*
    tar -C "$WORK/base" -cf "$WORK/base.tar" .
    container=$(image from scratch)
    image add "$container" "$WORK/base.tar" / >/dev/null
    image config --cmd python3 "$container"
    image commit --quiet --rm "$container" localhost/smsr-base >/dev/null
    rm -rf "$WORK/base" "$WORK/base.tar"
}

# build TARGET NAME [flag...]
build() {
    target=$1 name=$2
    shift 2
    log=$WORK/build-$target.log
    # BUILD_FLAGS is a list of words.
    # shellcheck disable=SC2086
    image bud --isolation chroot --network host --layers --timestamp 1767225600 $BUILD_FLAGS \
        --build-arg "BASE=$BASE" ${TORCH_INDEX:+--build-arg "TORCH_INDEX=$TORCH_INDEX"} \
        --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" "$@" \
        --file docker/cpu.Dockerfile --target "$target" --tag "$name" . >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; fail "build of $target: see the lines above"; }
}

# inside IMAGE COMMAND...: as the image's own user, in a folder of the host, as `docker run -v "$WORK/data:/work"` does
inside() {
    container=$(image from "localhost/$1")
    shift
    code=0
    image run --volume "$WORK/data:/work" --volume "$PWD/constraints.txt:/constraints.txt:ro" \
        "$container" -- "$@" || code=$?
    image rm "$container" >/dev/null
    return "$code"
}

entrypoint() { image inspect --type image --format '{{index .OCIv1.Config.Entrypoint 0}}' "localhost/$1"; }

# Installed packages of other versions than the constraints name, or not named there at all.
UNPINNED='
import importlib.metadata as metadata, re
from packaging.requirements import Requirement
plain = lambda name: re.sub("[-_.]+", "-", name).lower()
lines = [Requirement(line.strip()) for line in open("/constraints.txt") if line.strip() and not line.startswith("#")]
pins = {plain(pin.name): pin.specifier for pin in lines if pin.marker is None or pin.marker.evaluate()}
for package in metadata.distributions():
    name = plain(package.metadata["Name"])
    if name not in ("smsr", "smsr-runtime") and (name not in pins or not pins[name].contains(package.version, prereleases=True)):
        print(f"{name}=={package.version}")
'

# look IMAGE COMMAND: facts that hold for both images
look() {
    [ "$(entrypoint "$1")" = "$2" ] || fail "$1: expected entrypoint $2, got $(entrypoint "$1")"
    inside "$1" "$2" --version
    # $1 and so on are the inner shell's.
    # shellcheck disable=SC2016
    inside "$1" sh -c '
        [ "$(id -u)" = 1000 ] || { echo "expected user 1000, got $(id -u)"; exit 1; }
        for tool in gcc g++ cc c++ cmake ninja; do
            ! command -v "$tool" || { echo "expected no build tools"; exit 1; }
        done
        [ "$ORT_DISABLE_TELEMETRY" = 1 ] || { echo "expected telemetry of ONNX Runtime off"; exit 1; }
        [ -z "$(ls /var/lib/apt/lists)" ] || { echo "expected no apt lists"; exit 1; }
        [ ! -e /root/.cache ] && [ ! -e /tmp/.cache ] || { echo "expected no cache"; exit 1; }
    ' || fail "$1: see the line above"
    unpinned=$(inside "$1" python -c "$UNPINNED")
    [ -z "$unpinned" ] || fail "$1: constraints.txt does not name $(echo "$unpinned" | tr '\n' ' ')"
}

mkdir -p "$WORK/data"
chown 1000:1000 "$WORK/data"
if [ -z "${BASE:-}" ]; then
    image inspect --type image localhost/smsr-base >/dev/null 2>&1 || { say "base: $SUITE by debootstrap"; make_base; }
    BASE=localhost/smsr-base
fi
say "build runtime"
build runtime smsr-cpu
say "build exporter"
build exporter smsr-export-cpu
image images

say "look inside"
look smsr-cpu smsr-run
look smsr-export-cpu smsr-export
inside smsr-cpu python -c 'import importlib.util as u; assert not [m for m in ("torch", "onnx") if u.find_spec(m)]' ||
    fail "smsr-cpu: expected neither torch nor onnx"
inside smsr-cpu python -c 'import av, cv2, numpy, onnxruntime, PIL, smsr_runtime, tqdm'

if [ "${REPEAT:-0}" = 1 ]; then
    for target in runtime exporter; do
        say "build $target again, from nothing"
        build "$target" "smsr-again-$target" --no-cache
    done
    for pair in smsr-cpu:runtime smsr-export-cpu:exporter; do
        first=$(image inspect --type image --format '{{.OCIv1.RootFS.DiffIDs}}' "localhost/${pair%:*}")
        again=$(image inspect --type image --format '{{.OCIv1.RootFS.DiffIDs}}' "localhost/smsr-again-${pair#*:}")
        [ "$first" = "$again" ] || fail "${pair%:*}: layers differ between two builds: $first, then $again"
        say "${pair%:*}: two builds, the same layers"
    done
fi

[ -n "${CHECKPOINT:-}" ] || { say "passed; nothing was exported or upscaled: set CHECKPOINT"; exit 0; }
say "export and upscale"
cp "$CHECKPOINT" "$WORK/data/checkpoint.pt"
inside smsr-export-cpu smsr-export checkpoint.pt -o model.smsr --force
inside smsr-cpu smsr-run model.smsr --selftest
cp "${PICTURE:-$WORK/data/model.smsr/golden/input.png}" "$WORK/data/picture.png"
inside smsr-cpu smsr-run model.smsr picture.png -o inside.png --force --json | tee "$WORK/inside.json"
grep -q '"path": .*native' "$WORK/inside.json" || fail "smsr-cpu: expected the native path, got the line above"
$OUTSIDE "$WORK/data/model.smsr" "$WORK/data/picture.png" -o "$WORK/data/outside.png" --force
cmp "$WORK/data/inside.png" "$WORK/data/outside.png" || fail "inside.png and outside.png differ"
say "passed; inside and outside agree byte for byte: $(sha256sum <"$WORK/data/inside.png" | cut -c 1-16)"
