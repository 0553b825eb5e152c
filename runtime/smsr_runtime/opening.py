"""Chooses what computes a bundle. A backend has `name`, `path` and `run` as `ort.OrtBackend` has."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Union

from smsr_runtime.bundle import Bundle
from smsr_runtime.errors import BackendError, BackendWarning, MissingPackageError, UsageError
from smsr_runtime.ort.backend import OrtBackend
from smsr_runtime.tensorrt.finish import EngineOptions, check_has_model

if TYPE_CHECKING:
    from smsr_runtime.tensorrt.backend import TrtBackend

    Backend = Union[OrtBackend, TrtBackend]

CHOICES = ("auto", "ort", "trt")


def make_backend(
    bundle: Bundle, choice: str = "auto", threads: int | None = None, engine: EngineOptions | None = None
) -> Backend:
    """auto: TensorRT where the bundle is made for it and this machine has it, ONNX Runtime otherwise."""
    if choice not in CHOICES:
        raise UsageError("backend", " | ".join(CHOICES), repr(choice), "name one of these")
    if threads is not None and threads < 1:
        raise UsageError("threads", "1 or more", str(threads), "leave it out to use every processor")
    options = engine or EngineOptions()
    if options.rebuild and choice == "ort":
        raise UsageError("--rebuild", "backend trt or auto", "ort", "leave one of the two out")
    if choice == "trt" or options.rebuild:
        check_has_model(bundle)
        return _tensorrt(bundle, options)
    if choice == "ort" or bundle.manifest.get("engine") is None:
        return OrtBackend(bundle, threads)
    return _tensorrt_if_here(bundle, options) or OrtBackend(bundle, threads)


def _tensorrt(bundle: Bundle, options: EngineOptions) -> TrtBackend:
    from smsr_runtime.tensorrt.backend import open_backend

    return open_backend(bundle, options)


def _tensorrt_if_here(bundle: Bundle, options: EngineOptions) -> TrtBackend | None:
    """None, with a warning, where TensorRT or a GPU is missing; anything else that is wrong is an error."""
    from smsr_runtime.tensorrt.backend import open_backend, open_machine

    try:
        machine = open_machine()
    except (BackendError, MissingPackageError) as error:
        text = f"this bundle is made for TensorRT, but there is no {_bare(error.expected)} here ({error.got}): "
        warnings.warn(text + "it runs on ONNX Runtime, on the CPU", BackendWarning, stacklevel=2)
        return None
    return open_backend(bundle, options, machine)


def _bare(what: str) -> str:
    """ "an NVIDIA GPU" -> "NVIDIA GPU", "the package tensorrt" -> "package tensorrt"."""
    article, _, rest = what.partition(" ")
    return rest if article in ("a", "an", "the") else what
