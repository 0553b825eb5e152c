"""Opens TensorRT, CUDA and the GPU. The only file to import tensorrt and pycuda."""

from __future__ import annotations

import os
from typing import Any

from smsr_runtime.errors import BackendError, MissingPackageError, reason
from smsr_runtime.tensorrt.cuda_graph import graphs_wanted
from smsr_runtime.tensorrt.machine import Machine, check_version


def open_machine() -> Machine:
    """TensorRT, CUDA and the GPU of CUDA_DEVICE (default 0).

    Raises MissingPackageError or BackendError: what is missing, in one line; UsageError for an environment variable
    that would be refused only after an engine is built.
    """
    trt = import_tensorrt()
    check_version(trt.__version__)
    cuda, device, context = _import_pycuda()
    major, minor = device.compute_capability()
    graphs_wanted()
    integrated = bool(device.get_attribute(cuda.device_attribute.INTEGRATED))
    return Machine(trt, cuda, context, device.name(), f"{major}.{minor}", integrated)


def import_tensorrt() -> Any:
    """The module. Raises MissingPackageError, or BackendError where it does not load."""
    todo = "install TensorRT with its Python package (docs/jetson.md), or use smsr-run --backend ort"
    try:
        import tensorrt
    except ModuleNotFoundError as error:
        raise MissingPackageError("backend trt", "the package tensorrt", "not installed", todo) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendError("backend trt", "a TensorRT that loads", reason(error), todo) from error
    return tensorrt


def pycuda_version() -> str:
    """Raises MissingPackageError; loads no driver, so that it answers without a GPU too."""
    try:
        import pycuda
    except ModuleNotFoundError as error:
        todo = "pip install pycuda"
        raise MissingPackageError("backend trt", "the package pycuda", "not installed", todo) from error
    return str(pycuda.VERSION_TEXT)


def _import_pycuda() -> tuple[Any, Any, Any]:
    """The driver's module, the GPU and its primary context, current in no thread.

    Not pycuda.autoprimaryctx: it leaves the context current in the thread that imports it, and pycuda aborts the
    process when such a thread ends.
    """
    try:
        import pycuda.driver
    except ModuleNotFoundError as error:
        todo = "pip install pycuda"
        raise MissingPackageError("backend trt", "the package pycuda", "not installed", todo) from error
    except (ImportError, OSError) as error:
        raise _no_gpu(error) from error
    try:
        pycuda.driver.init()
        device = pycuda.driver.Device(int(os.environ.get("CUDA_DEVICE", "0")))
        context = device.retain_primary_context()
    except Exception as error:  # pycuda's own errors where no driver or no GPU answers
        raise _no_gpu(error) from error
    return pycuda.driver, device, context


def _no_gpu(error: BaseException) -> BackendError:
    todo = "run on a machine with an NVIDIA GPU and its driver, or use smsr-run --backend ort"
    return BackendError("backend trt", "an NVIDIA GPU", reason(error), todo)
