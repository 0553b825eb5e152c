"""Chooses what computes a bundle."""

from __future__ import annotations

import warnings

from smsr_runtime.backend import Backend
from smsr_runtime.bundle import ENGINE, Bundle
from smsr_runtime.errors import BackendError, BackendWarning, MissingPackageError, UsageError
from smsr_runtime.ort.backend import OrtBackend
from smsr_runtime.ort.native import Library, LibraryChoice
from smsr_runtime.tensorrt.backend import TrtBackend
from smsr_runtime.tensorrt.machine import Machine
from smsr_runtime.tensorrt.options import EngineOptions
from smsr_runtime.tensorrt.packages import open_machine
from smsr_runtime.tensorrt.publish import check_has_model, check_here

CHOICES = ("auto", "ort", "trt")


def make_backend(
    bundle: Bundle,
    choice: str = "auto",
    threads: int | None = None,
    engine: EngineOptions | None = None,
    library: LibraryChoice = Library.ENVIRONMENT,
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
        return _tensorrt(bundle, options, open_machine())
    if choice == "ort" or bundle.manifest.get("engine") is None:
        return OrtBackend(bundle, threads, library)
    try:
        machine = open_machine()
    except (BackendError, MissingPackageError) as error:
        text = f"this bundle is made for TensorRT, which needs {error.expected} (here: {error.got})"
        warnings.warn(f"{text}: it runs on ONNX Runtime, on the CPU", BackendWarning, stacklevel=2)
        return OrtBackend(bundle, threads, library)
    return _tensorrt(bundle, options, machine)


def _tensorrt(bundle: Bundle, options: EngineOptions, machine: Machine) -> TrtBackend:
    """The backend of a bundle, its engine built first where it is pending or `options.rebuild`.

    Raises BundleError for an engine of another GPU, TensorRT or contract.
    """
    check_has_model(bundle)
    if bundle.engine_pending and not options.rebuild:
        options.say("the engine of this bundle is pending: it is built for this machine now, once")
    if bundle.engine_pending or options.rebuild:
        bundle = _finished(bundle, options, machine)
    record = bundle.engine()
    check_here(bundle, record, machine)
    return TrtBackend(bundle, machine, bundle.content(ENGINE), record.profile)


def _finished(bundle: Bundle, options: EngineOptions, machine: Machine) -> Bundle:
    from smsr_runtime.tensorrt.finish import finish_bundle  # its self-test needs OpenCV, which running arrays does not

    return finish_bundle(bundle, options, machine)
