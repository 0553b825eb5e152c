"""The bundle: names of its files, its manifest typed, read with every check, written (format: docs/interfaces.md)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Iterator, Mapping, Sequence

from smsr_runtime import manifest as manifests
from smsr_runtime.errors import BundleError, reason
from smsr_runtime.external_data import locations
from smsr_runtime.files import open_regular, write_bytes
from smsr_runtime.manifest import EXPORT_AGAIN, FORMAT, FORMAT_VERSION, MODEL, REDUCED_LIMITS, read_manifest
from smsr_runtime.sizes import Profile, Wanted

__all__ = [
    "ENGINE", "FORMAT", "FORMAT_VERSION", "GOLDEN_INPUT", "GOLDEN_OUTPUT", "MANIFEST", "MODEL", "MODEL_TRT", "PENDING",
    "REBUILD", "REPORT", "SUFFIX", "Bundle", "EngineRecord", "Golden", "file_fact", "file_facts", "is_bundle",
    "is_replaceable", "read_bundle", "sha256", "write_manifest",
]  # fmt: skip

SUFFIX = ".smsr"
MANIFEST = manifests.NAME
MODEL_TRT, ENGINE = "model.trt.onnx", "model.engine"
GOLDEN_INPUT, GOLDEN_OUTPUT = "golden/input.png", "golden/output.npy"
REPORT = "report.html"
"""For people; no program reads it. Bundles of older releases have none."""
PENDING = "pending"
"""The manifest's "engine" where the device still has to build it."""
ENGINE_AGAIN = "build it again on this device with --rebuild"
REBUILD = "build it for this machine with --rebuild, or use smsr-run --backend ort"


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

    def content(self, name: str) -> bytes:
        """A file's bytes, compared with the manifest's size and SHA-256 as they are used. Raises BundleError."""
        return _content(self.path, name, self.manifest["files"][name])

    def model_content(self, name: str = MODEL) -> bytes | Path:
        """The model's bytes as `content` gives them, or its file, which has weights in other files of the bundle.

        Raises BundleError where the model reads files that the manifest does not name.
        """
        data = self.content(name)
        try:
            others = locations(data)
        except ValueError as error:
            raise BundleError(self.path / name, "a model ONNX Runtime can run", reason(error), EXPORT_AGAIN) from error
        foreign = sorted(others - set(self.manifest["files"]))
        if foreign:
            expected = "weights in files that the manifest names, or in the model itself"
            got = f"weights in {foreign[0]!r}" if foreign[0] else "weights in a file without a name"
            raise BundleError(self.path / name, expected, got, "take a bundle that smsr-export made")
        return self.path / name if others else data

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


def is_replaceable(path: Path) -> bool:
    """Whether a folder, and no link to one, is a bundle by its manifest's format."""
    try:
        return not path.is_symlink() and json.loads(manifests.content(path, path / MANIFEST))["format"] == FORMAT
    except (BundleError, ValueError, RecursionError, KeyError, TypeError):
        return False


def read_bundle(path: str | Path, unchecked: Sequence[str] = ()) -> Bundle:
    """Reads `path`/manifest.json and checks every file it names by size and SHA-256.

    unchecked: files that may be missing or changed, because they are about to be made again. Raises BundleError
    where anything is missing, changed, mistyped, outside of the folder or of a newer format.
    """
    bundle = Path(path)
    manifest = read_manifest(bundle)
    for name, facts in manifest["files"].items():
        if name not in unchecked:
            _check_file(bundle, name, facts)
    golden = manifest["golden"]
    rmse = next((golden[name] for name in REDUCED_LIMITS if name in golden), None)
    return Bundle(
        path=bundle,
        **{name: manifest[name] for name in _AS_THEY_ARE},
        dense_channels=tuple(tuple(row) for row in manifest["dense_channels"]),
        golden=Golden(
            golden["input"], golden["output"], float(golden["max_abs"]), None if rmse is None else float(rmse)
        ),
        wanted=Wanted.from_json(manifest.get("profile")),
        manifest=manifest,
    )


_AS_THEY_ARE = ("name", "target", "scale", "features", "layers", "modules", "precision", "interface_hash")


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


def _check_file(bundle: Path, name: str, facts: Mapping[str, Any]) -> None:
    with _opened(bundle, name, facts) as stream:
        digest = hashlib.sha256()
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    _check_digest(bundle, name, facts, digest.hexdigest())


def _content(bundle: Path, name: str, facts: Mapping[str, Any]) -> bytes:
    with _opened(bundle, name, facts) as stream:
        data = stream.read(facts["bytes"] + 1)
    _check_digest(bundle, name, facts, hashlib.sha256(data).hexdigest())
    return data


@contextlib.contextmanager
def _opened(bundle: Path, name: str, facts: Mapping[str, Any]) -> Iterator[BinaryIO]:
    """The file, of the manifest's size, below the bundle's folder. Raises BundleError, also for what fails inside."""
    file, todo = bundle / name, _todo(name)
    try:
        if Path(os.path.realpath(bundle)) not in Path(os.path.realpath(file)).parents:
            copy = "copy the bundle with its files in it: cp -rL"
            raise BundleError(file, "a file inside the bundle", "a link out of it", copy)
        with open_regular(file) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size != facts["bytes"]:
                raise BundleError(file, f"{facts['bytes']} bytes", str(size), todo)
            yield stream
    except (OSError, ValueError) as error:
        raise BundleError(file, "a readable file named by the manifest", reason(error), todo) from error


def _check_digest(bundle: Path, name: str, facts: Mapping[str, Any], digest: str) -> None:
    if digest != facts["sha256"]:
        got = f"{digest[:12]}... (a changed byte)"
        raise BundleError(bundle / name, f"sha256 {facts['sha256'][:12]}...", got, _todo(name))


def _todo(name: str) -> str:
    return ENGINE_AGAIN if name == ENGINE else EXPORT_AGAIN
