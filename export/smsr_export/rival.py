"""The rival: the cheapest dense ONNX export of the same checkpoint.

One convolution per layer, then the output masks: sparse channels are zeroed where the spatial mask is off.
It profits from our folds (logits, phases, bicubic), stays N C H W throughout and holds standard operators only.
NOT numerically equal to the network: on inactive pixels it lets sparse inputs into dense outputs (docs/design.md).

`Where` is the fastest way to zero them in ONNX Runtime: 0.95 s, where Mul took 0.97 and Split with Mul 1.14 (Set5's
*baby*, best of six interleaved).
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx import helper

from smsr_export.model_file import IR_VERSION
from smsr_export.network_graph import add_bicubic
from smsr_export.onnx_graph import OnnxGraph
from smsr_export.op_function import OPSET
from smsr_export.records import Array, Convolution, FoldedModule, FoldedNetwork
from smsr_export.standard import add_margin


def build_rival(network: FoldedNetwork) -> onnx.ModelProto:
    """image (N, 3, H, W) -> upscaled (N, 3, sH, sW) and margin_1 .. margin_K, float32 0..255; theta is 0."""
    rival = Rival(network)
    rival.add_network()
    return rival.model()


class Rival:
    """Adds the network's parts to a graph; methods return what they add."""

    def __init__(self, network: FoldedNetwork) -> None:
        self.network, self.graph = network, OnnxGraph()
        self.margins: list[gs.Variable] = []

    def model(self) -> onnx.ModelProto:
        """The graph as a checked model file of standard operators."""
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(self.graph.exported(), opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model

    def add_network(self) -> None:
        graph, network = self.graph, self.network
        image = graph.input("image", ["N", 3, "H", "W"])
        centred = graph.add("Sub", [image, graph.constant(network.mean.reshape(1, 3, 1, 1), "mean")], "centred")
        hidden = self._conv_relu(centred, network.head[0], "head.0")
        features = start = graph.conv(hidden, network.head[1], "head.2")
        outputs = []
        for index, module in enumerate(network.modules, 1):
            active = self.active(features, module, index)
            features = self._module(features, active, module, index)
            outputs.append(features)
        joined = graph.add("Concat", outputs, "all_features", axis=1)
        collect = Convolution(_kernel(np.concatenate(network.collect_parts)), network.collect_bias)
        hidden = self._conv_relu(joined, collect, "collect.0")
        deep = graph.add("Add", [graph.conv(hidden, network.collect, "collect.2"), start], "deep_features")
        graph.output(add_bicubic(graph, network, graph.conv(deep, network.tail, "tail")), ["N", 3, "sH", "sW"])
        for margin in self.margins:
            graph.output(margin, ["N", 1, "H", "W"])

    def active(self, features: gs.Tensor, module: FoldedModule, index: int) -> gs.Tensor | None:
        """What `masked` needs to know of module `index`'s active pixels."""
        self.margins.append(add_margin(self.graph, features, module.branch, index))
        return self.graph.add("Greater", [self.margins[-1], self._zero()], f"module_{index}.active")

    def masked(self, y: gs.Tensor, active: gs.Tensor | None, dense: int, label: str) -> gs.Tensor:
        """Zeroes channels from `dense` on where the pixel is not active."""
        gate = active
        if dense:
            gate = self.graph.add(
                "Or", [active, self.graph.constant(self.is_dense(dense), f"{label}.dense")], f"{label}.gate"
            )
        return self.graph.add("Where", [gate, y, self._zero()], f"{label}.masked")

    def is_dense(self, dense: int) -> NDArray[np.bool_]:
        """(1, C, 1, 1): the first `dense` channels."""
        return (np.arange(self.network.features) < dense).reshape(1, -1, 1, 1)

    def _conv_relu(self, x: gs.Tensor, conv: Convolution, name: str) -> gs.Tensor:
        return self.graph.add("Relu", [self.graph.conv(x, conv, name)], f"{name}.relu")

    def _module(self, features: gs.Tensor, active: gs.Tensor | None, module: FoldedModule, index: int) -> gs.Tensor:
        graph, name, channels = self.graph, f"module_{index}", self.network.features
        x, outputs, no_bias = features, [], np.zeros(channels, np.float32)
        for layer, (packed, dense) in enumerate(zip(module.conv_weights, module.dense_channels, strict=True)):
            weight = packed.reshape(3, 3, channels, channels).transpose(3, 2, 0, 1)
            label = f"{name}.layer_{layer}"
            x = self.masked(self._conv_relu(x, Convolution(weight, no_bias), label), active, dense, label)
            outputs.append(x)
        joined = graph.add("Concat", outputs, f"{name}.all", axis=1)
        collect = Convolution(_kernel(module.collect_weight), module.collect_bias)
        collected = graph.conv(joined, collect, f"{name}.collect")
        scaled = graph.add("Mul", [collected, self._attention(collected, module, name)], f"{name}.scaled")
        return graph.add("Add", [scaled, features], f"features_{index}")

    def _attention(self, collected: gs.Tensor, module: FoldedModule, name: str) -> gs.Tensor:
        pooled = self.graph.add("GlobalAveragePool", [collected], f"{name}.mean")
        squeeze = Convolution(_kernel(module.squeeze_weight), module.squeeze_bias)
        squeezed = self._conv_relu(pooled, squeeze, f"{name}.squeeze")
        excite = Convolution(_kernel(module.excite_weight), module.excite_bias)
        return self.graph.add("Sigmoid", [self.graph.conv(squeezed, excite, f"{name}.excite")], f"{name}.scale")

    def _zero(self) -> gs.Constant:
        return self.graph.constant(np.zeros((), np.float32), "zero")


def _kernel(matrix: Array) -> Array:
    """A matrix (in, out) as a 1x1 convolution's weight (out, in, 1, 1)."""
    return np.ascontiguousarray(matrix.T[:, :, None, None])
