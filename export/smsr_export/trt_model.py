"""Builds `model.trt.onnx` of DESIGN 4: N C H W, the sparse mask modules as TensorRT plugins, the rest standard.

    image (float32) - mean -> [ type T: head, mask branches, modules, collect, tail ] -> float32: + bicubic -> upscaled

T is float16 or float32. Casts stand at every border: a strongly typed parser refuses mixed types. The two ends stay
float32, since rounding the image, the bicubic path or the last sum to float16 would cost quality and save nothing.
Only operators, attributes and types that the parsers of TensorRT 8.5 to 11 all read.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import numpy as np
import onnx
from onnx import TensorProto

from smsr import contract
from smsr_export.graph import Array, FoldedModule, FoldedNetwork
from smsr_export.onnx_model import check_dense_channels, finished_model
from smsr_export.op_function import module_function
from smsr_export.standard import GraphBuilder, add_bicubic, add_margin
from smsr_runtime.errors import ExportError

PLUGIN_VERSION, PLUGIN_NAMESPACE = "1", "smsr"
FLOAT32_NODES = ("centred/Sub", "image_padded/Pad", "bicubic/Conv", "phases/Add", "upscaled/DepthToSpace")
"""The float32 ends by node name; the runtime holds weakly typed TensorRT 8 to them (a test compares)."""
_ELEMENT = {"float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT}

MAX_LAYERS, MAX_CHANNELS = 8, 128
"""What the CUDA core takes (SMSR_CUDA_MAX_* of plugins/kernels/cuda/sparse_mask_module_cuda.h; a test compares)."""

Record = TypeVar("Record")


def build_trt_model(network: FoldedNetwork, precision: str, functions: bool = False) -> onnx.ModelProto:
    """image, theta (required) -> upscaled, margin_1 .. margin_K, all float32.

    precision: one of tensorrt_engine.PRECISIONS.
    functions: with the module's definition as a model-local function, which runs in any ONNX runtime and makes an
    engine without plugins. The shipped file has none: TensorRT 9.0 to 10.6 would prefer it to the plugin.
    Raises ExportError where a weight has no place in T, or the network is larger than the plugin takes.
    """
    _check_limits(network)
    compute = contract.COMPUTE_OF_PRECISION[precision]
    build = GraphBuilder()
    margins = _network(build, _inside(network, compute), compute)
    module = [module_function(network.layers, "NCHW", plugin=True)] if functions else []
    return finished_model(build, margins, network.scale, module)


def _check_limits(network: FoldedNetwork) -> None:
    for what, found, most in (("features", network.features, MAX_CHANNELS), ("layers", network.layers, MAX_LAYERS)):
        if found > most:
            raise ExportError("--target trt", f"at most {most} {what}", str(found), "use --target onnx")


def _inside(network: FoldedNetwork, compute: str) -> FoldedNetwork:
    """The network with all weights in T, but for the float32 ends."""
    inside = _typed(network, np.dtype(compute), "")
    return dataclasses.replace(inside, mean=network.mean, bicubic=network.bicubic)


def _typed(value: Record, dtype: np.dtype[np.floating], name: str) -> Record:
    """A record of arrays, records and tuples of both, with every array in `dtype`."""
    if isinstance(value, np.ndarray):
        return _rounded(value, dtype, name)  # type: ignore[return-value]
    if isinstance(value, tuple):
        return tuple(_typed(item, dtype, f"{name}[{index}]") for index, item in enumerate(value))  # type: ignore[return-value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {
            field.name: _typed(getattr(value, field.name), dtype, f"{name}.{field.name}".lstrip("."))
            for field in dataclasses.fields(value)
        }
        return dataclasses.replace(value, **parts)
    return value


def _rounded(array: Array, dtype: np.dtype[np.floating], name: str) -> Array:
    with np.errstate(over="ignore"):
        rounded = array.astype(dtype)
    if not np.isfinite(rounded).all():
        largest = float(np.abs(array).max())
        limit = float(np.finfo(dtype).max)
        raise ExportError(name, f"weights up to {limit:g} for {dtype}", f"{largest:g}", "export with --precision fp32")
    return rounded


def _network(build: GraphBuilder, network: FoldedNetwork, compute: str) -> list[str]:
    """Adds the whole network; returns the names of the float32 margins."""
    centred = build.add("Sub", ["image", build.constant(network.mean.reshape(1, 3, 1, 1), "mean")], "centred")
    theta = _cast(build, "theta", "theta_inside", compute)
    pixels = _cast(build, centred, "pixels", compute)
    hidden = build.add("Relu", [build.conv(pixels, network.head[0], "head.0")], "head.1")
    features = start = build.conv(hidden, network.head[1], "head.2")
    collected, margins = "", []
    for index, (module, part) in enumerate(zip(network.modules, network.collect_parts, strict=True), 1):
        margin = add_margin(build, features, module.branch, index, f"margin_{index}_inside")
        margins.append(_cast(build, margin, f"margin_{index}", "float32"))
        features = _sparse_mask_module(build, [features, margin, theta], module, index, compute)
        collected = _collect(build, network, features, part, collected, index)
    hidden = build.add("Relu", [collected], "collect.1")
    deep = build.add("Add", [build.conv(hidden, network.collect, "collect.2"), start], "deep")
    residual = _cast(build, build.conv(deep, network.tail, "tail"), "residual", "float32")
    add_bicubic(build, network, residual)
    return margins


def _cast(build: GraphBuilder, x: str, name: str, compute: str) -> str:
    """A Cast even where the types agree: a network output needs a node of its own, and parsers drop empty ones."""
    return build.add("Cast", [x], name, to=_ELEMENT[compute])


def _sparse_mask_module(build: GraphBuilder, inputs: list[str], module: FoldedModule, index: int, compute: str) -> str:
    """The plugin's node: name, version and namespace find its creator, the rest are its fields."""
    operator = contract.SPARSE_MASK_MODULE
    weights = [
        build.constant(getattr(module, tensor.name), f"module_{index}.{tensor.name}") for tensor in operator.inputs[3:]
    ]
    return build.add(
        operator.name, [*inputs, *weights], f"features_{index}", domain=contract.DOMAIN,
        plugin_version=PLUGIN_VERSION, plugin_namespace=PLUGIN_NAMESPACE, layout="NCHW", compute=compute,
        dense_channels=check_dense_channels(module.dense_channels, module.conv_weights.shape[-1]),
    )  # fmt: skip


def _collect(
    build: GraphBuilder, network: FoldedNetwork, features: str, part: Array, collected: str, index: int
) -> str:
    """Adds module `index`'s 1x1 to the running sum; the first one brings the bias (fold.fold_collect)."""
    name = f"collect.0_{index}"
    weight = build.constant(np.ascontiguousarray(part.T)[:, :, None, None], f"{name}.weight")
    inputs = [features, weight]
    if not collected:
        return build.add("Conv", [*inputs, build.constant(network.collect_bias, "collect.0.bias")], name)
    return build.add("Add", [build.add("Conv", inputs, f"{name}.own"), collected], name)
