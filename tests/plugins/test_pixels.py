"""The library's conversion of pixels, called as the runtime calls it: by ctypes, the kernels on the emulated GPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from smsr_runtime.arrays import to_planes
from smsr_runtime.errors import BackendError
from smsr_runtime.session import _rounded
from smsr_runtime.tensorrt.pixels import PixelKernels
from tests.conftest import missing
from tests.helpers import REPOSITORY

PLUGINS = REPOSITORY / "plugins"
INCLUDE = ("", "include", "kernels", "tests", "tests/cuda", "tests/cuda/emulate")
WORDS = """
#include "cuda/sparse_mask_module_cuda.h"
const char* smsr::cuda::describe(Status status) { return smsr::describe(status); }
"""
STREAM = SimpleNamespace(handle=0)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> PixelKernels:
    compiler = shutil.which("c++")
    if compiler is None:
        missing("no c++: the library's functions for pixels were not called by ctypes")
    folder = tmp_path_factory.mktemp("pixels")
    (folder / "words.cpp").write_text(WORDS)
    sources: list[Path] = [PLUGINS / "trt" / "pixels.cpp", PLUGINS / "kernels" / "cuda" / "pixels_cuda.cu"]
    sources += [PLUGINS / "tests" / "cuda" / "emulate" / "machine.cpp", folder / "words.cpp"]
    command = [compiler, "-std=c++17", "-shared", "-fPIC", "-pthread", "-DSMSR_CUDA_EMULATED"]
    command += [f"-I{PLUGINS / include}" for include in INCLUDE]
    library = folder / "libsmsr_trt.so"
    subprocess.run([*command, "-x", "c++", *map(str, sources), "-o", str(library)], check=True)
    return PixelKernels(library)


def buffer(array: np.ndarray) -> Any:
    """What PixelKernels reads of a Buffer: memory of the emulated GPU is the CPU's."""
    return SimpleNamespace(address=array.ctypes.data, shape=array.shape, dtype=array.dtype, array=array)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_both_ways_give_the_bits_of_the_session_on_the_cpu(kind: Any, kernels: PixelKernels) -> None:
    generator, per_unit = np.random.default_rng(5), np.float32(1 if kind == np.uint8 else 257)
    pixels = generator.integers(0, np.iinfo(kind).max, (37, 53, 3), dtype=kind, endpoint=True)
    planes = np.full((1, 3, 37, 53), np.nan, np.float32)
    kernels.to_planes(buffer(pixels), buffer(planes), STREAM)
    assert np.array_equal(planes, to_planes(pixels) / per_unit)

    levels = generator.uniform(-30, 290, planes.shape).astype(np.float32)
    levels.ravel()[::3] = np.round(levels.ravel()[::3]) + 0.5
    result, flag = np.zeros_like(pixels), np.zeros(1, np.uint32)
    kernels.to_pixels(buffer(levels), buffer(result), buffer(flag), STREAM)
    expected = _rounded(levels[0].transpose(1, 2, 0), float(per_unit), kind, gray=False)
    assert np.array_equal(result, expected) and flag[0] == 0
    levels[0, 1, 36, 52] = np.inf
    kernels.to_pixels(buffer(levels), buffer(result), buffer(flag), STREAM)
    assert flag[0] == 1


def test_a_refusal_is_one_line_with_the_library_s_words(kernels: PixelKernels) -> None:
    pixels, planes = np.zeros((2, 2, 3), np.uint8), np.zeros((1, 3, 2, 2), np.float32)
    unaligned = buffer(planes)
    unaligned.address += 4
    with pytest.raises(BackendError, match="pixels on the GPU: expected a launch that succeeds, got pointers: "):
        kernels.to_planes(buffer(pixels), unaligned, STREAM)
