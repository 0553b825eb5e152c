#!/bin/sh
# What a newcomer meets, in fresh containers (buildah on a debootstrap base with Python and nothing else; no Docker):
#   wheel       the wheels of `make release`, installed by pip: a picture through the native library, no compiler
#   compiler    Python, make, g++: `make demo` from a clean clone; TEST=1: `make test`, too
#   without     Python, make: `make demo` through the function body, and what it says is lost
# docker/fresh.sh [wheel|compiler|without]...; default: all. Variables as in docker/check.sh: BASE, SUITE, MIRROR,
# TORCH_INDEX, BUILD_FLAGS (of `buildah run`, too), WORK, STORAGE_DRIVER; and of its own:
#   WHEELS          folder of the wheels (default: dist)
#   BUNDLE          what the wheel runs (default: that of `make demo` in compiler, which then comes first)
set -eu
cd "$(dirname "$0")/.."
. docker/buildah.sh
: "${WHEELS:=dist}"

# fresh NAME PACKAGE...: a container of that name with these Debian packages
fresh() {
    name=$1
    shift
    image rm "$name" >/dev/null 2>&1 || true
    image from --name "$name" "$BASE" >/dev/null
    [ $# = 0 ] || inside "$name" sh -c "apt-get -q update && apt-get -qy install --no-install-recommends $*" \
        >"$WORK/$name.log" 2>&1 || fail "$name: see $WORK/$name.log"
}

# inside NAME COMMAND...: BUILD_FLAGS is a list of words
inside() {
    name=$1
    shift
    # shellcheck disable=SC2086
    image run $BUILD_FLAGS --volume "$WORK/data:/data" --env "TORCH_INDEX=${TORCH_INDEX:-}" "$name" -- "$@"
}

# clone NAME: the committed files in the folder of that name
clone() {
    rm -rf "$WORK/data/$1"
    git clone --quiet . "$WORK/data/$1"
}

# demo NAME: `make demo`; its own index of PyTorch where TORCH_INDEX names one
demo() {
    clone "$1"
    # $TORCH_INDEX is the inner shell's.
    # shellcheck disable=SC2016
    inside "$1" sh -ec 'cd "$1"; make demo ${TORCH_INDEX:+TORCH_INDEX="$TORCH_INDEX"}' - "/data/$1" \
        >"$WORK/$1-demo.log" 2>&1 || { tail -n 20 "$WORK/$1-demo.log" >&2; fail "$1: make demo: see the lines above"; }
    grep -E '^(make demo:|/data.*sample_upscaled|demo/.*(native|function body))' "$WORK/$1-demo.log" || true
}

compiler() {
    say "Python, make, g++: make demo"
    fresh compiler make g++
    demo compiler
    grep -q 'sample_upscaled.png .*native' "$WORK/compiler-demo.log" || fail "compiler: expected the native path"
    [ "${TEST:-0}" = 1 ] || return 0
    say "Python, make, g++: make test"
    inside compiler sh -ec 'cd /data/compiler; make test' || fail "compiler: make test: see the lines above"
}

without() {
    say "Python, make, no compiler: make demo"
    fresh without make
    demo without
    grep -q '^make demo: no C++ compiler' "$WORK/without-demo.log" || fail "without: expected a line that says what is lost"
    grep -q 'sample_upscaled.png .*function body' "$WORK/without-demo.log" || fail "without: expected the function body"
}

wheel() {
    say "Python alone: pip install of the wheel"
    set -- "$WHEELS"/smsr_runtime-*manylinux*_"$(uname -m)".whl
    [ -f "$1" ] || fail "$WHEELS: expected a wheel of smsr-runtime for $(uname -m), got none; make release"
    bundle=${BUNDLE:-$WORK/data/compiler/demo/smsr_x2.smsr}
    [ -d "$bundle" ] || fail "$bundle: expected a bundle, got none; set BUNDLE or run compiler first"
    rm -rf "$WORK/data/wheel"
    mkdir "$WORK/data/wheel"
    cp "$1" "$WORK/data/wheel/"
    cp -r "$bundle" "$WORK/data/wheel/x2.smsr"
    fresh wheel
    # shellcheck disable=SC2016
    inside wheel sh -ec '
        ! command -v cc c++ gcc g++ clang || { echo "expected no compiler"; exit 1; }
        cd /data/wheel
        python3 -m venv /venv
        /venv/bin/pip install --quiet --disable-pip-version-check "$(echo smsr_runtime-*.whl)[ort]"
        /venv/bin/smsr-run x2.smsr x2.smsr/golden/input.png -o upscaled.png
    ' >"$WORK/wheel.log" 2>&1 || { tail -n 20 "$WORK/wheel.log" >&2; fail "wheel: see the lines above"; }
    tail -n 1 "$WORK/wheel.log"
    grep -q 'upscaled.png .*native' "$WORK/wheel.log" || fail "wheel: expected the native path"
}

[ $# -gt 0 ] || set -- compiler without wheel
for part; do
    case $part in wheel | compiler | without) ;; *) fail "$part: expected wheel, compiler or without" ;; esac
done
need_base
for part; do "$part"; done
say "passed: $*"
