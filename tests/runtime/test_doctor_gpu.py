"""What smsr-doctor says of an NVIDIA driver: a library by the C compiler that answers as libcuda.so.1 does."""

from __future__ import annotations

from pathlib import Path

import pytest

from smsr_runtime.doctor import gpu
from smsr_runtime.doctor.finding import Finding
from tests.runtime.helpers import compile_library

DRIVER = """
#include <stdio.h>
int cuInit(unsigned flags) {{ return {error}; }}
int cuDeviceGetCount(int* count) {{ *count = {count}; return 0; }}
int cuDriverGetVersion(int* version) {{ *version = 12080; return 0; }}
int cuDeviceGetName(char* name, int size, int device) {{ snprintf(name, size, "GPU %d", device); return 0; }}
int cuDeviceGetAttribute(int* value, int attribute, int device) {{
  *value = attribute == 75 ? 8 : attribute == 76 ? 7 - device : -1;
  return 0;
}}
"""


def found(folder: Path, monkeypatch: pytest.MonkeyPatch, count: int = 2, error: int = 0) -> Finding:
    library = compile_library(folder / "libcuda.so.1", DRIVER.format(count=count, error=error))
    monkeypatch.setattr(gpu, "_DRIVER", str(library))
    return gpu.findings()[0]


def test_a_driver_s_gpus_and_cuda_version_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = found(tmp_path, monkeypatch)
    gpus = "GPU 0 (compute capability 8.7), GPU 1 (compute capability 8.6)"
    assert finding.ok and finding.value == f"{gpus}; the driver supports CUDA 12.8"


def test_a_driver_without_a_gpu_is_a_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = found(tmp_path, monkeypatch, count=0)
    assert finding.ok is False and finding.value == "none (the NVIDIA driver)"
    assert "CUDA_VISIBLE_DEVICES" in finding.remedy


def test_an_error_of_the_driver_is_a_lack_with_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = found(tmp_path, monkeypatch, error=100)  # CUDA_ERROR_NO_DEVICE
    assert finding.ok is False and finding.value == "CUDA error 100 (the NVIDIA driver)"


def test_without_a_driver_the_remedy_is_to_install_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_DRIVER", "libcuda_that_is_not_there.so.1")
    finding = gpu.findings()[0]
    assert finding.ok is False and "libcuda_that_is_not_there" in finding.value
    assert finding.remedy.startswith("install NVIDIA's driver")
