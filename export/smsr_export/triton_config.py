"""The configuration of a model in NVIDIA Triton Inference Server, from the model itself: config.pbtxt.

Protobuf's text format, message `inference.ModelConfig`. The server's ONNX Runtime backend compares it with the model
when it loads; what it asks for beyond names and types:

- `max_batch_size: 0`: the shapes are the model's own, N included, so that pictures of every size go in. A larger number
  would have the server join requests, which must be of one size then, and forbids optional inputs.
- a scalar has `dims: [ 1 ]`; an input with a default is `optional`.
- `KIND_CPU`: our library computes on the CPU; a server with GPUs would take the CUDA provider otherwise.
- `op_library_filename` is opened as it stands, not relative to the model: an absolute path where the server runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import onnx

from smsr_runtime.errors import ExportError

CONFIG = "config.pbtxt"
MARK = "# Written by smsr-export --target triton; "
"""How the file begins; a folder whose configuration does may be replaced."""
_TYPES: dict[int, str] = {onnx.TensorProto.FLOAT: "TYPE_FP32"}
_ANY_SIZE = -1


def config_text(name: str, model: onnx.ModelProto, library: PurePosixPath | None) -> str:
    """The text of config.pbtxt for the model `name`.

    library: where the server will see the native library; None: the model's function bodies compute. Raises ExportError
    for an input or output of a type that no exported model has.
    """
    defaults = {tensor.name for tensor in model.graph.initializer}
    inputs = [_tensor(value, optional=value.name in defaults) for value in model.graph.input]
    outputs = [_tensor(value) for value in model.graph.output]
    lines = [
        f"{MARK}docs/triton.md says how to start the server.",
        f"name: {_quoted(name)}",
        'backend: "onnxruntime"',
        "max_batch_size: 0",
        f"input [\n{_joined(inputs)}\n]",
        f"output [\n{_joined(outputs)}\n]",
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
    ]
    if library:
        lines.append(f"model_operations {{ op_library_filename: {_quoted(str(library))} }}")
    return "\n".join(lines) + "\n"


def _tensor(value: onnx.ValueInfoProto, *, optional: bool = False) -> str:
    tensor = value.type.tensor_type
    if tensor.elem_type not in _TYPES:
        got = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise ExportError(f"{value.name} of the model", "FLOAT", got, "take a bundle that smsr-export made")
    sizes = [dimension.dim_value or _ANY_SIZE for dimension in tensor.shape.dim] or [1]
    dims = ", ".join(str(size) for size in sizes)
    fields = f"name: {_quoted(value.name)} data_type: {_TYPES[tensor.elem_type]} dims: [ {dims} ]"
    return f"  {{ {fields}{' optional: true' if optional else ''} }}"


def _joined(tensors: Sequence[str]) -> str:
    return ",\n".join(tensors)


def _quoted(text: str) -> str:
    """A string of the text format: all but printable ASCII as octal bytes."""
    plain = set(range(0x20, 0x7F)) - set(b'"\\')
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'
