"""ONNX Runtime and the native library."""

from __future__ import annotations

import re

from smsr_runtime.doctor.finding import BENCH, CPU, EXPORT, Finding, examined
from smsr_runtime.errors import BackendError
from smsr_runtime.ort.native import how_to_install, installed_library

_OLDEST = (1, 17)
_INSTALL = "pip install 'smsr-runtime[ort]'"


def findings() -> list[Finding]:
    return [examined("onnxruntime", (CPU, EXPORT, BENCH), _INSTALL, _onnxruntime), _library()]


def _onnxruntime() -> str:
    import onnxruntime

    version = str(onnxruntime.__version__)
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _OLDEST:
        raise BackendError("onnxruntime", "1.17 or newer", version, "pip install --upgrade onnxruntime")
    return version


def _library() -> Finding:
    """No target needs it, since the function body computes the same; but it is why one uses smsr."""
    return examined("native library", (), how_to_install(), _described)


def _described() -> str:
    library, interface_hash = installed_library()
    return f"{library.variant} (this CPU could run {library.variants}), interface {interface_hash[:12]}, {library.path}"
