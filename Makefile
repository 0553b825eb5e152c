# Needs Python 3.10+, make and a C++ compiler; everything else goes into .venv.
#   make demo     export, upscale a sample, parity, speed; with smsr's own weights, or CHECKPOINT=path.pt
#   make test     lint, formats, types, native tests, pytest
PYTHON ?= python3
# CPU builds of PyTorch; where this index cannot be reached pip takes PyTorch from its usual ones.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# What .PHONY: kills hours setup native demo bench testmake demo.PHONY: kills hours setup native demo bench test exports: x2 is smsr's own weights for scale 2 (smsr/pretrained/README.md).
CHECKPOINT ?= x2
# What .PHONY: kills hours setup native demo bench testmake bench.PHONY: kills hours setup native demo bench test runs on, and where its report goes.
IMAGES ?= $(addprefix $(or $(SMSR_SHARED),../shared)/data/,Set5/LR_bicubic/X2 Set14/LR_bicubic/X2 video/bikes.mp4)
REPORT ?= build/bench
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
WERROR ?= OFF

VENV := .venv
BIN := $(VENV)/bin
NATIVE := runtime/smsr_runtime/native
BUILD := build/native
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# The shell's .PHONY: kills hours setup native demo bench testfiles.PHONY: kills hours setup native demo bench test: all C++ and CUDA sources; fails where git lists none.
CPP_FILES = files=$$(git ls-files '*.h' '*.cpp' '*.cu' '*.cuh') && test -n "$$files"
export ORT_DISABLE_TELEMETRY := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

# The NEON kernels run under qemu where the cross compiler is; in CI they must.
ifneq ($(CI)$(shell command -v aarch64-linux-gnu-g++),)
NEON_TEST := plugins/tests/run_neon.sh
else
NEON_TEST := @echo 'skipped: NEON kernels (apt install g++-aarch64-linux-gnu qemu-user)'
endif

.PHONY: kills hours setup native demo bench test test-trt test-gpu check format clean

setup: $(VENV)/.installed native

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "smsr needs Python 3.10 or newer: make PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --no-deps --retries 0 --index-url $(TORCH_INDEX) torch || $(PIP_INSTALL) --no-deps torch
	$(PIP_INSTALL) --editable '.[dev]' --config-settings=wheel.cmake=false
	touch $@

# Finds ONNX Runtime's headers by itself (ONNXRUNTIME_INCLUDE_DIR, system, pinned download, Debian package).
native: $(VENV)/.installed
	@mkdir -p build
	cmake -S plugins -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=Release -DSMSR_WERROR=$(WERROR) \
	    -DSMSR_INSTALL_DIR=. -DSMSR_BUILD_TESTS=ON >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	cmake --build $(BUILD) --parallel $(JOBS) --target smsr_ort
	cmake --install $(BUILD) --prefix $(NATIVE) >/dev/null

demo: setup
	$(BIN)/python -m smsr_bench.demo "$(CHECKPOINT)" --output demo

bench: setup
	@test -n "$(BUNDLE)" || { echo 'make bench: expected BUNDLE=NAME.smsr, and IMAGES="pictures, folders, videos"; got none' >&2; exit 2; }
	$(BIN)/smsr-bench "$(BUNDLE)" $(IMAGES) --series shares sizes -o $(REPORT)

test: setup check
	cmake --build $(BUILD) --parallel $(JOBS)
	ctest --test-dir $(BUILD) --output-on-failure
	$(NEON_TEST)
	$(BIN)/python -m pytest -n 2

# Minutes each: 200 kills of a video job that is resumed to the same bytes, and an hour of frames without growth.
kills hours: setup
	$(BIN)/python -m tests.runtime.$@ $(if $(filter kills,$@),"$(BUNDLE)")

# NVIDIA's headers and lean runtimes, by git and pip or TENSORRT_INCLUDE, TENSORRT_LEAN; needs no GPU, runs no kernel.
test-trt: $(VENV)/.installed
	PYTHON=$(BIN)/python plugins/tests/trt/run.sh

# On a machine with an NVIDIA GPU and nvcc; CUDA_ARCHITECTURES=90 compiles for one only.
test-gpu: $(VENV)/.installed
	cmake -S plugins -B build/cuda -G Ninja -DCMAKE_BUILD_TYPE=Release -DSMSR_BUILD_CUDA=ON -DSMSR_CUDA_VOLTA=ON \
	    -DSMSR_BUILD_ORT=OFF -DCMAKE_CUDA_ARCHITECTURES=$(or $(CUDA_ARCHITECTURES),native)
	cmake --build build/cuda --parallel $(JOBS) --target smsr_cuda_gpu_test smsr_cuda_gpu_bench
	build/cuda/tests/cuda/smsr_cuda_gpu_test

check: $(VENV)/.installed
	ruff check .
	ruff format --check .
	mypy
	$(CPP_FILES) && clang-format --dry-run --Werror $$files

format: $(VENV)/.installed
	ruff check --fix .
	ruff format .
	$(CPP_FILES) && clang-format -i $$files

clean:
	rm -rf build dist $(VENV) $(NATIVE)/*.so
