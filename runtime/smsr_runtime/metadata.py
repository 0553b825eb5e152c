"""The bundle's manifest: read, checked against the files beside it, typed (format: docs/interfaces.md)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Sequence, TypeVar

from smsr_runtime.errors import BundleError, reason

MANIFEST = "manifest.json"
MODEL, MODEL_TRT, ENGINE = "model.onnx", "model.trt.onnx", "model.engine"
PENDING = "pending"
"""The manifest's "engine" where the device still has to build it."""
SUPPORTED_FORMAT = 1
"""`smsr.contract.BUNDLE_FORMAT`; a test holds that the two agree."""

T = TypeVar("T")


@dataclass(frozen=True)
class Golden:
    """Self-test: bundle-relative picture, expected float32 (1, 3, sH, sW), largest difference allowed (0..255).

    engine_rmse: root mean square difference that an engine in reduced precision is held to instead, or None.
    """

    input: str
    output: str
    max_abs: float
    engine_rmse: float | None = None


@dataclass(frozen=True)
class Bundle:
    """What the runtime uses of a manifest; `manifest` is the whole of it as read."""

    path: Path
    name: str
    scale: int
    features: int
    modules: int
    precision: str
    interface_hash: str
    golden: Golden
    manifest: dict[str, Any]

    @property
    def model(self) -> Path:
        return self.path / MODEL


def read_bundle(path: str | Path, unchecked: Sequence[str] = ()) -> Bundle:
    """Reads `path`/manifest.json and checks every file it names by size and SHA-256.

    unchecked: files that may be missing or changed, because they are about to be made again. Raises BundleError
    where anything is missing, changed, mistyped or of a newer format.
    """
    bundle = Path(path)
    manifest = _read_manifest(bundle)
    _check_format(bundle, manifest)
    _check_files(bundle, _field(bundle, manifest, "files", dict), unchecked)
    golden = _field(bundle, manifest, "golden", dict)
    scale = _field(bundle, manifest, "scale", int)
    features, modules = _field(bundle, manifest, "features", int), _field(bundle, manifest, "modules", int)
    if min(scale, features, modules) < 1:
        found = f"{scale}, {features} and {modules}"
        raise BundleError(bundle / MANIFEST, "scale, features and modules of 1 or more", found, EXPORT_AGAIN)
    return Bundle(
        path=bundle,
        name=_field(bundle, manifest, "name", str),
        scale=scale,
        features=features,
        modules=modules,
        precision=_field(bundle, manifest, "precision", str),
        interface_hash=_field(bundle, manifest, "interface_hash", str),
        golden=Golden(
            _field(bundle, golden, "input", str),
            _field(bundle, golden, "output", str),
            float(_number(bundle, golden, "max_abs")),
            float(_number(bundle, golden, "engine_rmse")) if "engine_rmse" in golden else None,
        ),
        manifest=manifest,
    )


EXPORT_AGAIN = "export the checkpoint again with smsr-export, or copy the whole bundle again"
ENGINE_AGAIN = "build it again on this device with --rebuild"


def _read_manifest(bundle: Path) -> dict[str, Any]:
    file = bundle / MANIFEST
    if not bundle.is_dir():
        found = "a file" if bundle.exists() else "nothing there"
        raise BundleError(bundle, "a bundle (a NAME.smsr directory)", found, "make one with smsr-export CHECKPOINT")
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
    if manifest.get("format") != "smsr-bundle":
        raise BundleError(file, 'format "smsr-bundle"', repr(manifest.get("format")), EXPORT_AGAIN)
    version = _field(bundle, manifest, "format_version", int)
    if version > SUPPORTED_FORMAT:
        todo = "update the runtime, or export again with this release"
        raise BundleError(file, f"format_version up to {SUPPORTED_FORMAT}", str(version), todo)


def _field(bundle: Path, record: dict[str, Any], key: str, kind: type[T]) -> T:
    value = record.get(key)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    found = "nothing" if key not in record else f"{type(value).__name__} {value!r}"
    raise BundleError(bundle / MANIFEST, f'"{key}" of type {kind.__name__}', found, EXPORT_AGAIN)


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
        digest = _sha256(file) if size == expected[0] else ""
    except OSError as error:
        raise BundleError(file, "a readable file named by the manifest", reason(error), todo) from error
    if size != expected[0]:
        raise BundleError(file, f"{expected[0]} bytes", str(size), todo)
    if digest != expected[1]:
        raise BundleError(file, f"sha256 {expected[1][:12]}...", f"{digest[:12]}... (a changed byte)", todo)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
