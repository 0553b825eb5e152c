"""Chooses what computes a bundle. A backend has `name`, `path` and `run` as `ort.OrtBackend` has."""

from __future__ import annotations

from smsr_runtime.backends.ort import OrtBackend
from smsr_runtime.errors import BackendError, UsageError
from smsr_runtime.metadata import Bundle

CHOICES = ("auto", "ort", "trt")


def make_backend(bundle: Bundle, choice: str = "auto", threads: int | None = None) -> OrtBackend:
    """auto: the fastest this machine has (so far always ONNX Runtime)."""
    if choice not in CHOICES:
        raise UsageError("backend", " | ".join(CHOICES), repr(choice), "name one of these")
    if threads is not None and threads < 1:
        raise UsageError("threads", "1 or more", str(threads), "leave it out to use every processor")
    if choice == "trt":
        raise BackendError("backend trt", "a TensorRT backend", "none in this build yet", "use --backend auto")
    return OrtBackend(bundle, threads)
