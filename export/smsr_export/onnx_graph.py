"""An ONNX graph in the making: onnx-graphsurgeon's graph, and the constants it reads by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from smsr_export.op_function import OPSET
from smsr_export.records import Array, Convolution
from smsr_runtime.errors import ExportError


@dataclass
class OnnxGraph:
    """Nodes have one output each and are named after it: "head.0/Conv" gives head.0.

    constants: in the order in which they were added, which is that of the file's initializers.
    """

    graph: gs.Graph = field(default_factory=lambda: gs.Graph(name="smsr", opset=OPSET))
    constants: dict[str, gs.Constant] = field(default_factory=dict)

    def input(self, name: str, shape: Sequence[int | str], default: Array | None = None) -> gs.Tensor:
        """Adds a float32 input, required without a `default`; a letter stands for a size that is free."""
        tensor = gs.Variable(name, np.float32, shape) if default is None else self.constant(default, name)
        self.graph.inputs.append(tensor)
        return tensor

    @property
    def image(self) -> gs.Tensor:
        """The first input."""
        return self.graph.inputs[0]

    def output(self, tensor: gs.Variable, shape: Sequence[int | str]) -> None:
        """Makes a node's result an output, float32."""
        tensor.dtype, tensor.shape = np.float32, shape
        self.graph.outputs.append(tensor)

    def add(
        self, operator: str, inputs: Sequence[gs.Tensor], name: str, domain: str = "", **attributes: object
    ) -> gs.Variable:
        """Appends a node; returns its output, `name`."""
        node = make_node(operator, inputs, name, domain, **attributes)
        self.graph.nodes.append(node)
        return node.outputs[0]

    def constant(self, value: Array | np.ndarray, name: str) -> gs.Constant:
        """The constant of this name; raises ExportError where it already has another value."""
        known = self.constants.setdefault(name, gs.Constant(name, np.asarray(value, order="C")))
        if known.dtype != value.dtype or not np.array_equal(known.values, value):
            raise ExportError(name, "one value for the constant", "a second, different one", "report this")
        return known

    def integers(self, values: Sequence[int], name: str) -> gs.Constant:
        return self.constant(np.array(values, np.int64), name)

    def conv(self, x: gs.Tensor, conv: Convolution, name: str, pads: Sequence[int] | None = None) -> gs.Variable:
        """Standard convolution, N C H W, padded by zeros: `pads` as in ONNX, default same size."""
        height, width = conv.weight.shape[2:]
        inputs = [x, self.constant(conv.weight, f"{name}.weight"), self.constant(conv.bias, f"{name}.bias")]
        pads = pads or [height // 2, width // 2] * 2
        return self.add("Conv", inputs, name, kernel_shape=[height, width], pads=list(pads))

    def exported(self) -> onnx.GraphProto:
        """The graph as protobuf; the same bytes every time."""
        graph: onnx.GraphProto = gs.export_onnx(self.graph).graph
        order = {name: index for index, name in enumerate(self.constants)}
        graph.initializer.sort(key=lambda item: order[item.name])
        return graph


def make_node(operator: str, inputs: Sequence[gs.Tensor], name: str, domain: str = "", **attributes: object) -> gs.Node:
    """A node whose one output is `name`, its attributes in alphabetical order."""
    sorted_attributes = dict(sorted(attributes.items()))
    return gs.Node(operator, f"{name}/{operator}", sorted_attributes, list(inputs), [gs.Variable(name)], domain)
