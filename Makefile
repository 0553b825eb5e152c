# Needs Python 3.10+, make and a C++ compiler; everything else goes into .venv.
#   make demo     export, upscale a sample, demo/index.html; with smsr's own weights, or CHECKPOINT=path.pt
#   make test     lint, formats, types, native tests, pytest
PYTHON ?= python3
# CPU builds of PyTorch; where this index cannot be reached pip takes PyTorch from its usual ones.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# What `make demo` exports: x2 is smsr's own weights for scale 2 (smsr/pretrained/README.md).
CHECKPOINT ?= x2
# What `make bench` runs on, and where its report goes.
IMAGES ?= $(addprefix $(or $(SMSR_SHARED),../shared)/data/,Set5/LR_bicubic/X2 Set14/LR_bicubic/X2 video/bikes.mp4)
REPORT ?= build/bench
# What `make coverage` measures, each for itself.
COVERED := smsr smsr/training export runtime benchmarks
# Other active shares and sizes: half of its time; SERIES= leaves them out.
SERIES ?= shares sizes
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
WERROR ?= OFF

VENV := .venv
BIN := $(VENV)/bin
NATIVE := runtime/smsr_runtime/native
BUILD := build/native
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# $(call SANITIZED,FOLDER,SMSR_SANITIZE,TARGETS): builds them with that sanitizer below build/FOLDER.
define SANITIZED
cmake -S plugins -B build/$(1) -G Ninja -DSMSR_SANITIZE=$(2) -DSMSR_BUILD_ORT=OFF -DSMSR_WERROR=OFF \
    -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS='-O1 -g1' >/dev/null
cmake --build build/$(1) --parallel $(JOBS) --target $(3)
endef
# $(call TIMED,PART,COMMAND): runs it, and keeps its time for the line of times at the end of `make test`.
define TIMED
@start=$$(date +%s); echo '== $(1)'; { $(2); } && echo "$(1) $$(($$(date +%s) - start)) s" >>build/times
endef
# The shell's `files`: all C++ and CUDA sources, without git those below plugins/; fails where there are none.
CPP_FILES = files=$$(git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' 2>/dev/null || \
    find plugins -name build -prune -o \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print) && test -n "$$files"
export ORT_DISABLE_TELEMETRY := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

COMPILER := $(shell command -v "$${CXX:-c++}" || command -v g++ || command -v clang++)

# The NEON kernels run under qemu where the cross compiler is; in CI they must.
ifneq ($(CI)$(shell command -v aarch64-linux-gnu-g++),)
NEON_TEST := plugins/tests/run_neon.sh
else
NEON_TEST := echo 'skipped: NEON kernels (apt install g++-aarch64-linux-gnu qemu-user)'
endif

.PHONY: site site-check kills hours setup native demo bench test test-trt test-gpu test-ray release reproducible check format clean mutants coverage test-asan test-tsan fuzz fuzz-native load fuzz-python fuzz-operators faults full-disk damaged-videos

setup: $(VENV)/.installed native

$(VENV)/.installed: pyproject.toml runtime/pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "smsr needs Python 3.10 or newer: make PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --no-deps --retries 0 --index-url $(TORCH_INDEX) torch || $(PIP_INSTALL) --no-deps torch
	$(PIP_INSTALL) --editable ./runtime --config-settings=wheel.cmake=false --editable '.[dev]'
	touch $@

# Finds ONNX Runtime's headers by itself (ONNXRUNTIME_INCLUDE_DIR, system, pinned download, Debian package).
native: $(VENV)/.installed
	@test -n "$(COMPILER)" || { echo 'make: no C++ compiler: expected c++, g++ or clang++, or its name in CXX; apt install g++' >&2; exit 2; }
	@mkdir -p build
	cmake -S plugins -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=Release -DSMSR_WERROR=$(WERROR) \
	    -DSMSR_INSTALL_DIR=. -DSMSR_BUILD_TESTS=ON >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	cmake --build $(BUILD) --parallel $(JOBS) --target smsr_ort
	cmake --install $(BUILD) --prefix $(NATIVE) >/dev/null

# Without a C++ compiler it goes through the function body, and its page says what is lost.
demo: $(VENV)/.installed
	@if command -v $${CXX:-c++} >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null; then \
	    $(MAKE) --no-print-directory native; \
	else echo 'make demo: no C++ compiler (apt install g++): without the native library, several times slower' >&2; fi
	$(BIN)/python -m smsr_bench.demo "$(CHECKPOINT)" --output demo

bench: setup
	@test -n "$(BUNDLE)" || { echo 'make bench: expected BUNDLE=NAME.smsr, and IMAGES="pictures, folders, videos"; got none' >&2; exit 2; }
	$(BIN)/smsr-bench "$(BUNDLE)" $(IMAGES) --series $(SERIES) -o $(REPORT)

test: setup
	@rm -f build/times
	$(call TIMED,checks,$(MAKE) --no-print-directory check)
	$(call TIMED,native build,cmake --build $(BUILD) --parallel $(JOBS))
	$(call TIMED,native tests,ctest --test-dir $(BUILD) --output-on-failure)
	$(call TIMED,NEON,$(NEON_TEST))
	$(call TIMED,pytest,$(BIN)/python -m pytest -n 2 --durations=25 --durations-min=2 --junit-xml=build/tests.xml)
	@echo "times: $$(paste -sd, build/times | sed 's/,/, /g')"
	@$(BIN)/python tools/skipped.py build/tests.xml

# Mistakes that a test must notice, put into a copy one at a time; ONLY="WORD ...": lists, files or names with a word.
mutants: setup
	$(BIN)/python tools/mutants.py $(ONLY)

# Runs pytest, or the tests in TESTS; then every part must have 90 % of its lines run, in the processes that tests start
# too. The tables come even where a test failed.
coverage: setup
	rm -rf build/coverage
	mkdir -p build/coverage
	@failed=0; \
	$(BIN)/python -m coverage run -m pytest -n 2 --durations=25 --durations-min=2 $(TESTS) || failed=1; \
	$(BIN)/python -m coverage combine -q || failed=1; \
	for part in $(COVERED); do \
	    echo; echo "== $$part"; \
	    $(BIN)/python -m coverage report --skip-covered --include="$$part/*" --fail-under=90 || failed=1; \
	done; exit $$failed

# Native tests under the address and undefined-behaviour sanitizers; all cases of the contract would take many minutes.
test-asan: $(VENV)/.installed
	$(call SANITIZED,asan,ON,smsr_kernel_test smsr_cuda_emulated_test smsr_cuda_emulated_branch_test smsr_cuda_emulated_pixels_test smsr_trt_core_test)
	build/asan/smsr_kernel_test dispatch winograd_choice refusals strides scratch nan small branches
	build/asan/tests/cuda/smsr_cuda_emulated_test one_pixel channels_16
	build/asan/tests/cuda/smsr_cuda_emulated_branch_test
	build/asan/tests/cuda/smsr_cuda_emulated_pixels_test
	build/asan/trt/tests/smsr_trt_core_test

# The kernels on several threads under the thread sanitizer.
test-tsan: $(VENV)/.installed
	$(call SANITIZED,tsan,thread,smsr_kernel_test)
	build/tsan/smsr_kernel_test refusals strides scratch small branches

# The kernels' interfaces, by clang's libFuzzer.
fuzz-native: $(VENV)/.installed
	plugins/tests/fuzz/run.sh "$(or $(MINUTES),5)"

# 10,000 pictures on 8 threads and 300 sessions in one process: same bytes, no growth. Minutes.
load: setup
	@mkdir -p build
	test -e build/load.smsr || $(BIN)/smsr-export x2 -o build/load.smsr
	$(BIN)/python tools/load_test.py build/load.smsr

# Minutes each: 200 kills of a video job that is resumed to the same bytes, and an hour of frames without growth.
kills hours: setup
	$(BIN)/python -m tests.runtime.$@ $(if $(filter kills,$@),"$(BUNDLE)")

# NVIDIA's headers and lean runtimes, by git and pip or TENSORRT_INCLUDE, TENSORRT_LEAN; needs no GPU, runs no kernel.
test-trt: $(VENV)/.installed
	PYTHON=$(BIN)/python plugins/tests/trt/run.sh

# smsr-run --ray on a local Ray, with workers killed, and buckets on an imitation of S3. Half a gigabyte, minutes.
test-ray: setup
	$(PIP_INSTALL) --editable './runtime[ray]' --config-settings=wheel.cmake=false 'moto[server]'
	$(BIN)/python -m pytest tests/runtime/test_scale_out.py --durations=5

# On a machine with an NVIDIA GPU and nvcc; CUDA_ARCHITECTURES=90 compiles for one only.
test-gpu: $(VENV)/.installed
	cmake -S plugins -B build/cuda -G Ninja -DCMAKE_BUILD_TYPE=Release -DSMSR_BUILD_CUDA=ON -DSMSR_CUDA_VOLTA=ON \
	    -DSMSR_BUILD_ORT=OFF -DCMAKE_CUDA_ARCHITECTURES=$(or $(CUDA_ARCHITECTURES),native)
	cmake --build build/cuda --parallel $(JOBS) --target smsr_cuda_gpu_test smsr_cuda_gpu_bench
	build/cuda/tests/cuda/smsr_cuda_gpu_test

# The documents as a site in build/site; site-check looks at every page of it in Chromium (apt install chromium).
site: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo 'See build/site/index.html; for its search: python3 -m http.server -d build/site'

site-check: $(VENV)/.installed
	$(BIN)/python -m pytest tests/test_site.py

# Wheels and source distributions into dist/; `reproducible` makes them twice and compares.
RELEASE_TOOLS := build/release-venv
$(RELEASE_TOOLS)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(RELEASE_TOOLS)
	$(RELEASE_TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(RELEASE_TOOLS)/bin/python -m pip install --quiet -c constraints.txt --group release
	touch $@

release: $(RELEASE_TOOLS)/.installed
	$(RELEASE_TOOLS)/bin/python tools/release.py -o dist

reproducible: release
	$(RELEASE_TOOLS)/bin/python tools/release.py -o build/dist-again
	diff dist/SHA256SUMS build/dist-again/SHA256SUMS && echo 'two builds, the same bytes'

# Hostile files for the readers in Python, guided by coverage where atheris is installed; docs/reliability.md.
MINUTES ?= 1
fuzz: fuzz-python fuzz-native fuzz-operators

fuzz-python: $(VENV)/.installed
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

# The operators through ONNX Runtime, the library built with the address and undefined-behaviour sanitizers.
fuzz-operators: $(VENV)/.installed
	@mkdir -p build
	cmake -S plugins -B build/asan-ort -G Ninja -DSMSR_SANITIZE=ON -DSMSR_WERROR=OFF -DCMAKE_BUILD_TYPE=None \
	    -DCMAKE_CXX_FLAGS='-O1 -g1' >build/asan-ort.log
	cmake --build build/asan-ort --parallel $(JOBS) --target smsr_ort >>build/asan-ort.log
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so.6)" ASAN_OPTIONS=detect_leaks=0 \
	    $(BIN)/python -m tests.fuzz.operators --minutes $(MINUTES) --library build/asan-ort/libsmsr_ort.so

# Commands with every size of disk and of file up to what they need; and 1,000 damaged videos. Linux, minutes each.
full-disk: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.full_disk

damaged-videos: $(VENV)/.installed
	$(BIN)/python -m tests.faults.damaged_videos

# Commands killed, or out of disk, at each of their write steps; EVERY=k: at each k-th. Linux, minutes to an hour.
EVERY ?= 1
faults: $(VENV)/.installed
	@mkdir -p build
	cc -shared -fPIC -o build/inject.so tests/faults/inject.c -ldl
	OMP_NUM_THREADS=1 LD_PRELOAD=$(CURDIR)/build/inject.so $(BIN)/python -m tests.faults.driver --every $(EVERY)

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
