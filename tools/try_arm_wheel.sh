#!/usr/bin/env bash
# try_arm_wheel.sh WHEEL BUNDLE PICTURE: upscales a picture with the arm64 wheel under qemu, on Debian 12's Python and
# ONNX Runtime 1.19.2, through the native library and through the function body. Prints the result's SHA-256 for each:
# on x86-64 the same bundle must give the same pictures but for single roundings.
# Needs root for debootstrap (apt-get install debootstrap qemu-user) and downloads 150 MB; WORK names a folder to keep.
set -euo pipefail
(($# == 3)) || { echo "try_arm_wheel.sh: error: expected WHEEL BUNDLE PICTURE, got $# arguments" >&2; exit 2; }
wheel=$(realpath "$1") bundle=$(realpath "$2") picture=$(realpath "$3")
work=${WORK:-$(mktemp -d)}
[[ -n ${WORK:-} ]] || trap 'rm -rf "$work"' EXIT
mkdir -p "$work"

if [[ ! -x $work/arm/usr/bin/python3.11 ]]; then
  # The first stage alone unpacks; no program of the other processor has to run.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 2>/dev/null | head -n 1)
  debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,libpython3.11-stdlib,libstdc++6 \
      bookworm "$work/arm" "${mirror:-http://deb.debian.org/debian}" >"$work/debootstrap.log"
  for package in "$work"/arm/var/cache/apt/archives/*.deb; do dpkg -x "$package" "$work/arm"; done
fi
if [[ ! -d $work/site ]]; then
  # Newer ONNX Runtimes crash at import in qemu 7.2 (Debian 12's); qemu 10 runs 1.32.
  python3 -m pip install --quiet --target "$work/site" --only-binary :all: --python-version 3.11 --implementation cp \
      --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
      onnxruntime==1.19.2 numpy opencv-python-headless
fi
python3 -m zipfile -e "$wheel" "$work/smsr"

for library in '' none; do
  SMSR_ORT_LIBRARY=$library PYTHONPATH=$work/smsr:$work/site ORT_DISABLE_TELEMETRY=1 \
      qemu-aarch64 -L "$work/arm" "$work/arm/usr/bin/python3.11" \
      -m smsr_runtime "$bundle" "$picture" -o "$work/result.png" --force
  sha256sum "$work/result.png"
done
