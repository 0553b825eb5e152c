"""smsr_runtime: runs exported SMSR bundles. Needs numpy and OpenCV, onnxruntime to compute; never torch or onnx.

import smsr_runtime
upscale = smsr_runtime.load("SMSR_X2.smsr")
larger = upscale(picture)      # (H, W, 3) uint8 or uint16 RGB -> (sH, sW, 3) of the same type
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from smsr_runtime.errors import (
    BackendError,
    BackendWarning,
    BundleError,
    InputError,
    InternalError,
    MemoryLimitError,
    MissingPackageError,
    NativeLibraryError,
    NativeLibraryWarning,
    OutputError,
    PictureError,
    SelfTestError,
    SmsrError,
    UsageError,
    VideoError,
)

if TYPE_CHECKING:
    from smsr_runtime.ort.native import Library
    from smsr_runtime.session import Upscaler, load

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "BackendWarning",
    "BundleError",
    "InputError",
    "InternalError",
    "Library",
    "MemoryLimitError",
    "MissingPackageError",
    "NativeLibraryError",
    "NativeLibraryWarning",
    "OutputError",
    "PictureError",
    "SelfTestError",
    "SmsrError",
    "Upscaler",
    "UsageError",
    "VideoError",
    "__version__",
    "load",
]

# At first use, so that a command can say in a line that numpy or OpenCV is missing (smsr_runtime/start.py).
_LATE = {"Library": "smsr_runtime.ort.native", "Upscaler": "smsr_runtime.session", "load": "smsr_runtime.session"}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATE[name]), name)
