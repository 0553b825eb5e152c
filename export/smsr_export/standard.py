"""Parts of the network in standard operators, N C H W, for runtimes without our dense operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_graphsurgeon as gs

from smsr import contract
from smsr_export.onnx_graph import OnnxGraph
from smsr_export.records import Array, Convolution, FoldedBranch, FoldedModule


@dataclass
class StandardParts:
    """`network_graph.Parts` with standard operators around the sparse mask modules; all float32."""

    graph: OnnxGraph = field(default_factory=OnnxGraph)

    def pixels(self, centred: gs.Tensor) -> gs.Tensor:
        return centred

    def conv(self, x: gs.Tensor, conv: Convolution, name: str) -> gs.Tensor:
        return self.graph.conv(x, conv, name)

    def conv_relu(self, x: gs.Tensor, conv: Convolution, name: str, result: str) -> gs.Tensor:
        return self.graph.add("Relu", [self.conv(x, conv, name)], result)

    def conv_add(self, x: gs.Tensor, conv: Convolution, addend: gs.Tensor, name: str, result: str) -> gs.Tensor:
        return self.graph.add("Add", [self.conv(x, conv, name), addend], result)

    def margin(self, features: gs.Tensor, branch: FoldedBranch, index: int) -> gs.Tensor:
        return add_margin(self.graph, features, branch, index)

    def module(self, inputs: list[gs.Tensor], module: FoldedModule, index: int) -> gs.Tensor:
        return add_module(self.graph, inputs, module, index, layout="NCHW", compute="float32")

    def collect(self, x: gs.Tensor, part: Array, bias: Array, before: gs.Tensor | None, index: int) -> gs.Tensor:
        name = f"collect.0_{index}"
        weight = self.graph.constant(np.ascontiguousarray(part.T)[:, :, None, None], f"{name}.weight")
        if before is None:
            return self.graph.add("Conv", [x, weight, self.graph.constant(bias, "collect.0.bias")], name)
        return self.graph.add("Add", [self.graph.add("Conv", [x, weight], f"{name}.own"), before], name)

    def phases(self, deep: gs.Tensor, tail: Convolution) -> gs.Tensor:
        return self.conv(deep, tail, "tail")


def add_module(
    graph: OnnxGraph, inputs: list[gs.Tensor], module: FoldedModule, index: int, *, layout: str, compute: str
) -> gs.Tensor:
    """One node of the operator SparseMaskModule. inputs: features in `layout`, margin, theta."""
    operator = contract.SPARSE_MASK_MODULE
    weights = [
        graph.constant(getattr(module, tensor.name), f"module_{index}.{tensor.name}") for tensor in operator.inputs[3:]
    ]
    counts = check_dense_channels(module.dense_channels, module.conv_weights.shape[-1])
    return graph.add(
        operator.name, [*inputs, *weights], f"features_{index}", contract.DOMAIN,
        dense_channels=counts, layout=layout, compute=compute,
    )  # fmt: skip


def check_dense_channels(counts: Sequence[int], channels: int) -> list[int]:
    """The counts as a list; a count outside 0..C passes silently in the function body, so it stops here."""
    if not all(0 <= count <= channels for count in counts):
        raise ValueError(f"dense_channels: expected counts in 0..{channels}, got {list(counts)}")
    return list(counts)


def add_margin(graph: OnnxGraph, features: gs.Tensor, branch: FoldedBranch, index: int) -> gs.Tensor:
    """The mask branch: features (N, C, H, W) -> margin_{index} (N, 1, H, W). See fold.fold_logits."""
    name = f"module_{index}.mask"
    full = graph.add("Relu", [graph.conv(features, branch.full, f"{name}.full")], f"{name}.full_relu")
    pads = graph.integers([0, 0, 0, 0, 0, 0, 1, 1], "pool_pads")
    padded = graph.add("Pad", [full, pads], f"{name}.padded", mode="edge")
    pooled = graph.add("AveragePool", [padded], f"{name}.pooled", kernel_shape=[2, 2], strides=[2, 2])
    half = graph.add("Relu", [graph.conv(pooled, branch.half, f"{name}.half")], f"{name}.half_relu")
    phases = graph.conv(half, branch.phases, f"{name}.phases", pads=[0, 0, 1, 1])
    uncropped = graph.add("DepthToSpace", [phases], f"{name}.uncropped", blocksize=2, mode="CRD")
    # not Shape with start and end: TensorRT 8's parser ignores these two attributes
    shape = graph.add("Shape", [graph.image], f"{name}.shape")
    starts, axes = graph.integers([0, 0], "crop_starts"), graph.integers([2, 3], "crop_axes")
    size = graph.add("Gather", [shape, axes], f"{name}.size", axis=0)
    return graph.add("Slice", [uncropped, starts, size, axes], f"margin_{index}")
