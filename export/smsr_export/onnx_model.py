"""Builds the ONNX model of DESIGN 4 from a FoldedNetwork.

Features travel N H W C, the layout of our kernels; where a standard convolution needs N C H W, a Transpose
stands on either side, which ONNX Runtime merges with its own blocked-layout reorders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from smsr import contract
from smsr_export.graph import Array, Convolution, FoldedBranch, FoldedModule, FoldedNetwork
from smsr_export.op_function import OPSET, operator_function

IR_VERSION = 8
"""The oldest with model-local functions: read by every ONNX Runtime since 1.10."""
TO_NHWC, TO_NCHW = [0, 2, 3, 1], [0, 3, 1, 2]


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


def build_model(network: FoldedNetwork, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """`model.onnx`: image, theta (default 0) -> upscaled, margin_1 .. margin_K; checked, shapes inferred."""
    build = GraphBuilder()
    build.constant(np.zeros((), np.float32), "theta")
    margins = _network(build, network)
    graph = helper.make_graph(
        build.nodes, "smsr", _graph_inputs(), _graph_outputs(network.scale, margins), build.initializers
    )
    model = helper.make_model(
        graph,
        functions=[operator_function(network.layers, "NHWC")],
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(contract.DOMAIN, contract.OPERATOR_VERSION)],
        ir_version=IR_VERSION,
        producer_name="smsr-export",
    )
    facts = {"smsr.interface_hash": contract.interface_hash(), "smsr.scale": str(network.scale), **(metadata or {})}
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


def _network(build: GraphBuilder, network: FoldedNetwork) -> list[str]:
    """Adds the whole network; returns the margins' names."""
    mean = build.constant(network.mean.reshape(1, 3, 1, 1), "mean")
    centred = build.add("Sub", ["image", mean], "centred")
    hidden = build.add("Relu", [build.conv(centred, network.head[0], "head.0")], "head.1")
    start = build.conv(hidden, network.head[1], "head.2")
    features = build.add("Transpose", [start], "features_0", perm=TO_NHWC)
    collected, margins = "", []
    for index, (module, part) in enumerate(zip(network.modules, network.collect_parts, strict=True), 1):
        nchw = build.add("Transpose", [features], f"module_{index}.mask.features", perm=TO_NCHW)
        margins.append(add_margin(build, nchw, module.branch, index))
        features = _sparse_mask_module(build, features, margins[-1], module, index)
        matrix = build.constant(part, f"collect.0.weight_{index}")
        product = build.add("MatMul", [features, matrix], f"collect.0_{index}")
        collected = build.add("Add", [collected, product], f"collect.sum_{index}") if collected else product
    _finish(build, network, collected, start)
    return margins


def add_margin(build: GraphBuilder, nchw: str, branch: FoldedBranch, index: int) -> str:
    """The mask branch: features N C H W -> margin_{index} (N, 1, H, W). See fold.fold_logits."""
    name = f"module_{index}.mask"
    full = build.add("Relu", [build.conv(nchw, branch.full, f"{name}.full")], f"{name}.full_relu")
    pads = build.integers([0, 0, 0, 0, 0, 0, 1, 1], "pool_pads")
    padded = build.add("Pad", [full, pads], f"{name}.padded", mode="edge")
    pooled = build.add("AveragePool", [padded], f"{name}.pooled", kernel_shape=[2, 2], strides=[2, 2])
    half = build.add("Relu", [build.conv(pooled, branch.half, f"{name}.half")], f"{name}.half_relu")
    phases = build.conv(half, branch.phases, f"{name}.phases", pads=[0, 0, 1, 1])
    margin = build.add("DepthToSpace", [phases], f"{name}.uncropped", blocksize=2, mode="CRD")
    size = build.add("Shape", ["image"], f"{name}.size", start=2, end=4)
    starts, axes = build.integers([0, 0], "crop_starts"), build.integers([2, 3], "crop_axes")
    return build.add("Slice", [margin, starts, size, axes], f"margin_{index}")


def _sparse_mask_module(build: GraphBuilder, features: str, margin: str, module: FoldedModule, index: int) -> str:
    operator = contract.SPARSE_MASK_MODULE
    weights = [
        build.constant(getattr(module, tensor.name), f"module_{index}.{tensor.name}") for tensor in operator.inputs[3:]
    ]
    return build.add(
        operator.name,
        [features, margin, "theta", *weights],
        f"features_{index}",
        domain=contract.DOMAIN,
        dense_channels=check_dense_channels(module.dense_channels, module.conv_weights.shape[-1]),
        layout="NHWC",
        compute="float32",
    )


def check_dense_channels(counts: Sequence[int], channels: int) -> list[int]:
    """The counts as a list; a count outside 0..C passes silently in the function body, so it stops here."""
    if not all(0 <= count <= channels for count in counts):
        raise ValueError(f"dense_channels: expected counts in 0..{channels}, got {list(counts)}")
    return list(counts)


def _finish(build: GraphBuilder, network: FoldedNetwork, collected: str, start: str) -> None:
    """collect, then the global residual."""
    bias = build.constant(network.collect_bias, "collect.0.bias")
    hidden = build.add("Relu", [build.add("Add", [collected, bias], "collect.0")], "collect.1")
    hidden = build.add("Transpose", [hidden], "collect.1_nchw", perm=TO_NCHW)
    deep = build.add("Add", [build.conv(hidden, network.collect, "collect.2"), start], "deep_features")
    add_tail(build, network, deep)


def add_tail(build: GraphBuilder, network: FoldedNetwork, deep: str) -> None:
    """Deep features N C H W -> upscaled; bicubic is added before the PixelShuffle (fold.bicubic_kernel)."""
    residual = build.conv(deep, network.tail, "tail")
    pads = build.integers([0, 0, 2, 2, 0, 0, 2, 2], "bicubic_pads")
    edges = build.add("Pad", ["image", pads], "image_padded", mode="edge")
    kernel = build.constant(network.bicubic, "bicubic.weight")
    bicubic = build.add("Conv", [edges, kernel], "bicubic", kernel_shape=[5, 5])
    total = build.add("Add", [residual, bicubic], "phases")
    build.add("DepthToSpace", [total], "upscaled", blocksize=network.scale, mode="CRD")
