"""Builds one ONNX file in standard operators alone, N C H W, for other engines: no functions, no custom operator.

    image, theta (required) -> upscaled, margin_1 .. margin_K, float32

The sparse mask module of `op_function` with all weights as constants: nothing depends on shapes but the mask branch's
crop, since converters to other formats fold no arithmetic on weights. Exact, and as slow as a dense network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from smsr_export.model_file import model_of
from smsr_export.network_graph import build_graph
from smsr_export.onnx_graph import OnnxGraph
from smsr_export.records import Array, Convolution, FoldedBranch, FoldedModule, FoldedNetwork
from smsr_export.standard import StandardParts, add_margin, check_dense_channels


def build_inlined(network: FoldedNetwork) -> onnx.ModelProto:
    """The file; the same network as model.onnx, by its definition in standard operators."""
    return model_of(build_graph(network, InlinedParts()), network.scale)


@dataclass
class InlinedParts(StandardParts):
    """`network_graph.Parts` in standard operators throughout."""

    def margin(self, features: gs.Tensor, branch: FoldedBranch, index: int) -> gs.Tensor:
        """An output that no node reads: float16 converters keep an output's type, and would mix it with theirs."""
        margin = add_margin(self.graph, features, branch, index)
        margin.name = f"module_{index}.margin"
        return self.graph.add("Identity", [margin], f"margin_{index}")

    def module(self, inputs: list[gs.Tensor], module: FoldedModule, index: int) -> gs.Tensor:
        features, output, theta = inputs
        margin = output.inputs[0].inputs[0]
        graph, name, channels = self.graph, f"module_{index}", module.conv_weights.shape[-1]
        counts = check_dense_channels(module.dense_channels, channels)
        shifted = graph.add("Sub", [margin, theta], f"{name}.shifted")
        active = graph.add("Greater", [shifted, graph.constant(np.zeros((), np.float32), "zero")], f"{name}.active")
        x, outputs = features, []
        for layer, dense in enumerate(counts):
            kernel = module.conv_weights[layer].reshape(3, 3, channels, channels).transpose(3, 2, 0, 1)
            before = counts[layer - 1] if layer else channels
            x = _masked(graph, x, active, kernel, (before, dense), f"{name}.{layer}")
            outputs.append(x)
        joined = graph.add("Concat", outputs, f"{name}.layers", axis=1)
        collected = graph.conv(joined, _one_by_one(module.collect_weight, module.collect_bias), f"{name}.collect")
        scaled = graph.add("Mul", [collected, _attention(graph, collected, module, name)], f"{name}.scaled")
        return graph.add("Add", [scaled, features], f"features_{index}")


def _masked(
    graph: OnnxGraph, x: gs.Tensor, active: gs.Tensor, kernel: Array, dense: tuple[int, int], name: str
) -> gs.Tensor:
    """One masked convolution and its ReLU. kernel (C, C, 3, 3); dense: numbers of dense inputs and outputs.

    One convolution gives all C outputs and, behind them, the dense outputs from dense inputs alone, which is what an
    inactive pixel keeps of them.
    """
    inputs, outputs = dense
    channels = len(kernel)
    from_dense = kernel[:outputs].copy()
    from_dense[:, inputs:] = 0.0
    weight = graph.constant(np.concatenate([kernel, from_dense]), f"{name}.weight")
    both = graph.add("Conv", [x, weight], f"{name}.both", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    full, kept = both, graph.constant(np.zeros((1, 1, 1, 1), np.float32), "zeros")
    if outputs:
        full = _channels(graph, both, 0, channels, f"{name}.full")
        kept = _channels(graph, both, channels, channels + outputs, f"{name}.from_dense")
        pads = graph.integers([0, 0, 0, 0, 0, channels - outputs, 0, 0], f"sparse_pads_{channels - outputs}")
        kept = graph.add("Pad", [kept, pads], f"{name}.inactive") if outputs < channels else kept
    return graph.add("Relu", [graph.add("Where", [active, full, kept], f"{name}.masked")], name)


def _channels(graph: OnnxGraph, x: gs.Tensor, start: int, end: int, name: str) -> gs.Tensor:
    bounds = [graph.integers([value], f"channel_{value}") for value in (start, end)]
    return graph.add("Slice", [x, *bounds, graph.integers([1], "channel_axis")], name)


def _attention(graph: OnnxGraph, collected: gs.Tensor, module: FoldedModule, name: str) -> gs.Tensor:
    """Channel attention's factors (N, C, 1, 1)."""
    mean = graph.add("GlobalAveragePool", [collected], f"{name}.mean")
    squeeze = _one_by_one(module.squeeze_weight, module.squeeze_bias)
    excite = _one_by_one(module.excite_weight, module.excite_bias)
    squeezed = graph.add("Relu", [graph.conv(mean, squeeze, f"{name}.squeeze")], f"{name}.squeezed")
    return graph.add("Sigmoid", [graph.conv(squeezed, excite, f"{name}.excite")], f"{name}.scale")


def _one_by_one(matrix: Array, bias: Array) -> Convolution:
    """A matrix (in, out) as a 1x1 convolution."""
    return Convolution(np.ascontiguousarray(matrix.T[:, :, None, None]), bias)
