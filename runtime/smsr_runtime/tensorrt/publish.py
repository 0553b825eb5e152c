"""An engine and its bundle: whether it was built for this machine, and how it gets into the bundle.

The facts about an engine stand in the manifest, not in the engine's file, which other loaders could not read then. A
crash at any moment leaves a bundle that works or one whose engine is pending: the manifest drops the old engine's entry
before its file is replaced.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Iterator

from smsr_runtime.bundle import (
    ENGINE,
    MODEL_TRT,
    PENDING,
    REBUILD,
    Bundle,
    EngineRecord,
    file_fact,
    read_bundle,
    write_manifest,
)
from smsr_runtime.errors import BundleError, OutputError, UsageError, reason
from smsr_runtime.files import write_bytes
from smsr_runtime.sizes import Profile
from smsr_runtime.tensorrt.machine import Machine

_PLACE, _ELSEWHERE = "a bundle to put its engine into", "copy it to where you may write, or run with --backend ort"


def check_has_model(bundle: Bundle) -> None:
    """Raises UsageError for a bundle without model.trt.onnx."""
    if not bundle.has_tensorrt_model:
        todo = "export the checkpoint with smsr-export --target trt, or run with --backend ort"
        raise UsageError(bundle.path, f"a bundle with {MODEL_TRT}", "one for ONNX Runtime only", todo)


def describe(bundle: Bundle, machine: Machine, profile: Profile) -> EngineRecord:
    """The record of an engine just built here."""
    return EngineRecord(
        machine.gpu, machine.compute_capability, machine.tensorrt, bundle.precision, bundle.interface_hash, profile
    )


def check_here(bundle: Bundle, record: EngineRecord, machine: Machine) -> None:
    """Raises BundleError where the engine was built for another GPU, TensorRT or contract."""
    pairs = [
        ("GPU", f"{machine.gpu} {machine.compute_capability}", f"{record.gpu} {record.compute_capability}"),
        ("TensorRT", machine.tensorrt, record.tensorrt),
        ("interface hash", bundle.interface_hash, record.interface_hash),
        ("precision", bundle.precision, record.precision),
    ]
    for what, here, there in pairs:
        if here != there:
            raise BundleError(bundle.path / ENGINE, f"an engine for {what} {here}", f"one for {there}", REBUILD)


def check_writable(bundle: Bundle) -> None:
    """Raises OutputError before minutes are spent on an engine that cannot be stored."""
    if not os.access(bundle.path, os.W_OK):
        raise OutputError(bundle.path, _PLACE, "a folder that cannot be written to", _ELSEWHERE)


def publish(bundle: Bundle, data: bytes, record: EngineRecord) -> None:
    """Puts the engine into the bundle, one process at a time. Raises OutputError; the bundle stays usable.

    Raises BundleError where the bundle has got another model since it was read.
    """
    with _locked(bundle.path):
        current = read_bundle(bundle.path, unchecked=[ENGINE])
        if current.manifest["files"].get(MODEL_TRT) != bundle.manifest["files"][MODEL_TRT]:
            raise BundleError(bundle.path, "the model its engine was built from", "another one", "run this again")
        _publish(current, data, record)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Engine and manifest are two files, which another process may be replacing too.

    Some network file systems cannot lock a folder; there the engine is published without a lock.
    """
    import fcntl  # Windows has no such module, and no plugin library either

    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _publish(bundle: Bundle, data: bytes, record: EngineRecord) -> None:
    manifest = {**bundle.manifest, "files": dict(bundle.manifest["files"])}
    if ENGINE in manifest["files"]:
        del manifest["files"][ENGINE]
        _write_manifest(bundle, {**manifest, "engine": PENDING})
    try:
        write_bytes(bundle.path / ENGINE, data)
    except OutputError as error:
        raise _not_written(bundle, error) from error
    manifest["files"][ENGINE] = file_fact(data)
    _write_manifest(bundle, {**manifest, "engine": record.as_json()})


def _write_manifest(bundle: Bundle, manifest: dict[str, Any]) -> None:
    try:
        write_manifest(bundle.path, manifest)
    except OutputError as error:
        raise _not_written(bundle, error) from error


def _not_written(bundle: Bundle, error: OutputError) -> OutputError:
    cause = error.__cause__
    return OutputError(bundle.path, _PLACE, reason(cause) if cause is not None else error.got, _ELSEWHERE)
