"""A small dense network of today as a rival: SPAN's architecture (Wan et al., arXiv 2311.12770, section 3).

48 channels, six blocks of three 3x3 convolutions each, all of them re-parameterised to plain ones, as at inference. The
weights are random: its time and its multiply-adds mean something, its pictures do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import helper

from smsr_export.model_file import IR_VERSION
from smsr_export.onnx_graph import OnnxGraph
from smsr_export.op_function import OPSET
from smsr_export.records import Convolution

CHANNELS, BLOCKS = 48, 6
MEAN = 255.0 * np.array([0.4488, 0.4371, 0.4040], np.float32)
"""RGB mean of DIV2K, which the network subtracts."""


def build_span(scale: int) -> onnx.ModelProto:
    """image (N, 3, H, W) -> upscaled (N, 3, sH, sW), float32; the same bytes every time."""
    return _Span(scale).model()


def macs_per_pixel(scale: int) -> int:
    """Multiply-adds of all convolutions per low-resolution pixel."""
    span = _Span(scale)
    span.add_network()
    return span.macs


@dataclass
class _Span:
    """Adds the network's parts to a graph and counts their multiply-adds per pixel."""

    scale: int
    graph: OnnxGraph = field(default_factory=OnnxGraph)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(2311))
    macs: int = 0

    def model(self) -> onnx.ModelProto:
        self.add_network()
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(self.graph.exported(), opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model

    def add_network(self) -> None:
        """Joins the first features, the last block's, the first block's, and the last block's first convolution."""
        graph = self.graph
        image = graph.input("image", ["N", 3, "H", "W"])
        centred = graph.add("Sub", [image, graph.constant(MEAN.reshape(1, 3, 1, 1), "mean")], "centred")
        first = self._conv(centred, 3, CHANNELS, "head")
        outputs, inner = [first], first
        for number in range(1, BLOCKS + 1):
            output, inner = self._block(outputs[-1], f"block_{number}")
            outputs.append(output)
        last = self._conv(outputs[-1], CHANNELS, CHANNELS, "body")
        joined = graph.add("Concat", [first, last, outputs[1], inner], "joined", axis=1)
        mixed = self._conv(joined, 4 * CHANNELS, CHANNELS, "mix", size=1)
        phases = self._conv(mixed, CHANNELS, 3 * self.scale**2, "tail")
        upscaled = graph.add("DepthToSpace", [phases], "upscaled", blocksize=self.scale, mode="CRD")
        graph.output(upscaled, ["N", 3, "sH", "sW"])

    def _block(self, x: gs.Tensor, name: str) -> tuple[gs.Variable, gs.Variable]:
        """The block's output, and its first convolution's: attention without parameters (equations 2 to 4)."""
        graph = self.graph
        first = self._conv(x, CHANNELS, CHANNELS, f"{name}.1")
        second = self._conv(self._silu(first, f"{name}.1"), CHANNELS, CHANNELS, f"{name}.2")
        third = self._conv(self._silu(second, f"{name}.2"), CHANNELS, CHANNELS, f"{name}.3")
        sigmoid = graph.add("Sigmoid", [third], f"{name}.sigmoid")
        half = graph.constant(np.array(0.5, np.float32), "half")
        attention = graph.add("Sub", [sigmoid, half], f"{name}.attention")
        summed = graph.add("Add", [third, x], f"{name}.sum")
        return graph.add("Mul", [summed, attention], f"{name}.output"), first

    def _silu(self, x: gs.Tensor, name: str) -> gs.Variable:
        gate = self.graph.add("Sigmoid", [x], f"{name}.gate")
        return self.graph.add("Mul", [x, gate], f"{name}.silu")

    def _conv(self, x: gs.Tensor, inputs: int, outputs: int, name: str, size: int = 3) -> gs.Variable:
        """He's initialisation, so that values neither vanish nor overflow: both would change the time."""
        deviation = np.sqrt(2.0 / (inputs * size**2))
        weight = self.random.normal(0.0, deviation, (outputs, inputs, size, size)).astype(np.float32)
        self.macs += weight.size
        return self.graph.conv(x, Convolution(weight, np.zeros(outputs, np.float32)), name)
