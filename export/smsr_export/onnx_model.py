"""Builds the ONNX model of DESIGN 4 from a FoldedNetwork.

Features travel N H W C from the head to the tail, all in our operators: no transpose and no blocked-layout
reorder in between. Only three-channel images and the tail's few channels change their layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper

from smsr import contract
from smsr_export.graph import Array, Convolution, FoldedModule, FoldedNetwork
from smsr_export.op_function import OPSET, operator_functions
from smsr_export.packing import pack, pack_branch
from smsr_export.standard import GraphBuilder, add_bicubic

IR_VERSION = 8
"""The oldest with model-local functions: read by every ONNX Runtime since 1.10."""
TO_NHWC, TO_NCHW = [0, 2, 3, 1], [0, 3, 1, 2]


def build_model(network: FoldedNetwork, compute: str = "float32") -> onnx.ModelProto:
    """`model.onnx`: image, theta (default 0) -> upscaled, margin_1 .. margin_K; checked, shapes inferred.

    compute: of our operators, one of contract.COMPUTE_TYPES; all tensors are float32, whichever it is.
    """
    build = OperatorBuilder(compute=compute)
    build.constant(np.zeros((), np.float32), "theta")
    margins = _network(build, network)
    return finished_model(build, margins, network.scale, operator_functions(network.layers))


def finished_model(
    build: GraphBuilder, margins: Sequence[str], scale: int, functions: Sequence[onnx.FunctionProto]
) -> onnx.ModelProto:
    """The file of DESIGN 4 around the nodes: inputs, outputs, versions, metadata; checked, shapes inferred."""
    model = helper.make_model(
        helper.make_graph(build.nodes, "smsr", _graph_inputs(), _graph_outputs(scale, margins), build.initializers),
        functions=functions,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(contract.DOMAIN, contract.OPERATOR_VERSION)],
        ir_version=IR_VERSION,
        producer_name="smsr-export",
    )
    facts = {"smsr.interface_hash": contract.interface_hash(), "smsr.scale": str(scale)}
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model, full_check=True)
    return model


def _graph_inputs() -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"], "RGB, 0..255"),
        helper.make_tensor_value_info("theta", TensorProto.FLOAT, [], "a pixel is active where margin > theta"),
    ]


def _graph_outputs(scale: int, margins: Sequence[str]) -> list[onnx.ValueInfoProto]:
    size: list[str | int | None] = ["N", 3, f"{scale}*H", f"{scale}*W"]
    upscaled = helper.make_tensor_value_info("upscaled", TensorProto.FLOAT, size, "RGB, about 0..255, not clamped")
    return [
        upscaled,
        *(helper.make_tensor_value_info(margin, TensorProto.FLOAT, ["N", 1, "H", "W"]) for margin in margins),
    ]


@dataclass
class OperatorBuilder(GraphBuilder):
    """A GraphBuilder that also knows our operators, layout N H W C."""

    compute: str = field(default="float32")

    def operator(self, operator: contract.Operator, inputs: Sequence[str], name: str, **attributes: object) -> str:
        common = {"layout": "NHWC", "compute": self.compute}
        return self.add(operator.name, inputs, name, domain=contract.DOMAIN, **common, **attributes)

    def convolution(self, operator: contract.Operator, x: str, conv: Convolution, name: str, *extra: str) -> str:
        """One of the dense convolutions with packed weights; `extra`: the addend, where it has one."""
        weight, bias = pack(conv)
        constants = [self.constant(weight, f"{name}.weight"), self.constant(bias, f"{name}.bias")]
        return self.operator(operator, [x, *constants, *extra], name)


def _network(build: OperatorBuilder, network: FoldedNetwork) -> list[str]:
    """Adds the whole network; returns the margins' names."""
    centred = build.add("Sub", ["image", build.constant(network.mean.reshape(1, 3, 1, 1), "mean")], "centred")
    pixels = build.add("Transpose", [centred], "pixels", perm=TO_NHWC)
    hidden = build.convolution(contract.CONVOLUTION_RELU, pixels, network.head[0], "head.0")
    features = start = build.convolution(contract.CONVOLUTION, hidden, network.head[1], "head.2")
    collected, margins = "", []
    for index, (module, part) in enumerate(zip(network.modules, network.collect_parts, strict=True), 1):
        margins.append(_mask_branch(build, features, module, index))
        features = _sparse_mask_module(build, features, margins[-1], module, index)
        collected = _collect(build, features, part, network.collect_bias, collected, index)
    hidden = build.add("Relu", [collected], "collect.1")
    deep = build.convolution(contract.CONVOLUTION_ADD, hidden, network.collect, "collect.2", start)
    _tail(build, network, deep)
    return margins


def _mask_branch(build: OperatorBuilder, features: str, module: FoldedModule, index: int) -> str:
    packed = pack_branch(module.branch)
    constants = [build.constant(value, f"module_{index}.mask.{name}") for name, value in packed.items()]
    return build.operator(contract.MASK_BRANCH, [features, *constants], f"margin_{index}")


def _sparse_mask_module(build: OperatorBuilder, features: str, margin: str, module: FoldedModule, index: int) -> str:
    operator = contract.SPARSE_MASK_MODULE
    weights = [
        build.constant(getattr(module, tensor.name), f"module_{index}.{tensor.name}") for tensor in operator.inputs[3:]
    ]
    counts = check_dense_channels(module.dense_channels, module.conv_weights.shape[-1])
    inputs = [features, margin, "theta", *weights]
    return build.operator(operator, inputs, f"features_{index}", dense_channels=counts)


def check_dense_channels(counts: Sequence[int], channels: int) -> list[int]:
    """The counts as a list; a count outside 0..C passes silently in the function body, so it stops here."""
    if not all(0 <= count <= channels for count in counts):
        raise ValueError(f"dense_channels: expected counts in 0..{channels}, got {list(counts)}")
    return list(counts)


def _collect(build: OperatorBuilder, features: str, part: Array, bias: Array, collected: str, index: int) -> str:
    """Adds module `index`'s 1x1 to the running sum; the first one brings the bias (fold.fold_collect)."""
    first = not collected
    conv = Convolution(part.T[:, :, None, None], bias if first else np.zeros_like(bias))
    operator = contract.CONVOLUTION if first else contract.CONVOLUTION_ADD
    return build.convolution(operator, features, conv, f"collect.0_{index}", *([] if first else [collected]))


def _tail(build: OperatorBuilder, network: FoldedNetwork, deep: str) -> None:
    """Tail, bicubic added before the PixelShuffle (fold.bicubic_kernel); padding channels cut off."""
    residual = build.convolution(contract.CONVOLUTION, deep, network.tail, "tail")
    nchw = build.add("Transpose", [residual], "tail.nchw", perm=TO_NCHW)
    count = len(network.tail.bias)
    bounds = [
        build.integers([value], name) for value, name in ((0, "tail.start"), (count, "tail.end"), (1, "tail.axis"))
    ]
    phases = build.add("Slice", [nchw, *bounds], "tail.phases")
    add_bicubic(build, network, phases)
