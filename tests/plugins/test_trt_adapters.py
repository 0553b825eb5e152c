"""The TensorRT adapters: their core without any file of NVIDIA's; all of them with NVIDIA's headers and runtimes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.helpers import REPOSITORY

PLUGINS = REPOSITORY / "plugins"
RUN = PLUGINS / "tests" / "trt" / "run.sh"
DRIVEN = re.compile(r"headers (?P<headers>[\d.]+), (?P<by>runtime \d+|own registry): (\d+) checks passed, 0 failed")


def configure(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            missing(f"no {tool}: the TensorRT adapters' core was not built")
    return subprocess.run(
        ["cmake", "-S", PLUGINS, "-B", folder, "-DSMSR_BUILD_ORT=OFF", *options],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, check=False, timeout=1500, env={**os.environ, **environment},
    )  # fmt: skip


def headers(folder: Path, major: int, minor: int) -> Path:
    """A folder that the search takes for TensorRT's headers of this version; they declare nothing."""
    folder.mkdir()
    numbers = {"MAJOR": major, "MINOR": minor, "PATCH": 1}
    (folder / "NvInferRuntime.h").write_text("")
    (folder / "NvInferVersion.h").write_text("".join(f"#define NV_TENSORRT_{k} {v}\n" for k, v in numbers.items()))
    return folder


@pytest.fixture
def cuda(tmp_path: Path) -> Path:
    folder = tmp_path / "cuda"
    folder.mkdir()
    (folder / "cuda_runtime_api.h").write_text("")
    return folder


@pytest.mark.slow
def test_the_core_does_what_the_contract_says_without_tensorrt_and_cuda(tmp_path: Path) -> None:
    configured = configure(tmp_path)
    assert configured.returncode == 0, configured.stderr
    built = run("cmake", "--build", tmp_path, "--target", "smsr_trt_core_test")
    assert built.returncode == 0, built.stdout + built.stderr
    tested = run("ctest", "--test-dir", tmp_path, "-R", "^trt_core$", "--verbose", "--no-tests=error")
    assert tested.returncode == 0, tested.stdout
    assert re.search(r"core: [1-9]\d* checks passed, 0 failed", tested.stdout)


def test_without_tensorrt_the_build_says_so_in_one_line_and_goes_on(tmp_path: Path) -> None:
    nothing_installed = ("-DCMAKE_FIND_ROOT_PATH=/nowhere", "-DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY")
    configured = configure(tmp_path / "build", "-DSMSR_BUILD_TRT=ON", *nothing_installed)
    assert configured.returncode == 0, configured.stderr
    lines = [line for line in configured.stdout.splitlines() if "TensorRT" in line]
    assert len(lines) == 1
    assert "libsmsr_trt is not built" in lines[0] and "TENSORRT_ROOT" in lines[0]


@pytest.mark.parametrize(("major", "minor", "library"), [(8, 5, 8), (8, 6, 8), (10, 3, 10), (11, 1, 11)])
def test_the_version_is_read_from_the_headers(major: int, minor: int, library: int, tmp_path: Path, cuda: Path) -> None:
    given = headers(tmp_path / "include", major, minor)
    configured = configure(
        tmp_path / "build", "-DSMSR_BUILD_TRT=ON", f"-DTENSORRT_INCLUDE={given}", f"-DCUDA_INCLUDE={cuda}"
    )
    assert configured.returncode == 0, configured.stderr
    assert f"TensorRT: {major}.{minor}.1 headers in {given}" in configured.stdout
    assert f"libsmsr_trt{library} is not built (set SMSR_BUILD_CUDA=ON)" in configured.stdout


@pytest.mark.parametrize(("major", "minor"), [(8, 4), (7, 2), (9, 3)])
def test_other_versions_are_refused(major: int, minor: int, tmp_path: Path, cuda: Path) -> None:
    given = headers(tmp_path / "include", major, minor)
    configured = configure(
        tmp_path / "build", "-DSMSR_BUILD_TRT=ON", f"-DTENSORRT_INCLUDE={given}", f"-DCUDA_INCLUDE={cuda}"
    )
    assert configured.returncode != 0
    assert re.search(rf"expected 8.5, 8.6, 10 or newer, got\s+{major}\.{minor}\.1", configured.stderr)


def test_a_folder_without_headers_is_refused(tmp_path: Path) -> None:
    configured = configure(tmp_path / "build", "-DSMSR_BUILD_TRT=ON", f"-DTENSORRT_INCLUDE={tmp_path}")
    assert configured.returncode != 0
    assert "TENSORRT_INCLUDE: expected a folder with NvInferRuntime.h" in " ".join(configured.stderr.split())


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"TENSORRT_INCLUDE": "{tmp}", "TENSORRT_LEAN": "{tmp}/libnvinfer_lean.so.10"},
            "TENSORRT_LEAN: expected files",
        ),
        (
            {"TENSORRT_INCLUDE": "", "TENSORRT_REPOSITORY": "{tmp}/nowhere", "TENSORRT_TAGS": "v10.3.0"},
            "set TENSORRT_INC",
        ),
    ],
)
def test_run_sh_says_in_one_line_what_is_missing(environment: dict[str, str], message: str, tmp_path: Path) -> None:
    done = run(RUN, tmp_path / "build", **{k: v.format(tmp=tmp_path) for k, v in environment.items()})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("run.sh: ") and message in done.stderr


@pytest.mark.slow
def test_both_adapters_compile_for_these_headers_and_real_runtimes_drive_them(tmp_path: Path) -> None:
    for name in ("TENSORRT_INCLUDE", "TENSORRT_LEAN"):
        if not os.environ.get(name):
            pytest.skip(f"{name} is not set: no adapter was compiled or driven (make test-trt fetches what it needs)")
    driven = run(RUN, tmp_path / "build")
    assert driven.returncode == 0, driven.stdout + driven.stderr
    compiled = re.search(r"^compiled without warnings: ([\d. ]+);", driven.stdout, re.MULTILINE)
    assert compiled is not None
    versions = compiled[1].split()
    assert len(versions) == len(os.environ["TENSORRT_INCLUDE"].split(":"))
    assert {match["headers"] for match in DRIVEN.finditer(driven.stdout)} == set(versions)
