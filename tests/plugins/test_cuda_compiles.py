"""All CUDA sources compile without a warning, for GPUs of four generations and by the nvcc that belongs to `dev`.

SMSR_ALL_ARCHITECTURES=1 compiles for every one that both nvcc and the build support; CUDACXX names another nvcc.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.helpers import REPOSITORY

PLUGINS = REPOSITORY / "plugins"
CORE = PLUGINS / "kernels" / "cuda"
TESTS = PLUGINS / "tests" / "cuda"
INCLUDE = (PLUGINS / "include", PLUGINS / "kernels", PLUGINS / "tests", TESTS)
SUPPORTED = (72, 75, 80, 86, 87, 88, 89, 90, 100, 101, 103, 110, 120, 121)
"""As in plugins/kernels/cuda/CMakeLists.txt."""
USUAL = (75, 87, 90, 120)
"""The oldest one of nvcc 13, Jetson Orin, Hopper, and the newest kind of consumers' GPUs."""
HOT_LIMIT = 64
"""Bytes that the hot kernels may spill: a few numbers per unit, outside of the loop over taps."""


def installed_nvcc() -> str | None:
    """CUDACXX, else that of PyPI's nvidia-cuda-nvcc, else the system's."""
    named = os.environ.get("CUDACXX")
    package = importlib.util.find_spec("nvidia")
    folders = list(package.submodule_search_locations or ()) if package else []
    of_package = [str(nvcc) for folder in folders for nvcc in sorted(Path(folder).glob("cu*/bin/nvcc"))]
    return named or shutil.which(of_package[-1] if of_package else "nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")


@pytest.fixture(scope="module")
def nvcc() -> str:
    compiler = installed_nvcc()
    if compiler is None:
        missing("no nvcc: not checked that the CUDA sources compile (pip install nvidia-cuda-nvcc)")
    return compiler


@pytest.fixture(scope="module")
def architectures(nvcc: str) -> list[int]:
    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout
    known = {int(number) for number in re.findall(r"compute_(\d+)\b", listed)}
    wanted = SUPPORTED if os.environ.get("SMSR_ALL_ARCHITECTURES") == "1" else USUAL
    supported = [number for number in wanted if number in known]
    assert len(supported) >= 2, f"nvcc --list-gpu-arch: expected two of {wanted}, got {listed!r}"
    return supported


def compile_for(nvcc: str, source: Path, architectures: list[int], folder: Path, *options: str) -> str:
    """Compiles one source file, warnings as errors; returns the report of ptxas: registers and spills per kernel."""
    codes = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in architectures]
    command = [nvcc, "-std=c++17", "-O3", "--threads", "2", "-Werror", "all-warnings", "-Xcompiler", "-Wall,-Wextra"]
    command += [f"-I{include}" for include in INCLUDE]
    command += ["-Xptxas", "-v", "-c", str(source), "-o", str(folder / f"{source.stem}.o"), *codes, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, f"{source.name}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def spilled(report: str, kernel: str) -> list[int]:
    """Bytes of spill stores of each architecture's kernels whose mangled name matches."""
    blocks = re.split(r"Compiling entry function", report)[1:]
    named = [block for block in blocks if re.search(kernel, block.split("\n")[0])]
    return [int(number) for block in named for number in re.findall(r"(\d+) bytes spill stores", block)]


@pytest.mark.slow
def test_tensor_core_kernels_compile_and_hardly_spill(nvcc: str, architectures: list[int], tmp_path: Path) -> None:
    newer = [number for number in architectures if number >= 75]
    report = compile_for(nvcc, CORE / "module_tensor_core.cu", newer, tmp_path)
    # Convolutions with their weights in shared memory.
    spills = spilled(report, r"gather_gemm.*HalfTileILi64E.*ConvolutionOutputsELb1E")
    assert len(spills) == len(newer)
    assert max(spills) <= HOT_LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("part", range(len(USUAL)))
def test_the_staged_kernel_compiles_and_hardly_spills(
    nvcc: str, architectures: list[int], tmp_path: Path, part: int
) -> None:
    """In parts, each of some architectures: one takes 10 to 20 seconds."""
    newer = [number for number in architectures if number >= 80][part :: len(USUAL)]
    if not newer:
        return  # fewer architectures than parts: others compile them
    report = compile_for(nvcc, CORE / "module_staged.cu", newer, tmp_path)
    # Units of 64 pixels, of 32, and these with weights in global memory. The former need shared memory as of 9.0.
    assert len(spilled(report, "staged_module")) == 3 * len(newer)
    small = spilled(report, "staged_module.*UnitRecordILi32E")
    large = spilled(report, "staged_module.*UnitRecordILi64E.*sm_90")
    assert max(small + large) <= HOT_LIMIT


@pytest.mark.slow
def test_float_kernels_compile_and_do_not_spill(nvcc: str, architectures: list[int], tmp_path: Path) -> None:
    report = compile_for(nvcc, CORE / "module_float.cu", architectures, tmp_path)
    assert max(spilled(report, "gather_gemm")) == 0


@pytest.mark.slow
def test_mask_branch_compiles_and_does_not_spill(nvcc: str, architectures: list[int], tmp_path: Path) -> None:
    report = compile_for(nvcc, CORE / "mask_branch_cuda.cu", architectures, tmp_path)
    spills = spilled(report, "pool_full|margin_of_pooled")
    assert len(spills) == 3 * len(architectures) and max(spills) == 0


def test_the_conversion_of_pixels_compiles_and_does_not_spill(
    nvcc: str, architectures: list[int], tmp_path: Path
) -> None:
    report = compile_for(nvcc, CORE / "pixels_cuda.cu", architectures, tmp_path)
    spills = spilled(report, "planes_of_pixels|pixels_of_planes")
    assert len(spills) == 4 * len(architectures) and max(spills) == 0


@pytest.mark.parametrize("source", sorted(TESTS.glob("*.cu")), ids=lambda path: path.stem)
def test_the_programs_for_gpus_compile(source: Path, nvcc: str, architectures: list[int], tmp_path: Path) -> None:
    compile_for(nvcc, source, architectures[-1:], tmp_path)


def test_every_cuda_source_is_compiled_here() -> None:
    here = Path(__file__).read_text()
    for source in PLUGINS.rglob("*.cu"):
        assert f'"{source.name}"' in here or source.parent == TESTS, source


@pytest.mark.slow
def test_volta_kernels_compile(nvcc: str, architectures: list[int], tmp_path: Path) -> None:
    """For sm_72 where nvcc still supports it, else for the oldest it supports: all have the instruction."""
    report = compile_for(nvcc, CORE / "module_volta.cu", architectures[:1], tmp_path)
    assert spilled(report, "gather_gemm")


def test_interface_compiles_with_and_without_volta(nvcc: str, architectures: list[int], tmp_path: Path) -> None:
    for options in ((), ("-DSMSR_CUDA_VOLTA",)):
        compile_for(nvcc, CORE / "sparse_mask_module_cuda.cu", architectures[:1], tmp_path, *options)


@pytest.mark.slow
def test_a_build_folder_takes_another_architecture(nvcc: str, architectures: list[int], tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        missing("no cmake: its choice of CUDA architectures was not checked")

    def chosen(*options: str) -> str:
        build = ("-DSMSR_BUILD_CUDA=ON", "-DSMSR_BUILD_ORT=OFF", f"-DCMAKE_CUDA_COMPILER={nvcc}")
        command: list[str | Path] = ["cmake", "-S", REPOSITORY / "plugins", "-B", tmp_path, *build, *options]
        # The packages' libraries lie in lib, where their nvcc looks in lib64 only.
        environment = {**os.environ, "LIBRARY_PATH": str(Path(nvcc).parent.parent / "lib")}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return str(re.findall(r"smsr_cuda: compute capabilities (\S+)", done.stdout)[0])

    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout
    known = [number for number in SUPPORTED if re.search(rf"compute_{number}\b", listed)]
    every = ";".join(f"{number}-real" for number in known) + f";{known[-1]}-virtual"
    assert chosen() == every
    assert chosen() == every  # the cached value of the first run is not taken for a request
    for number in architectures[:2]:
        assert chosen(f"-DCMAKE_CUDA_ARCHITECTURES={number}") == str(number)
    assert chosen(f"-DSMSR_CUDA_ARCHITECTURES={architectures[-1]}") == str(architectures[-1])
