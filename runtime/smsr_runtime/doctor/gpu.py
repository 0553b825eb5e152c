"""The NVIDIA driver and GPU, CUDA's compiler, TensorRT, pycuda, the plugin library."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess

from smsr_runtime.doctor.finding import GPU, Finding, examined, fact
from smsr_runtime.errors import BackendError, NativeLibraryError
from smsr_runtime.tensorrt.machine import MAJORS, check_version
from smsr_runtime.tensorrt.packages import import_tensorrt, pycuda_version
from smsr_runtime.tensorrt.plugin import library_path

_DRIVER = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CUdevice_attribute: COMPUTE_CAPABILITY_MAJOR, _MINOR
_NO_DRIVER = "install NVIDIA's driver; on a Jetson: sudo apt install nvidia-jetpack"
_NO_PACKAGE = "pip install 'smsr-runtime[trt]'; on a Jetson python3-libnvinfer from JetPack (docs/jetson.md)"


def findings() -> list[Finding]:
    return [
        examined("NVIDIA GPU", (GPU,), _NO_DRIVER, _gpus),
        examined("tensorrt", (GPU,), _NO_PACKAGE, _tensorrt),
        examined("pycuda", (GPU,), _NO_PACKAGE, pycuda_version),
        examined("plugin library", (GPU,), "build it on this machine (docs/jetson.md)", _plugin),
        fact("nvcc", _nvcc()),
    ]


def _gpus() -> str:
    """Asks the driver itself: nvidia-smi is not on a Jetson, and pycuda may be missing."""
    cuda = ctypes.CDLL(_DRIVER)
    count, version = ctypes.c_int(), ctypes.c_int()
    _check(cuda.cuInit(0))
    _check(cuda.cuDeviceGetCount(ctypes.byref(count)))
    _check(cuda.cuDriverGetVersion(ctypes.byref(version)))
    if count.value == 0:
        raise BackendError("the NVIDIA driver", "a GPU", "none", "see nvidia-smi; CUDA_VISIBLE_DEVICES may hide it")
    names = ", ".join(_gpu(cuda, index) for index in range(count.value))
    return f"{names}; the driver supports CUDA {version.value // 1000}.{version.value % 1000 // 10}"


def _gpu(cuda: ctypes.CDLL, index: int) -> str:
    name, major, minor = ctypes.create_string_buffer(128), ctypes.c_int(), ctypes.c_int()
    _check(cuda.cuDeviceGetName(name, len(name), index))
    _check(cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, index))
    _check(cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, index))
    return f"{name.value.decode(errors='replace')} (compute capability {major.value}.{minor.value})"


def _check(code: int) -> None:
    if code:
        raise BackendError("the NVIDIA driver", "success", f"CUDA error {code}", "see nvidia-smi and dmesg")


def _tensorrt() -> str:
    version = str(import_tensorrt().__version__)
    check_version(version)
    return version


def _plugin() -> str:
    """The library of the TensorRT that is here; without TensorRT any of them."""
    try:
        majors = [int(str(import_tensorrt().__version__).split(".")[0])]
    except Exception:  # reported by its own finding
        majors = [major for major in MAJORS if _exists(major)] or list(MAJORS[-1:])
    return ", ".join(str(library_path(major)) for major in majors)


def _exists(major: int) -> bool:
    try:
        return library_path(major).is_file()
    except NativeLibraryError:
        return False


def _nvcc() -> str:
    compiler = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if compiler is None:
        return "none; needed only to build the plugin library"
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False, timeout=20)
    release = re.search(r"release ([\d.]+)", done.stdout)
    return f"CUDA {release.group(1) if release else 'of unknown release'}, {compiler}"
