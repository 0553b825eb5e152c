"""Parts of an ONNX model as models of their own, without the onnx package.

Protocol Buffers' wire format, as far as that needs it: fields are kept as they are, only the lists of a graph's nodes,
inputs, outputs and initializers are made anew. Field numbers: onnx.proto.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Sequence

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VARINT, _BYTES = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}
"""Kinds of fields, as the wire format numbers them, and the sizes of the two that have one."""
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR = 1, 2, 3, 4
_TENSOR_DIMENSIONS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 7: np.dtype("<i8")}


@dataclass(frozen=True)
class Node:
    """inputs and outputs: names of tensors; rest: all other fields, encoded."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rest: bytes

    def of(self, operator: str, inputs: Sequence[str], outputs: Sequence[str]) -> Node:
        """Another operator of the same domain, with the same attributes, on other tensors."""
        fields = [field for number, _, field in _fields(memoryview(self.rest)) if number != _NODE_OPERATOR]
        return Node(tuple(inputs), tuple(outputs), b"".join(fields) + _text(_NODE_OPERATOR, operator))

    def encoded(self) -> bytes:
        names = [(_NODE_INPUT, name) for name in self.inputs] + [(_NODE_OUTPUT, name) for name in self.outputs]
        unique = _text(_NODE_NAME, f"{self.outputs[0]}/node")
        return b"".join(_text(number, name) for number, name in names) + unique + self.rest


def standard_node(operator: str, inputs: Sequence[str], output: str) -> Node:
    """A node of an ONNX operator without attributes."""
    return Node(tuple(inputs), (output,), _text(_NODE_OPERATOR, operator))


class ModelParts:
    """A model taken apart. Raises ValueError for bytes that are not one."""

    def __init__(self, model: bytes) -> None:
        self._frame, self._nodes, self._constants = b"", [], {}  # type: bytes, list[Node], dict[str, memoryview]
        for number, value, field in _fields(memoryview(model)):
            if number == _MODEL_GRAPH:
                self._read_graph(value)
            else:
                self._frame += bytes(field)

    def _read_graph(self, graph: memoryview) -> None:
        for number, value, _ in _fields(graph):
            if number == _GRAPH_NODE:
                self._nodes.append(_node(value))
            elif number == _GRAPH_INITIALIZER:
                names = [bytes(part).decode() for field, part, _ in _fields(value) if field == _TENSOR_NAME]
                name = names[-1] if names else ""
                self._constants[name] = value

    def constant(self, name: str) -> NDArray[Any]:
        """The value of an initializer. Raises KeyError where there is none of that name."""
        shape: list[int] = []
        dtype, raw = _TYPES[1], memoryview(b"")
        for number, part, _ in _fields(self._constants[name]):
            if number == _TENSOR_DIMENSIONS:
                shape += [part] if isinstance(part, int) else list(_varints(part))
            elif number == _TENSOR_TYPE:
                dtype = _TYPES[part]
            elif number == _TENSOR_RAW:
                raw = part
        value: NDArray[Any] = np.frombuffer(raw, dtype).reshape(shape)
        return value

    @property
    def constants(self) -> Iterable[str]:
        """Names of the initializers."""
        return self._constants.keys()

    def node(self, output: str) -> Node:
        """The node that computes `output`. Raises KeyError where there is none."""
        for node in self._nodes:
            if output in node.outputs:
                return node
        raise KeyError(output)

    def part(
        self,
        inputs: Mapping[str, int],
        outputs: Sequence[str],
        constants: Mapping[str, NDArray[Any]] | None = None,
        instead: Mapping[str, Sequence[Node]] | None = None,
    ) -> bytes:
        """The model that computes `outputs` from `inputs`, float32 tensors of these ranks.

        constants: in place of initializers of the same name, or beside them; instead: nodes in the place of the one
        that computes this tensor. Raises KeyError for a tensor that neither a node nor an initializer gives.
        """
        kept, needed = [], set(outputs)
        nodes = [new for node in self._nodes for new in (instead or {}).get(node.outputs[0], [node])]
        for node in reversed(nodes):
            if needed.intersection(node.outputs) and not set(node.outputs).issubset(inputs):
                kept.append(node)
                needed.update(node.inputs)
        needed -= {name for node in kept for name in node.outputs} | set(inputs)
        graph = [_block(_GRAPH_NODE, node.encoded()) for node in reversed(kept)]
        graph.append(_text(_GRAPH_NAME, "part"))
        new = constants or {}
        for name in sorted(needed):
            tensor = _tensor(name, new[name]) if name in new else bytes(self._constants[name])
            graph.append(_block(_GRAPH_INITIALIZER, tensor))
        graph += [_block(_GRAPH_INPUT, _value_info(name, rank)) for name, rank in inputs.items()]
        graph += [_block(_GRAPH_OUTPUT, _value_info(name, None)) for name in outputs]
        return self._frame + _block(_MODEL_GRAPH, b"".join(graph))


def _node(message: memoryview) -> Node:
    names: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OUTPUT: []}
    rest = b""
    for number, value, field in _fields(message):
        if number in names:
            names[number].append(bytes(value).decode())
        elif number != _NODE_NAME:
            rest += bytes(field)
    return Node(tuple(names[_NODE_INPUT]), tuple(names[_NODE_OUTPUT]), rest)


def _tensor(name: str, value: NDArray[Any]) -> bytes:
    types = {dtype: number for number, dtype in _TYPES.items()}
    header = b"".join(_number(_TENSOR_DIMENSIONS, size) for size in value.shape)
    header += _number(_TENSOR_TYPE, types[value.dtype])
    return header + _text(_TENSOR_NAME, name) + _block(_TENSOR_RAW, np.ascontiguousarray(value).tobytes())


def _value_info(name: str, rank: int | None) -> bytes:
    """ValueInfoProto (name, type) of float32; the sizes are free, each under its own name."""
    tensor = _number(1, 1)
    if rank is not None:
        dimensions = (_block(1, _text(2, f"{name}.{axis}")) for axis in range(rank))
        tensor += _block(2, b"".join(dimensions))
    return _text(1, name) + _block(2, _block(1, tensor))


def _fields(message: memoryview) -> Iterator[tuple[int, Any, memoryview]]:
    """Per field its number, its value (an int or a view of its bytes) and the whole of it, encoded."""
    at = 0
    while at < len(message):
        start = at
        key, at = _varint(message, at)
        kind = key & 7
        value: Any
        if kind == _VARINT:
            value, at = _varint(message, at)
        else:
            size, at = _varint(message, at) if kind == _BYTES else (_FIXED_BYTES.get(kind, len(message)), at)
            value, at = message[at : at + size], at + size
        if at > len(message):
            raise ValueError("a field of no known kind, or one that ends behind its message")
        yield key >> 3, value, message[start:at]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at == len(message):
            raise ValueError("a number that ends behind its message")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _varints(message: memoryview) -> Iterator[int]:
    at = 0
    while at < len(message):
        value, at = _varint(message, at)
        yield value


def _encoded(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _number(field: int, value: int) -> bytes:
    return _encoded(field << 3 | _VARINT) + _encoded(value)


def _block(field: int, value: bytes) -> bytes:
    return _encoded(field << 3 | _BYTES) + _encoded(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _block(field, value.encode())
