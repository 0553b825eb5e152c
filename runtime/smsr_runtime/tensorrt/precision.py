"""Checks that an engine computes in the precision asked for; one that does not is refused.

Strongly typed TensorRT (9 and later) keeps the model's types, so the parsed network is checked. In TensorRT 8 types
are hints: the float32 ends are pinned, and the built engine's inspector shows what type its plugins read.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from smsr_runtime.errors import BackendError, reason
from smsr_runtime.tensorrt.log import opened
from smsr_runtime.tensorrt.plugin import NAME

FLOAT32_NODES = ("centred/Sub", "image_padded/Pad", "bicubic/Conv", "phases/Add", "upscaled/DepthToSpace")
"""Nodes of model.trt.onnx that compute in float32 in either precision; the exporter takes the names from here."""
_HALF_WORDS = ("FP16", "Half")
"""How TensorRT's inspector writes float16: the first in 8.x, the second in later versions."""
_TODO = "report this with the TensorRT version; --precision fp32 exports a bundle that needs no fp16"


def check_strongly_typed(trt: Any, network: Any, model: Path, precision: str) -> None:
    """Raises BackendError where a module's features would reach its plugin in another type, or there is no plugin."""
    expected = trt.float16 if precision == "fp16" else trt.float32
    modules = [layer for layer in _layers(network) if _is_module(layer.name)]
    if not modules:
        raise BackendError(model, f"layers named {NAME} in the network", "none", _TODO)
    for layer in modules:
        features = layer.get_input(0)
        if features is not None and features.dtype != expected:
            raise BackendError(f"{model}, {layer.name}", f"features in {expected}", str(features.dtype), _TODO)


def pin_float32_ends(trt: Any, network: Any) -> None:
    """With OBEY_PRECISION_CONSTRAINTS: the layers of FLOAT32_NODES compute and give float32.

    The parser makes two shuffles of DepthToSpace and names only the first after its node; the last one is recognised by
    its output, `upscaled`.
    """
    for layer in _layers(network):
        if layer.name.startswith(FLOAT32_NODES) or _gives(layer, "upscaled"):
            floats = [i for i in range(layer.num_outputs) if layer.get_output(i).dtype == trt.float32]
            if floats:  # not the layers that compute sizes, in integers: float32 there fails the build
                layer.precision = trt.float32
            for index in floats:
                layer.set_output_type(index, trt.float32)


def check_weakly_typed(trt: Any, logger: Any, data: bytes, model: Path, precision: str) -> None:
    """Raises BackendError where a plugin of the engine reads another type than `precision`, or shows none."""
    engine = opened(trt.Runtime, logger, logger.target).deserialize_cuda_engine(data)
    if engine is None:
        raise BackendError(model, "an engine this TensorRT can read back", "none", _TODO)
    inspector = engine.create_engine_inspector()
    layers = [inspector.get_layer_information(i, trt.LayerInformationFormat.JSON) for i in range(engine.num_layers)]
    del inspector  # ahead of its engine, which it does not keep alive in 8.5
    try:
        formats = plugin_formats(layers)
    except ValueError as error:
        raise BackendError(model, "an inspector that writes JSON", reason(error), _TODO) from error
    if not formats:
        raise BackendError(model, f"layers named {NAME} in the engine", "none that the inspector shows", _TODO)
    for name, features in formats.items():
        if any(word in features for word in _HALF_WORDS) != (precision == "fp16"):
            raise BackendError(f"{model}, {name}", f"features in {precision}", features, _TODO)


def plugin_formats(layers: list[str]) -> dict[str, str]:
    """Layer name -> "Format/Datatype" of its first input, for our plugins, from the inspector's JSON texts.

    Raises ValueError for a text that is not JSON.
    """
    formats = {}
    for record in map(json.loads, layers):
        if isinstance(record, dict) and _is_module(str(record.get("Name", ""))) and record.get("Inputs"):
            formats[str(record["Name"])] = str(record["Inputs"][0].get("Format/Datatype", ""))
    return formats


def _is_module(name: str) -> bool:
    """False for "Reformatting CopyNode for Input Tensor 0 to features_1/SparseMaskModule", which TensorRT 8 inserts."""
    return re.fullmatch(rf"\S+/{NAME}", name) is not None


def _gives(layer: Any, name: str) -> bool:
    return any(layer.get_output(index).name == name for index in range(layer.num_outputs))


def _layers(network: Any) -> list[Any]:
    return [network.get_layer(index) for index in range(network.num_layers)]
