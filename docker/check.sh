#!/bin/sh
# Builds both images of cpu.Dockerfile with buildah, no Docker engine and no registry needed, looks inside and, given
# a checkpoint, exports and upscales with them; results must equal those of the same bundle run outside, byte for byte.
# Needs root on Debian or Ubuntu: apt-get install --no-install-recommends buildah debootstrap. All of it from outside:
#   BASE            base image to pull instead of one made by debootstrap
#   SUITE, MIRROR   what debootstrap takes (default: bookworm, the mirror this system uses)
#   ARCH            amd64 or arm64 (default: this machine's); another one needs qemu-user 10 in binfmt_misc, flag F (7.2 crashes)
#   WHEELS          folder with the wheels of `make release`, which the images then take: nothing is compiled
#   PACKAGES        folder with the packages that docker/locks/ names, downloaded (docker/README.md): pip asks no index
#   TARGETS         images to build (default: runtime exporter)
#   TORCH_INDEX     index of CPU torch wheels (default: the Dockerfile's)
#   BUILD_FLAGS     more flags of `buildah bud`, such as --volume /etc/pip.conf:/etc/pip.conf:ro for a private index
#   CHECKPOINT      trained weights, exported inside; or BUNDLE; without both nothing is run but --version
#   PICTURE         picture to upscale (default: the bundle's golden input)
#   OUTSIDE         command that runs bundles outside (default: .venv/bin/smsr-run)
#   REPEAT=1        build everything twice and compare the images, not only their parts
#   WORK            folder for images and results, used again by the next run (default: a temporary one, removed)
#   STORAGE_DRIVER  of buildah (default: overlay, 4 GB; vfs works inside containers too, slower and with 25 GB)
set -eu
cd "$(dirname "$0")/.."
. docker/buildah.sh
: "${OUTSIDE:=.venv/bin/smsr-run}"

# build TARGET NAME [flag...]
build() {
    target=$1 name=$2
    shift 2
    log=$WORK/build-$target-$ARCH.log
    # BUILD_FLAGS is a list of words.
    # shellcheck disable=SC2086
    image bud --isolation chroot --network host --layers --timestamp 1767225600 --arch "$ARCH" $BUILD_FLAGS \
        ${WHEELS:+--build-context "wheels=$WHEELS"} \
        ${PACKAGES:+--build-context "packages=$PACKAGES" --build-arg PIP_NO_INDEX=1} \
        --build-arg "BASE=$BASE" ${TORCH_INDEX:+--build-arg "TORCH_INDEX=$TORCH_INDEX"} \
        --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" "$@" \
        --file docker/cpu.Dockerfile --target "$target" --tag "$name" . >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; fail "build of $target: see the lines above"; }
}

# inside IMAGE COMMAND...: as the image's own user, in a folder of the host, as `docker run -v "$WORK/data:/work"` does
inside() {
    container=$(image from --arch "$ARCH" "localhost/$1")
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

# want TARGET: whether it is among TARGETS
want() { case " $TARGETS " in *" $1 "*) ;; *) return 1 ;; esac; }

: "${TARGETS:=runtime exporter}"
chown 1000:1000 "$WORK/data"
need_base
for target in $TARGETS; do
    say "build $target"
    build "$target" "smsr-$target"
done
image images

say "look inside"
if want runtime; then
    look smsr-runtime smsr-run
    inside smsr-runtime python -c 'import importlib.util as u; assert not [m for m in ("torch", "onnx") if u.find_spec(m)]' ||
        fail "smsr-runtime: expected neither torch nor onnx"
    inside smsr-runtime python -c 'import av, cv2, numpy, onnxruntime, PIL, smsr_runtime, tqdm'
fi
if want exporter; then look smsr-exporter smsr-export; fi

if [ "${REPEAT:-0}" = 1 ]; then
    for target in $TARGETS; do
        say "build $target again, from nothing"
        build "$target" "smsr-again-$target" --no-cache
        first=$(image inspect --type image --format '{{.OCIv1.RootFS.DiffIDs}}' "localhost/smsr-$target")
        again=$(image inspect --type image --format '{{.OCIv1.RootFS.DiffIDs}}' "localhost/smsr-again-$target")
        [ "$first" = "$again" ] || fail "$target: layers differ between two builds: $first, then $again"
        say "$target: two builds, the same layers"
    done
fi

if [ -n "${BUNDLE:-}" ]; then
    cp -r "$BUNDLE" "$WORK/data/new.smsr"
    rm -rf "$WORK/data/model.smsr"
    mv "$WORK/data/new.smsr" "$WORK/data/model.smsr"
elif [ -n "${CHECKPOINT:-}" ] && want exporter; then
    say "export"
    cp "$CHECKPOINT" "$WORK/data/checkpoint.pt"
    inside smsr-exporter smsr-export checkpoint.pt -o model.smsr --force
else
    say "passed; nothing was exported or upscaled: set CHECKPOINT or BUNDLE"
    exit 0
fi
want runtime || { say "passed; nothing was upscaled"; exit 0; }
say "upscale"
inside smsr-runtime smsr-run model.smsr --selftest
cp "${PICTURE:-$WORK/data/model.smsr/golden/input.png}" "$WORK/data/picture.png"
inside smsr-runtime smsr-run model.smsr picture.png -o inside.png --force --json | tee "$WORK/inside.json"
grep -q '"path": .*native' "$WORK/inside.json" || fail "smsr-runtime: expected the native path, got the line above"
$OUTSIDE "$WORK/data/model.smsr" "$WORK/data/picture.png" -o "$WORK/data/outside.png" --force
cmp "$WORK/data/inside.png" "$WORK/data/outside.png" || fail "inside.png and outside.png differ"
say "passed; inside and outside agree byte for byte: $(sha256sum <"$WORK/data/inside.png" | cut -c 1-16)"
