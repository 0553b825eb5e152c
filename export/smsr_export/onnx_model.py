"""Builds `model.onnx`: features travel N H W C from the head to the tail, all in our operators.

No transpose and no blocked-layout reorder lies in between. Only the three-channel image and the tail's few channels
change their layout.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from smsr import contract
from smsr_export.model_file import model_of
from smsr_export.network_graph import build_graph
from smsr_export.onnx_graph import OnnxGraph
from smsr_export.op_function import operator_functions
from smsr_export.packing import pack, pack_branch
from smsr_export.records import Array, Convolution, FoldedBranch, FoldedModule, FoldedNetwork
from smsr_export.standard import add_module

TO_NHWC, TO_NCHW = [0, 2, 3, 1], [0, 3, 1, 2]


def build_model(network: FoldedNetwork, compute: str = "float32") -> onnx.ModelProto:
    """`model.onnx`: image, theta (default 0) -> upscaled, margin_1 .. margin_K; checked, shapes inferred.

    compute: of our operators, one of contract.COMPUTE_TYPES; all tensors are float32, whichever it is.
    """
    graph = build_graph(network, OperatorParts(compute), default_theta=np.zeros((), np.float32))
    return model_of(graph, network.scale, operator_functions(network.layers))


@dataclass
class OperatorParts:
    """`network_graph.Parts` with our operators; features (N, H, W, C), a multiple of 16 channels."""

    compute: str
    graph: OnnxGraph = field(default_factory=OnnxGraph)

    def pixels(self, centred: gs.Tensor) -> gs.Tensor:
        return self.graph.add("Transpose", [centred], "pixels", perm=TO_NHWC)

    def conv(self, x: gs.Tensor, conv: Convolution, name: str) -> gs.Tensor:
        return self._convolution(contract.CONVOLUTION, x, conv, name)

    def conv_relu(self, x: gs.Tensor, conv: Convolution, name: str, result: str) -> gs.Tensor:
        return self._convolution(contract.CONVOLUTION_RELU, x, conv, name)

    def conv_add(self, x: gs.Tensor, conv: Convolution, addend: gs.Tensor, name: str, result: str) -> gs.Tensor:
        return self._convolution(contract.CONVOLUTION_ADD, x, conv, name, addend)

    def margin(self, features: gs.Tensor, branch: FoldedBranch, index: int) -> gs.Tensor:
        weights = [
            self.graph.constant(value, f"module_{index}.mask.{name}") for name, value in pack_branch(branch).items()
        ]
        return self._operator(contract.MASK_BRANCH, [features, *weights], f"margin_{index}")

    def module(self, inputs: list[gs.Tensor], module: FoldedModule, index: int) -> gs.Tensor:
        return add_module(self.graph, inputs, module, index, layout="NHWC", compute=self.compute)

    def collect(self, x: gs.Tensor, part: Array, bias: Array, before: gs.Tensor | None, index: int) -> gs.Tensor:
        name, weight = f"collect.0_{index}", part.T[:, :, None, None]
        if before is None:
            return self.conv(x, Convolution(weight, bias), name)
        return self.conv_add(x, Convolution(weight, np.zeros_like(bias)), before, name, name)

    def phases(self, deep: gs.Tensor, tail: Convolution) -> gs.Tensor:
        """The channels that pad the tail to a multiple of 16 are cut off."""
        nchw = self.graph.add("Transpose", [self.conv(deep, tail, "tail")], "tail.nchw", perm=TO_NCHW)
        bounds = {"tail.start": 0, "tail.end": len(tail.bias), "tail.axis": 1}
        constants = [self.graph.integers([value], name) for name, value in bounds.items()]
        return self.graph.add("Slice", [nchw, *constants], "tail.phases")

    def _convolution(
        self, operator: contract.Operator, x: gs.Tensor, conv: Convolution, name: str, *addend: gs.Tensor
    ) -> gs.Tensor:
        weight, bias = pack(conv)
        constants = [self.graph.constant(weight, f"{name}.weight"), self.graph.constant(bias, f"{name}.bias")]
        return self._operator(operator, [x, *constants, *addend], name)

    def _operator(self, operator: contract.Operator, inputs: list[gs.Tensor], name: str) -> gs.Tensor:
        return self.graph.add(operator.name, inputs, name, contract.DOMAIN, layout="NHWC", compute=self.compute)
