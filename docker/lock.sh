#!/bin/sh
# Writes docker/locks/: every package of the images with the SHA-256 of its files, in the versions of constraints.txt.
# Needs uv (pip install uv) and a package index; builds nothing. JetPack 5 alone has a Python older than 3.10, which
# constraints.txt is not for: py38/ holds the newest versions for it. torch.txt is kept by hand (docker/README.md).
set -eu
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never UV_CUSTOM_COMPILE_COMMAND=docker/lock.sh

# lock FILE FLAG... <REQUIREMENTS. Left out: what is installed by itself (the wheels of this repository, torch, pycuda),
# and what Windows alone needs.
lock() {
    file=docker/locks/$1
    shift
    uv pip compile - --quiet --config-file docker/uv.toml --generate-hashes --no-annotate --output-file "$file" \
        --no-emit-package smsr --no-emit-package smsr-runtime --no-emit-package torch \
        --no-emit-package colorama --no-emit-package pyreadline3 "$@"
    echo "$file: $(grep -c == "$file") packages"
}
current() { lock "$1" --universal --python-version 3.10 --constraint constraints.txt; }
old() { lock "py38/$1" --python-version 3.8 --python-platform aarch64-manylinux_2_31; }

# What `make setup`, `make test-ray` and `make release` install, on each Python: where the pins contradict each other or leave
# a Python out, this ends at once and says why; pip would try thousands of files.
for python in 3.10 3.11 3.12 3.13; do
    echo './runtime[ray]' '.[dev,fuzz]' 'moto[server]' | tr ' ' '\n' |
        uv pip compile - --quiet --config-file docker/uv.toml --python-version "$python" --constraint constraints.txt \
            --group release >/dev/null
    echo "constraints.txt: can be met on Python $python"
done

echo pip | current pip.txt
echo cmake ninja scikit-build-core hatchling | tr ' ' '\n' | current build.txt
echo './runtime[ort,video]' 'pillow>=10' | tr ' ' '\n' | current runtime.txt
echo './runtime[ort,video]' '.[export]' | tr ' ' '\n' | current exporter.txt
# setuptools builds pycuda.
echo './runtime[video]' 'pillow>=9' setuptools | tr ' ' '\n' | current jetson.txt
echo pycuda | current pycuda.txt

echo pip | old pip.txt
echo cmake ninja | tr ' ' '\n' | old build.txt
echo './runtime[video]' 'pillow>=9' setuptools | tr ' ' '\n' | old jetson.txt
echo pycuda | old pycuda.txt
