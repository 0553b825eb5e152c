"""The manifest as checked plain data: what a damaged file, or one that means harm, can hold stops here.

The format stands in docs/interfaces.md; entries that no reader uses may hold any plain text and finite numbers.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Mapping, NamedTuple

from smsr_runtime.dial import check_dial
from smsr_runtime.errors import BundleError, is_printable, reason
from smsr_runtime.files import read_regular

NAME = "manifest.json"
MODEL = "model.onnx"
FORMAT, FORMAT_VERSION = "smsr-bundle", 1
"""In the manifest; a runtime refuses a newer version."""
EXPORT_AGAIN = "export the checkpoint again with smsr-export, or copy the whole bundle again"
LARGEST = 1 << 22
"""Bytes of a manifest; real ones have a few thousand."""
LARGEST_FILE = (1 << 31) - 1
"""Bytes of a file of a bundle: ONNX models cannot be larger."""
_DEEPEST, _LONGEST = 16, 4096
"""How many lists and objects inside each other; characters of one text."""
_MOST = {"scale": 16, "features": 1 << 16, "layers": 1000, "modules": 1000}
_TOLERANCE = "a number from 0 to 255"


class Rule(NamedTuple):
    """What an entry must be: its type, a further condition, and that in words."""

    kind: type
    expected: str = ""
    holds: Callable[[Any], bool] = lambda value: True


def _counts(most: int) -> Rule:
    return Rule(int, f"1 or more, {most} at most", lambda value: 1 <= value <= most)


RULES: Mapping[str, Rule] = {
    **{name: _counts(most) for name, most in _MOST.items()},
    "name": Rule(str),
    "target": Rule(str, '"onnx" or "trt"', lambda value: value in ("onnx", "trt")),
    "precision": Rule(str, "letters and digits", lambda value: re.fullmatch(r"[a-z0-9]{1,16}", value) is not None),
    "interface_hash": Rule(str, "hexadecimal digits", lambda value: re.fullmatch(r"[0-9a-f]{1,64}", value) is not None),
    "dense_channels": Rule(list),
    "golden": Rule(dict),
    "files": Rule(dict),
}
_GOLDEN: Mapping[str, Rule] = {
    "max_abs": Rule(float, _TOLERANCE, lambda value: 0 <= value <= 255),
    "input": Rule(str),
    "output": Rule(str),
}
REDUCED_LIMITS = ("engine_rmse", "reduced_rmse")
"""In "golden", at most one: the limit of a TensorRT bundle's engine, of the native library in reduced precision."""
_REDUCED_RMSE = Rule(float, _TOLERANCE, lambda value: 0 <= value <= 255)
_FILE: Mapping[str, Rule] = {
    "bytes": Rule(int, f"0 to {LARGEST_FILE}", lambda value: 0 <= value <= LARGEST_FILE),
    "sha256": Rule(str, "64 hexadecimal digits", lambda value: re.fullmatch(r"[0-9a-f]{64}", value) is not None),
}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle's folder, every entry checked that the runtime uses. Raises BundleError."""
    file = folder / NAME
    manifest = parse(content(folder, file), file)
    if manifest.get("format") != FORMAT:
        raise BundleError(file, f'format "{FORMAT}"', repr(manifest.get("format")), EXPORT_AGAIN)
    version = _entry(file, manifest, "format_version", Rule(int))
    if version > FORMAT_VERSION:
        todo = "update the runtime, or export again with this release"
        raise BundleError(file, f"format_version up to {FORMAT_VERSION}", str(version), todo)
    for name, rule in RULES.items():
        _entry(file, manifest, name, rule)
    _check_files(file, manifest["files"])
    _check_golden(file, manifest["golden"], manifest["files"])
    _check_dense_channels(file, manifest)
    check_dial(file, manifest, EXPORT_AGAIN)
    return manifest


def parse(data: bytes, file: Path) -> dict[str, Any]:
    """A JSON object of plain text and finite numbers, each name once. Raises BundleError."""
    try:
        manifest = json.loads(
            data.decode("utf-8"), parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_once
        )
        _check_plain(manifest)
    except (ValueError, RecursionError) as error:
        got = "lists inside each other without end" if isinstance(error, RecursionError) else reason(error)
        raise BundleError(file, "a readable JSON manifest", got, EXPORT_AGAIN) from error
    if not isinstance(manifest, dict):
        raise BundleError(file, "a JSON object", type(manifest).__name__, EXPORT_AGAIN)
    return manifest


def is_inside(name: str) -> bool:
    """Whether a file's name, as the manifest has it, names one below the bundle's folder and in one way only."""
    path = PurePosixPath(name)
    plain = is_printable(name) and "\\" not in name and ":" not in name
    return plain and not path.is_absolute() and ".." not in path.parts and path.as_posix() == name != "."


def content(folder: Path, file: Path) -> bytes:
    """The manifest's bytes. Raises BundleError."""
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing there"
        raise BundleError(folder, "a bundle (a NAME.smsr directory)", got, "make one with smsr-export CHECKPOINT")
    try:
        data = read_regular(file, LARGEST + 1)
    except FileNotFoundError:
        raise BundleError(folder, f"a {NAME} inside", "none", "name a directory made by smsr-export") from None
    except (OSError, ValueError) as error:
        raise BundleError(file, "a readable JSON manifest", reason(error), EXPORT_AGAIN) from error
    if len(data) > LARGEST:
        raise BundleError(file, f"a manifest of at most {LARGEST} bytes", "a larger file", EXPORT_AGAIN)
    return data


def _no_number(text: str) -> None:
    raise ValueError(f"{text}, which is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number too large to be stored")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("an entry that stands there twice")
    return entries


def _check_plain(value: Any) -> None:
    """Raises ValueError for text with control characters or lone surrogates, too long a text and too deep a nesting."""
    waiting = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > _DEEPEST:
            raise ValueError(f"lists or objects more than {_DEEPEST} deep")
        if isinstance(part, dict):
            waiting += [(inner, depth + 1) for pair in part.items() for inner in pair]
        elif isinstance(part, list):
            waiting += [(inner, depth + 1) for inner in part]
        elif isinstance(part, str) and not (len(part) <= _LONGEST and is_printable(part)):
            raise ValueError(f"a text with control characters, or of more than {_LONGEST} characters")


def _entry(file: Path, record: Mapping[str, Any], name: str, rule: Rule) -> Any:
    value = record.get(name)
    kinds = (int, float) if rule.kind is float else rule.kind
    if not isinstance(value, kinds) or (isinstance(value, bool) and rule.kind is not bool):
        got = "nothing" if name not in record else f"{type(value).__name__} {value!r}"
        raise BundleError(file, f'"{name}" of type {rule.kind.__name__}', got, EXPORT_AGAIN)
    if not rule.holds(value):
        raise BundleError(file, f'"{name}": {rule.expected}', repr(value), EXPORT_AGAIN)
    return value


def _check_files(file: Path, files: Mapping[str, Any]) -> None:
    if MODEL not in files:
        raise BundleError(file, f'"files" to name {MODEL}', ", ".join(sorted(files)), EXPORT_AGAIN)
    for name, facts in files.items():
        if not is_inside(name) or name == NAME:
            raise BundleError(file, "file names inside the bundle", repr(name), EXPORT_AGAIN)
        if not isinstance(facts, dict):
            raise BundleError(file, f"sha256 and bytes of {name}", repr(facts), EXPORT_AGAIN)
        for entry, rule in _FILE.items():
            _entry(file, facts, entry, rule)


def _check_golden(file: Path, golden: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    for name, rule in _GOLDEN.items():
        _entry(file, golden, name, rule)
    for name in REDUCED_LIMITS:
        if name in golden:
            _entry(file, golden, name, _REDUCED_RMSE)
    for name in (golden["input"], golden["output"]):
        if name not in files:
            raise BundleError(file, 'golden files that "files" names', repr(name), EXPORT_AGAIN)


def _check_dense_channels(file: Path, manifest: Mapping[str, Any]) -> None:
    rows, modules, layers = manifest["dense_channels"], manifest["modules"], manifest["layers"]
    fits = len(rows) == modules and all(isinstance(row, list) and len(row) == layers for row in rows)
    counts = [count for row in rows for count in row] if fits else []
    if not fits or not all(type(count) is int and 0 <= count <= manifest["features"] for count in counts):
        expected = f'"dense_channels" as {modules} lists of {layers} numbers, 0 to {manifest["features"]}'
        raise BundleError(file, expected, repr(rows)[:60], EXPORT_AGAIN)
