"""Parts of the graph in standard operators, N C H W: a builder of nodes, the mask branch, the tail.

For runtimes without our dense operators, and for the benchmark's rival.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from smsr_export.graph import Array, Convolution, FoldedBranch, FoldedNetwork


@dataclass
class GraphBuilder:
    """Collects nodes and initializers under unique names; `add` returns the new node's output name."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, kind: str, inputs: Sequence[str], name: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"{name}/{kind}", domain=domain, **attributes))
        return name

    def constant(self, value: Array | np.ndarray, name: str) -> str:
        if all(known.name != name for known in self.initializers):
            self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def integers(self, values: Sequence[int], name: str) -> str:
        return self.constant(np.array(values, np.int64), name)

    def conv(self, x: str, conv: Convolution, name: str, pads: Sequence[int] | None = None) -> str:
        """Convolution with zero padding: `pads` as in ONNX, default same size."""
        height, width = conv.weight.shape[2:]
        weight, bias = self.constant(conv.weight, f"{name}.weight"), self.constant(conv.bias, f"{name}.bias")
        pads = pads or [height // 2, width // 2] * 2
        return self.add("Conv", [x, weight, bias], name, kernel_shape=[height, width], pads=pads)


def add_margin(build: GraphBuilder, nchw: str, branch: FoldedBranch, index: int, output: str | None = None) -> str:
    """The mask branch: features N C H W -> `output`, default margin_{index} (N, 1, H, W). See fold.fold_logits."""
    name = f"module_{index}.mask"
    full = build.add("Relu", [build.conv(nchw, branch.full, f"{name}.full")], f"{name}.full_relu")
    pads = build.integers([0, 0, 0, 0, 0, 0, 1, 1], "pool_pads")
    padded = build.add("Pad", [full, pads], f"{name}.padded", mode="edge")
    pooled = build.add("AveragePool", [padded], f"{name}.pooled", kernel_shape=[2, 2], strides=[2, 2])
    half = build.add("Relu", [build.conv(pooled, branch.half, f"{name}.half")], f"{name}.half_relu")
    phases = build.conv(half, branch.phases, f"{name}.phases", pads=[0, 0, 1, 1])
    margin = build.add("DepthToSpace", [phases], f"{name}.uncropped", blocksize=2, mode="CRD")
    # not Shape with start and end: TensorRT 8's parser reads past those two attributes
    shape = build.add("Shape", ["image"], f"{name}.shape")
    starts, axes = build.integers([0, 0], "crop_starts"), build.integers([2, 3], "crop_axes")
    size = build.add("Gather", [shape, axes], f"{name}.size", axis=0)
    return build.add("Slice", [margin, starts, size, axes], output or f"margin_{index}")


def add_tail(build: GraphBuilder, network: FoldedNetwork, deep: str) -> None:
    """Deep features N C H W -> upscaled."""
    add_bicubic(build, network, build.conv(deep, network.tail, "tail"))


def add_bicubic(build: GraphBuilder, network: FoldedNetwork, phases: str) -> None:
    """Adds bicubic to the tail's phases (N, 3*s*s, H, W), before the PixelShuffle (fold.bicubic_kernel)."""
    pads = build.integers([0, 0, 2, 2, 0, 0, 2, 2], "bicubic_pads")
    edges = build.add("Pad", ["image", pads], "image_padded", mode="edge")
    kernel = build.constant(network.bicubic, "bicubic.weight")
    bicubic = build.add("Conv", [edges, kernel], "bicubic", kernel_shape=[5, 5])
    total = build.add("Add", [phases, bicubic], "phases")
    build.add("DepthToSpace", [total], "upscaled", blocksize=network.scale, mode="CRD")
