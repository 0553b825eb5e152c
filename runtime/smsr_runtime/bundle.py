"""The bundle: names of its files, its manifest typed, read with every check, written (format: docs/interfaces.md)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Mapping, Sequence, TypeVar

from smsr_runtime.errors import BundleError, reason
from smsr_runtime.files import write_bytes
from smsr_runtime.sizes import Profile, Wanted

SUFFIX = ".smsr"
MANIFEST = "manifest.json"
MODEL, MODEL_TRT, ENGINE = "model.onnx", "model.trt.onnx", "model.engine"
GOLDEN_INPUT, GOLDEN_OUTPUT = "golden/input.png", "golden/output.npy"
FORMAT, FORMAT_VERSION = "smsr-bundle", 1
"""In the manifest; a runtime refuses a newer version."""
PENDING = "pending"
"""The manifest's "engine" where the device still has to build it."""
EXPORT_AGAIN = "export the checkpoint again with smsr-export, or copy the whole bundle again"
ENGINE_AGAIN = "build it again on this device with --rebuild"
REBUILD = "build it for this machine with --rebuild, or use smsr-run --backend ort"

T = TypeVar("T")


@dataclass(frozen=True)
class Golden:
    """Self-test: bundle-relative picture, expected float32 (1, 3, sH, sW), largest difference allowed (0..255).

    reduced_rmse: root mean square difference that what computes in reduced precision is held to instead, or None.
    """

    input: str
    output: str
    max_abs: float
    reduced_rmse: float | None = None


@dataclass(frozen=True)
class EngineRecord:
    """What an engine was built for. gpu: its name; compute_capability: such as "8.7"; tensorrt: major.minor.patch."""

    gpu: str
    compute_capability: str
    tensorrt: str
    precision: str
    interface_hash: str
    profile: Profile

    def as_json(self) -> dict[str, Any]:
        facts = {name: getattr(self, name) for name in _ENGINE_FACTS}
        return {"file": ENGINE, **facts, "profile": self.profile.as_json()}


_ENGINE_FACTS = ("gpu", "compute_capability", "tensorrt", "precision", "interface_hash")


@dataclass(frozen=True)
class Bundle:
    """A manifest, typed; `manifest` is the whole of it as read.

    target: "onnx" or "trt"; dense_channels: per module and layer; wanted: engine sizes named at export.
    """

    path: Path
    name: str
    target: str
    scale: int
    features: int
    layers: int
    modules: int
    dense_channels: tuple[tuple[int, ...], ...]
    precision: str
    interface_hash: str
    golden: Golden
    wanted: Wanted
    manifest: dict[str, Any]

    @property
    def model(self) -> Path:
        return self.path / MODEL

    @property
    def has_tensorrt_model(self) -> bool:
        return MODEL_TRT in self.manifest["files"]

    @property
    def engine_pending(self) -> bool:
        return bool(self.manifest.get("engine") == PENDING)

    def engine(self) -> EngineRecord:
        """What the bundle's engine was built for. Raises BundleError where it is pending or described incompletely."""
        entry: Any = self.manifest.get("engine")
        record = entry if isinstance(entry, dict) else {}
        facts: dict[str, Any] = {name: record.get(name) for name in _ENGINE_FACTS}
        profile = Profile.from_json(record.get("profile"))
        has_file = record.get("file") == ENGINE in self.manifest["files"]
        if not has_file or profile is None or not all(isinstance(fact, str) for fact in facts.values()):
            raise BundleError(self.path / MANIFEST, 'a complete entry "engine"', repr(entry)[:60], REBUILD)
        return EngineRecord(**facts, profile=profile)


def is_bundle(path: Path) -> bool:
    """Whether a folder calls itself a bundle; `read_bundle` checks it."""
    return (path / MANIFEST).is_file()


def read_bundle(path: str | Path, unchecked: Sequence[str] = ()) -> Bundle:
    """Reads `path`/manifest.json and checks every file it names by size and SHA-256.

    unchecked: files that may be missing or changed, because they are about to be made again. Raises BundleError
    where anything is missing, changed, mistyped or of a newer format.
    """
    bundle = Path(path)
    manifest = _read_manifest(bundle)
    _check_format(bundle, manifest)
    _check_files(bundle, _field(bundle, manifest, "files", dict), unchecked)
    numbers = {name: _field(bundle, manifest, name, int) for name in ("scale", "features", "layers", "modules")}
    if min(numbers.values()) < 1:
        got = ", ".join(f"{name} {number}" for name, number in numbers.items())
        raise BundleError(bundle / MANIFEST, "scale, features, layers and modules of 1 or more", got, EXPORT_AGAIN)
    return Bundle(
        path=bundle,
        name=_field(bundle, manifest, "name", str),
        target=_field(bundle, manifest, "target", str),
        **numbers,
        dense_channels=_dense_channels(bundle, manifest, numbers["modules"], numbers["layers"]),
        precision=_field(bundle, manifest, "precision", str),
        interface_hash=_field(bundle, manifest, "interface_hash", str),
        golden=_golden(bundle, _field(bundle, manifest, "golden", dict)),
        wanted=Wanted.from_json(manifest.get("profile")),
        manifest=manifest,
    )


def file_facts(folder: Path) -> dict[str, dict[str, Any]]:
    """The manifest's "files": SHA-256 and size of every file of a folder but the manifest itself."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != MANIFEST]
    return {file.relative_to(folder).as_posix(): file_fact(file.read_bytes()) for file in files}


def file_fact(data: bytes) -> dict[str, Any]:
    """The entry of one file in the manifest's "files"."""
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Writes `folder`/manifest.json whole. Raises OutputError."""
    text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
    write_bytes(folder / MANIFEST, text.encode("utf-8"))


def sha256(file: Path) -> str:
    """SHA-256 of a file as 64 hex digits. Raises OSError."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


_REDUCED_LIMITS = ("engine_rmse", "reduced_rmse")
"""In the manifest's "golden": of the engine of a TensorRT bundle, of the native library."""


def _golden(bundle: Path, golden: dict[str, Any]) -> Golden:
    return Golden(
        _field(bundle, golden, "input", str),
        _field(bundle, golden, "output", str),
        float(_number(bundle, golden, "max_abs")),
        next((float(_number(bundle, golden, name)) for name in _REDUCED_LIMITS if name in golden), None),
    )


def _dense_channels(bundle: Path, manifest: dict[str, Any], modules: int, layers: int) -> tuple[tuple[int, ...], ...]:
    counts = _field(bundle, manifest, "dense_channels", list)
    rows = [row for row in counts if isinstance(row, list) and len(row) == layers]
    if len(rows) != len(counts) or len(rows) != modules or not all(isinstance(n, int) for row in rows for n in row):
        expected = f'"dense_channels" as {modules} lists of {layers} numbers'
        raise BundleError(bundle / MANIFEST, expected, repr(counts)[:60], EXPORT_AGAIN)
    return tuple(tuple(row) for row in rows)


def _read_manifest(bundle: Path) -> dict[str, Any]:
    file = bundle / MANIFEST
    if not bundle.is_dir():
        got = "a file" if bundle.exists() else "nothing there"
        raise BundleError(bundle, "a bundle (a NAME.smsr directory)", got, "make one with smsr-export CHECKPOINT")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(bundle, f"a {MANIFEST} inside", "none", "name a directory made by smsr-export") from None
    except (OSError, ValueError) as error:
        raise BundleError(file, "a readable JSON manifest", reason(error), EXPORT_AGAIN) from error
    if not isinstance(manifest, dict):
        raise BundleError(file, "a JSON object", type(manifest).__name__, EXPORT_AGAIN)
    return manifest


def _check_format(bundle: Path, manifest: dict[str, Any]) -> None:
    file = bundle / MANIFEST
    if manifest.get("format") != FORMAT:
        raise BundleError(file, f'format "{FORMAT}"', repr(manifest.get("format")), EXPORT_AGAIN)
    version = _field(bundle, manifest, "format_version", int)
    if version > FORMAT_VERSION:
        todo = "update the runtime, or export again with this release"
        raise BundleError(file, f"format_version up to {FORMAT_VERSION}", str(version), todo)


def _field(bundle: Path, record: dict[str, Any], key: str, kind: type[T]) -> T:
    value = record.get(key)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    got = "nothing" if key not in record else f"{type(value).__name__} {value!r}"
    raise BundleError(bundle / MANIFEST, f'"{key}" of type {kind.__name__}', got, EXPORT_AGAIN)


def _number(bundle: Path, record: dict[str, Any], key: str) -> float:
    if isinstance(record.get(key), int):
        return _field(bundle, record, key, int)
    return _field(bundle, record, key, float)


def _check_files(bundle: Path, files: dict[str, Any], unchecked: Sequence[str]) -> None:
    if MODEL not in files:
        raise BundleError(bundle / MANIFEST, f'"files" to name {MODEL}', ", ".join(sorted(files)), EXPORT_AGAIN)
    for name, facts in files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise BundleError(bundle / MANIFEST, "file names inside the bundle", repr(name), EXPORT_AGAIN)
        if not isinstance(facts, dict):
            raise BundleError(bundle / MANIFEST, f"sha256 and bytes of {name}", repr(facts), EXPORT_AGAIN)
        expected = (_field(bundle, facts, "bytes", int), _field(bundle, facts, "sha256", str))
        if name not in unchecked:
            _check_file(bundle / name, expected, ENGINE_AGAIN if name == ENGINE else EXPORT_AGAIN)


def _check_file(file: Path, expected: tuple[int, str], todo: str) -> None:
    try:
        size = file.stat().st_size
        digest = sha256(file) if size == expected[0] else ""
    except OSError as error:
        raise BundleError(file, "a readable file named by the manifest", reason(error), todo) from error
    if size != expected[0]:
        raise BundleError(file, f"{expected[0]} bytes", str(size), todo)
    if digest != expected[1]:
        raise BundleError(file, f"sha256 {expected[1][:12]}...", f"{digest[:12]}... (a changed byte)", todo)
