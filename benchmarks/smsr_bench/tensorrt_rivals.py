"""The rivals in TensorRT: the same architecture as dense float16 engines, of standard operators.

`dense` has no masks at all: every pixel with all channels, what a user would build without this project. `masked`
computes the same, and zeroes the sparse channels of inactive pixels as published code does. Both have float32 input
and outputs, as model.trt.onnx, and everything else in float16, so that weakly typed TensorRT 8 and strongly typed
newer ones build the same engine. NOT numerically equal to the network: see smsr_export/rival.py.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from smsr_export.records import FoldedModule, FoldedNetwork
from smsr_export.rival import Rival
from smsr_export.trt_model import cast_for_readers, cast_output, rounded

HALF = np.dtype(np.float16)


class _Dense(Rival):
    """Without mask branches, and so without margins."""

    def active(self, features: gs.Tensor, module: FoldedModule, index: int) -> gs.Tensor | None:
        return None

    def masked(self, y: gs.Tensor, active: gs.Tensor | None, dense: int, label: str) -> gs.Tensor:
        return y


class _Masked(Rival):
    """Zeroes by products, which TensorRT fuses into one pointwise layer; booleans as constants it does not read."""

    dtype: np.dtype[np.floating] = np.dtype(np.float32)

    def active(self, features: gs.Tensor, module: FoldedModule, index: int) -> gs.Tensor | None:
        active = super().active(features, module, index)
        to = int(onnx.helper.np_dtype_to_tensor_dtype(self.dtype))
        return self.graph.add("Cast", [active], f"module_{index}.gate", to=to)

    def masked(self, y: gs.Tensor, active: gs.Tensor | None, dense: int, label: str) -> gs.Tensor:
        gate = active
        if dense:
            kept = self.graph.constant(self.is_dense(dense).astype(np.float32), f"{label}.dense")
            gate = self.graph.add("Max", [active, kept], f"{label}.gate")
        return self.graph.add("Mul", [y, gate], f"{label}.masked")


class _HalfMasked(_Masked):
    dtype = HALF


def build_dense(network: FoldedNetwork, *, half: bool = True) -> onnx.ModelProto:
    """image (N, 3, H, W) -> upscaled (N, 3, sH, sW), float32 0..255; inside float16, or float32 without `half`.

    Raises ExportError where a weight is too large for float16.
    """
    return _built(_Dense(network), half)


def build_masked(network: FoldedNetwork, *, half: bool = True) -> onnx.ModelProto:
    """As build_dense, and margin_1 .. margin_K (N, 1, H, W); theta is 0."""
    return _built(_HalfMasked(network) if half else _Masked(network), half)


def _built(rival: Rival, half: bool) -> onnx.ModelProto:
    rival.add_network()
    if half:
        _halve(rival.graph.graph)
    return rival.model()


def _halve(graph: gs.Graph) -> None:
    """All floating-point constants become float16; casts behind the image and in front of the outputs."""
    for tensor in graph.tensors().values():
        if isinstance(tensor, gs.Constant) and tensor.dtype == np.float32:
            tensor.values = rounded(tensor.values, HALF, tensor.name)
    cast_for_readers(graph, graph.inputs[0], "image_inside", HALF, behind=None)
    graph.outputs = [cast_output(graph, output) for output in graph.outputs]
