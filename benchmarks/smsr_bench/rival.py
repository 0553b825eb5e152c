"""The rival: the cheapest dense ONNX export of the same checkpoint.

One convolution a layer, then the output masks: sparse channels are zeroed where the spatial mask is off.
It profits from our folds (logits, phases, bicubic), stays N C H W throughout and holds standard operators only.
NOT numerically equal to the network: on inactive pixels it lets sparse inputs into dense outputs (DESIGN 2).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from smsr_export.graph import Convolution, FoldedModule, FoldedNetwork
from smsr_export.onnx_model import IR_VERSION, GraphBuilder
from smsr_export.op_function import OPSET

FORMS = ("where", "mul", "split")
FASTEST = "mul"
"""The form of the output mask that measured fastest in ONNX Runtime (docs/adr/0003)."""


def build_rival(network: FoldedNetwork, form: str = FASTEST) -> onnx.ModelProto:
    """image (N, 3, H, W) -> upscaled (N, 3, sH, sW), float32 0..255; theta is 0."""
    build = GraphBuilder()
    margins = _network(build, network, form)
    size = ["N", 3, "sH", "sW"]
    outputs = [helper.make_tensor_value_info("upscaled", TensorProto.FLOAT, size)]
    outputs += [helper.make_tensor_value_info(margin, TensorProto.FLOAT, ["N", 1, "H", "W"]) for margin in margins]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])]
    graph = helper.make_graph(build.nodes, "rival", inputs, outputs, build.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def _network(build: GraphBuilder, network: FoldedNetwork, form: str) -> list[str]:
    centred = build.add("Sub", ["image", build.constant(network.mean.reshape(1, 3, 1, 1), "mean")], "centred")
    hidden = build.add("Relu", [build.conv(centred, network.head[0], "head.0")], "head.1")
    features = start = build.conv(hidden, network.head[1], "head.2")
    outputs, margins = [], []
    for index, module in enumerate(network.modules, 1):
        margins.append(_margin(build, features, module, index))
        features = _module(build, features, margins[-1], module, index, form)
        outputs.append(features)
    joined = build.add("Concat", outputs, "all_features", axis=1)
    matrix = np.concatenate(network.collect_parts).T[:, :, None, None]
    collected = build.conv(joined, Convolution(np.ascontiguousarray(matrix), network.collect_bias), "collect.0")
    hidden = build.add("Relu", [collected], "collect.1")
    deep = build.add("Add", [build.conv(hidden, network.collect, "collect.2"), start], "deep_features")
    residual = build.conv(deep, network.tail, "tail")
    pads = build.integers([0, 0, 2, 2, 0, 0, 2, 2], "bicubic_pads")
    edges = build.add("Pad", ["image", pads], "image_padded", mode="edge")
    bicubic = build.add("Conv", [edges, build.constant(network.bicubic, "bicubic.weight")], "bicubic")
    total = build.add("Add", [residual, bicubic], "phases")
    build.add("DepthToSpace", [total], "upscaled", blocksize=network.scale, mode="CRD")
    return margins


def _margin(build: GraphBuilder, features: str, module: FoldedModule, index: int) -> str:
    name = f"module_{index}.mask"
    full = build.add("Relu", [build.conv(features, module.branch.full, f"{name}.full")], f"{name}.full_relu")
    padded = build.add(
        "Pad", [full, build.integers([0, 0, 0, 0, 0, 0, 1, 1], "pool_pads")], f"{name}.padded", mode="edge"
    )
    pooled = build.add("AveragePool", [padded], f"{name}.pooled", kernel_shape=[2, 2], strides=[2, 2])
    half = build.add("Relu", [build.conv(pooled, module.branch.half, f"{name}.half")], f"{name}.half_relu")
    phases = build.conv(half, module.branch.phases, f"{name}.phases", pads=[0, 0, 1, 1])
    margin = build.add("DepthToSpace", [phases], f"{name}.uncropped", blocksize=2, mode="CRD")
    size = build.add("Shape", ["image"], f"{name}.size", start=2, end=4)
    starts, axes = build.integers([0, 0], "crop_starts"), build.integers([2, 3], "crop_axes")
    return build.add("Slice", [margin, starts, size, axes], f"margin_{index}")


def _module(build: GraphBuilder, features: str, margin: str, module: FoldedModule, index: int, form: str) -> str:
    name = f"module_{index}"
    channels = module.conv_weights.shape[-1]
    active = build.add("Greater", [margin, build.constant(np.zeros((), np.float32), "zero")], f"{name}.active")
    if form != "where":
        active = build.add("Cast", [active], f"{name}.mask_float", to=TensorProto.FLOAT)
    x, outputs = features, []
    for layer, (packed, dense) in enumerate(zip(module.conv_weights, module.dense_channels, strict=True)):
        weight = packed.reshape(3, 3, channels, channels).transpose(3, 2, 0, 1)
        no_bias = np.zeros(channels, np.float32)
        label = f"{name}.layer_{layer}"
        y = build.add(
            "Relu", [build.conv(x, Convolution(np.ascontiguousarray(weight), no_bias), label)], f"{label}.relu"
        )
        x = _masked(build, y, active, dense, channels, label, form)
        outputs.append(x)
    joined = build.add("Concat", outputs, f"{name}.all", axis=1)
    collect = np.ascontiguousarray(module.collect_weight.T[:, :, None, None])
    collected = build.conv(joined, Convolution(collect, module.collect_bias), f"{name}.collect")
    pooled = build.add("GlobalAveragePool", [collected], f"{name}.mean")
    squeeze = Convolution(np.ascontiguousarray(module.squeeze_weight.T[:, :, None, None]), module.squeeze_bias)
    excite = Convolution(np.ascontiguousarray(module.excite_weight.T[:, :, None, None]), module.excite_bias)
    squeezed = build.add("Relu", [build.conv(pooled, squeeze, f"{name}.squeeze")], f"{name}.squeeze_relu")
    scale = build.add("Sigmoid", [build.conv(squeezed, excite, f"{name}.excite")], f"{name}.scale")
    return build.add("Add", [build.add("Mul", [collected, scale], f"{name}.scaled"), features], f"features_{index}")


def _masked(build: GraphBuilder, y: str, active: str, dense: int, channels: int, label: str, form: str) -> str:
    """Zeroes channels from `dense` on where the pixel is not active."""
    if form == "split" and 0 < dense < channels:
        sizes = build.integers([dense, channels - dense], f"{label}.sizes")
        names = [f"{label}.dense", f"{label}.sparse"]
        build.nodes.append(helper.make_node("Split", [y, sizes], names, name=f"{label}/Split", axis=1))
        masked = build.add("Mul", [names[1], active], f"{label}.sparse_masked")
        return build.add("Concat", [names[0], masked], f"{label}.masked", axis=1)
    is_dense = (np.arange(channels) < dense).reshape(1, channels, 1, 1)
    if form == "where":
        gate = (
            build.add("Or", [active, build.constant(is_dense, f"{label}.dense")], f"{label}.gate") if dense else active
        )
        return build.add("Where", [gate, y, build.constant(np.zeros((), np.float32), "zero")], f"{label}.masked")
    if not dense:
        return build.add("Mul", [y, active], f"{label}.masked")
    gate = build.add("Max", [active, build.constant(is_dense.astype(np.float32), f"{label}.dense")], f"{label}.gate")
    return build.add("Mul", [y, gate], f"{label}.masked")
