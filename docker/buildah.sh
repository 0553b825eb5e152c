# What check.sh and fresh.sh share: buildah without Docker engine or registry, a base by debootstrap. Sourced, not run.
# shellcheck shell=sh
fail() { echo "$(basename "$0"): error: $*" >&2; exit 1; }
say() { echo "== $*"; }

[ "$(id -u)" = 0 ] || fail "root: expected, got user $(id -un); chroots and debootstrap need it"
command -v buildah >/dev/null || fail "buildah: not installed; apt-get install --no-install-recommends buildah"
if [ -z "${WORK:-}" ]; then
    WORK=$(mktemp -d)
    trap 'rm -rf "$WORK"' EXIT
fi
: "${SUITE:=bookworm}" "${ARCH:=$(dpkg --print-architecture)}" "${STORAGE_DRIVER:=overlay}" "${BUILD_FLAGS:=}"
export BUILDAH_ISOLATION=chroot
mkdir -p "$WORK/data"
WORK=$(realpath "$WORK")

# With --root buildah does not look at STORAGE_DRIVER itself.
image() { buildah --root "$WORK/storage" --runroot "$WORK/run" --storage-driver "$STORAGE_DRIVER" "$@"; }

# BASE, made as localhost/smsr-base-ARCH where none is given: Debian with Python and its venv module, nothing else.
need_base() {
    [ -z "${BASE:-}" ] || return 0
    BASE=localhost/smsr-base-$ARCH
    image inspect --type image "$BASE" >/dev/null 2>&1 && return
    say "base: $SUITE for $ARCH by debootstrap"
    command -v debootstrap >/dev/null || fail "debootstrap: not installed; install it or set BASE"
    # shellcheck disable=SC2016
    : "${MIRROR:=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $SUITE" 2>/dev/null | head -n 1)}"
    : "${MIRROR:=http://deb.debian.org/debian}"
    debootstrap --arch="$ARCH" --variant=minbase --include=ca-certificates,python3,python3-venv \
        "$SUITE" "$WORK/base" "$MIRROR" >"$WORK/debootstrap.log" 2>&1 || fail "debootstrap: see $WORK/debootstrap.log"
    rm -rf "$WORK"/base/var/cache/apt/archives/*.deb "$WORK"/base/var/lib/apt/lists/* "$WORK"/base/dev/*
    tar -C "$WORK/base" -cf "$WORK/base.tar" .
    container=$(image from --arch "$ARCH" scratch)
    image add "$container" "$WORK/base.tar" / >/dev/null
    image config --cmd python3 --arch "$ARCH" "$container"
    image commit --quiet --rm "$container" "$BASE" >/dev/null
    rm -rf "$WORK/base" "$WORK/base.tar"
}
