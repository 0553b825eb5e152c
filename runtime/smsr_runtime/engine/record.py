"""The engine's entry of the manifest: what it was built for, whether that is this machine, and how it gets there.

An engine file carries no facts of ours (that breaks other loaders). A crash at any moment leaves a bundle that works
or one whose engine is pending: the manifest forgets the old engine before its file is replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

from smsr_runtime.engine.machine import Machine
from smsr_runtime.engine.shapes import Profile
from smsr_runtime.errors import BundleError, OutputError, reason
from smsr_runtime.files import write_bytes
from smsr_runtime.metadata import ENGINE, MANIFEST, MODEL_TRT, PENDING, Bundle, read_bundle

REBUILD = "build it for this machine with --rebuild, or run with --backend ort"
_PLACE, _ELSEWHERE = "a bundle to put its engine into", "copy it to where you may write, or run with --backend ort"
_NAMES = ("gpu", "compute_capability", "tensorrt", "precision", "interface_hash")


@dataclass(frozen=True)
class EngineRecord:
    """gpu: its name; compute_capability: such as "8.7"; tensorrt: major.minor.patch."""

    gpu: str
    compute_capability: str
    tensorrt: str
    precision: str
    interface_hash: str
    profile: Profile

    def as_json(self) -> dict[str, Any]:
        return {"file": ENGINE, **{name: getattr(self, name) for name in _NAMES}, "profile": self.profile.as_json()}


def describe(bundle: Bundle, machine: Machine, profile: Profile) -> EngineRecord:
    """The record of an engine just built here."""
    return EngineRecord(
        machine.gpu, machine.compute_capability, machine.tensorrt, bundle.precision, bundle.interface_hash, profile
    )


def read_record(bundle: Bundle) -> EngineRecord | None:
    """None where the engine is pending. Raises BundleError for an entry that is neither."""
    entry: Any = bundle.manifest.get("engine")
    if entry == PENDING:
        return None
    try:
        facts = [entry[name] for name in _NAMES]
        sizes = [tuple(entry["profile"][name]) for name in ("min", "opt", "max")]
        sound = entry["file"] == ENGINE in bundle.manifest["files"]
        sound = sound and all(isinstance(fact, str) for fact in facts)
        sound = sound and all(len(size) == 2 and all(isinstance(side, int) for side in size) for size in sizes)
    except (KeyError, TypeError):
        sound = False
    if not sound:
        raise BundleError(bundle.path / MANIFEST, 'a complete entry "engine"', repr(entry)[:60], REBUILD)
    gpu, compute_capability, tensorrt, precision, interface_hash = facts
    return EngineRecord(gpu, compute_capability, tensorrt, precision, interface_hash, Profile(*sizes))


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
    """Raises OutputError before minutes go into an engine that has no place."""
    if not os.access(bundle.path, os.W_OK):
        raise OutputError(bundle.path, _PLACE, "a folder that cannot be written to", _ELSEWHERE)


def publish(bundle: Bundle, data: bytes, record: EngineRecord) -> None:
    """Puts the engine into the bundle, one process at a time. Raises OutputError; the bundle stays usable.

    Raises BundleError where another model lies there than when `bundle` was read.
    """
    with _locked(bundle.path):
        now = read_bundle(bundle.path, unchecked=[ENGINE])
        if now.manifest["files"].get(MODEL_TRT) != bundle.manifest["files"][MODEL_TRT]:
            raise BundleError(bundle.path, "the model its engine was built from", "another one", "run this again")
        _publish(now, data, record)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Engine and manifest are two files, and another process may be about to replace both.

    Some network file systems lock no folder: nothing is lost there but this.
    """
    import fcntl  # only where plugin libraries are: Windows has no such module

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
    manifest["files"][ENGINE] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    _write_manifest(bundle, {**manifest, "engine": record.as_json()})


def _write_manifest(bundle: Bundle, manifest: dict[str, Any]) -> None:
    text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
    try:
        write_bytes(bundle.path / MANIFEST, text.encode())
    except OutputError as error:
        raise _not_written(bundle, error) from error


def _not_written(bundle: Bundle, error: OutputError) -> OutputError:
    cause = error.__cause__
    found = reason(cause) if cause is not None else error.got
    return OutputError(bundle.path, _PLACE, found, _ELSEWHERE)
