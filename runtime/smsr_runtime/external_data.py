"""Which other files an ONNX model reads, from its bytes alone: before an engine, which would open them, sees the model.

Only tensors are looked for, through all graphs, functions and attributes. Messages and fields: onnx/onnx.proto3.
"""

from __future__ import annotations

from typing import Iterator, Mapping

_LENGTH, _FIXED64, _FIXED32 = 2, 1, 5
_DEEPEST = 50
"""Messages inside each other: graphs in attributes of nodes of graphs; protobuf itself allows 100."""

_MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""Of each message the fields on the way to a tensor, and the message that they hold."""
_DATA_LOCATION, _EXTERNAL = 14, 1
UNNAMED = ""
"""Stands for external data without a file name."""


def locations(model: bytes) -> set[str]:
    """Names of files that hold weights of the model. Raises ValueError where the bytes are no ONNX model."""
    found: set[str] = set()
    _visit(memoryview(model), "model", found, 0)
    return found


def _visit(data: memoryview, message: str, found: set[str], depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"messages more than {_DEEPEST} deep")
    external = False
    names: list[str] = []
    for number, value in _fields(data):
        inner = _MESSAGES[message].get(number)
        if message == "tensor" and number == _DATA_LOCATION and value == _EXTERNAL:
            external = True
        if inner is None or not isinstance(value, memoryview):
            continue
        if inner == "entry":
            external = True
            names += _location(value)
        else:
            _visit(value, inner, found, depth + 1)
    if external:
        found.update(names or [UNNAMED])


def _location(entry: memoryview) -> Iterator[str]:
    """The value of a key "location"."""
    pair: dict[int, bytes] = {number: bytes(value) for number, value in _fields(entry) if isinstance(value, memoryview)}
    if pair.get(1) == b"location":
        yield pair.get(2, b"").decode("utf-8")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field; groups, which ONNX does not use, are refused. Raises ValueError."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _LENGTH:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("bytes that are no protobuf message")
        if number == 0 or size > len(data) - at:
            raise ValueError("bytes that are no protobuf message")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value & (1 << 64) - 1, at
    raise ValueError("bytes that are no protobuf message")
