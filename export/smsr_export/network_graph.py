"""The one walk over a folded network that makes a graph of it.

    image - mean -> head -> module 1 .. K -> sum of 1x1s -> collect, + head -> tail: phases, + bicubic -> upscaled

What each part becomes is the choice of `Parts`: `onnx_model.OperatorParts` takes our operators, N H W C,
`standard.StandardParts` standard operators around the sparse mask modules, N C H W.
"""

from __future__ import annotations

from typing import Protocol

import onnx_graphsurgeon as gs

from smsr_export.onnx_graph import OnnxGraph
from smsr_export.records import Array, Convolution, FoldedBranch, FoldedModule, FoldedNetwork


class Parts(Protocol):
    """Adds one part of the network to `graph` and returns its output.

    Features have a layout of the implementation's own; images, margins (N, 1, H, W) and phases (N, 3*s*s, H, W) do not.
    Names: `name` for the convolution, `result` for what follows it where that is a node of its own.
    """

    graph: OnnxGraph

    def pixels(self, centred: gs.Tensor) -> gs.Tensor:
        """The image (N, 3, H, W) less its mean, as features."""
        ...

    def conv(self, x: gs.Tensor, conv: Convolution, name: str) -> gs.Tensor: ...

    def conv_relu(self, x: gs.Tensor, conv: Convolution, name: str, result: str) -> gs.Tensor: ...

    def conv_add(self, x: gs.Tensor, conv: Convolution, addend: gs.Tensor, name: str, result: str) -> gs.Tensor: ...

    def margin(self, features: gs.Tensor, branch: FoldedBranch, index: int) -> gs.Tensor:
        """The margin of module `index`, named margin_{index}."""
        ...

    def module(self, inputs: list[gs.Tensor], module: FoldedModule, index: int) -> gs.Tensor:
        """inputs: features, margin, theta."""
        ...

    def collect(self, x: gs.Tensor, part: Array, bias: Array, before: gs.Tensor | None, index: int) -> gs.Tensor:
        """Adds x's 1x1, weight (in, out), to the sum `before`; the first one, without, brings the bias."""
        ...

    def phases(self, deep: gs.Tensor, tail: Convolution) -> gs.Tensor: ...


def build_graph(network: FoldedNetwork, parts: Parts, default_theta: Array | None = None) -> OnnxGraph:
    """image (N, 3, H, W), theta () -> upscaled (N, 3, s*H, s*W), margin_1 .. margin_K (N, 1, H, W), all float32.

    default_theta: what theta is where it is not given, a scalar; None: it is a required input.
    """
    graph, scale = parts.graph, network.scale
    image = graph.input("image", ["N", 3, "H", "W"])
    theta = graph.input("theta", [], default_theta)
    centred = graph.add("Sub", [image, graph.constant(network.mean.reshape(1, 3, 1, 1), "mean")], "centred")
    deep, margins = _deep_features(network, parts, parts.pixels(centred), theta)
    upscaled = add_bicubic(graph, network, parts.phases(deep, network.tail))
    graph.output(upscaled, ["N", 3, f"{scale}*H", f"{scale}*W"])
    for margin in margins:
        graph.output(margin, ["N", 1, "H", "W"])
    return graph


def _deep_features(
    network: FoldedNetwork, parts: Parts, pixels: gs.Tensor, theta: gs.Tensor
) -> tuple[gs.Tensor, list[gs.Tensor]]:
    """From the head to collect: what the tail reads, and the margins."""
    hidden = parts.conv_relu(pixels, network.head[0], "head.0", "head.1")
    features = start = parts.conv(hidden, network.head[1], "head.2")
    collected, margins = None, []
    for index, (module, part) in enumerate(zip(network.modules, network.collect_parts, strict=True), 1):
        margins.append(parts.margin(features, module.branch, index))
        features = parts.module([features, margins[-1], theta], module, index)
        collected = parts.collect(features, part, network.collect_bias, collected, index)
    hidden = parts.graph.add("Relu", [collected], "collect.1")
    return parts.conv_add(hidden, network.collect, start, "collect.2", "deep"), margins


def add_bicubic(graph: OnnxGraph, network: FoldedNetwork, phases: gs.Tensor) -> gs.Tensor:
    """Adds bicubic to the tail's phases, before the PixelShuffle (fold.bicubic_kernel); returns `upscaled`."""
    pads = graph.integers([0, 0, 2, 2, 0, 0, 2, 2], "bicubic_pads")
    edges = graph.add("Pad", [graph.image, pads], "image_padded", mode="edge")
    kernel = graph.constant(network.bicubic, "bicubic.weight")
    bicubic = graph.add("Conv", [edges, kernel], "bicubic", kernel_shape=[5, 5])
    total = graph.add("Add", [phases, bicubic], "phases")
    return graph.add("DepthToSpace", [total], "upscaled", blocksize=network.scale, mode="CRD")
