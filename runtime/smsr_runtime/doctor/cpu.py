"""ONNX Runtime and the native library."""

from __future__ import annotations

from smsr_runtime.doctor.finding import BENCH, CPU, EXPORT, Finding, examined
from smsr_runtime.ort.backend import installed_version
from smsr_runtime.ort.native import how_to_install, installed_library

_INSTALL = "pip install --force-reinstall onnxruntime"


def findings() -> list[Finding]:
    return [examined("onnxruntime", (CPU, EXPORT, BENCH), _INSTALL, installed_version), _library()]


def _library() -> Finding:
    """No target needs it, since the function body computes the same; but it is why one uses smsr."""
    return examined("native library", (), how_to_install(), _described)


def _described() -> str:
    library, interface_hash = installed_library()
    return f"{library.variant} (this CPU could run {library.variants}), interface {interface_hash[:12]}, {library.path}"
