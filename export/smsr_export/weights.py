"""The folded network of a bundle, read back from its ONNX file: what every rival is built from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from smsr import contract
from smsr_export.packing import unpack, unpack_branch
from smsr_export.records import Convolution, FoldedModule, FoldedNetwork
from smsr_runtime.errors import DataError


def read_folded(model_file: Path) -> FoldedNetwork:
    """Inverse of `smsr_export.onnx_model.build_model`. Raises DataError for another model."""
    try:
        model = onnx.load(model_file)
        tensors = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        scale = int({item.key: item.value for item in model.metadata_props}["smsr.scale"])
        nodes = [node for node in model.graph.node if node.op_type == contract.SPARSE_MASK_MODULE.name]
        return _network(tensors, scale, [_dense_channels(node) for node in nodes])
    except Exception as error:  # damaged bytes, and other models, make protobuf and this code raise nearly anything
        got = f"{type(error).__name__}: {error}"
        raise DataError(model_file, "a model made by smsr-export", got, "export the checkpoint again") from error


def _dense_channels(node: onnx.NodeProto) -> tuple[int, ...]:
    return next(tuple(a.ints) for a in node.attribute if a.name == "dense_channels")


def _network(tensors: dict[str, Any], scale: int, counts: list[tuple[int, ...]]) -> FoldedNetwork:
    features = len(tensors["collect.2.bias"])

    def conv(name: str, inputs: int = features, outputs: int = features) -> Convolution:
        return unpack(tensors[f"{name}.weight"], tensors[f"{name}.bias"], inputs, outputs)

    def module(index: int) -> FoldedModule:
        name = f"module_{index}"
        branch = {tensor.name: tensors[f"{name}.mask.{tensor.name}"] for tensor in contract.MASK_BRANCH.inputs[1:]}
        packed = {tensor.name: tensors[f"{name}.{tensor.name}"] for tensor in contract.SPARSE_MASK_MODULE.inputs[3:]}
        return FoldedModule(branch=unpack_branch(branch, features), dense_channels=counts[index - 1], **packed)

    numbers = range(1, len(counts) + 1)
    return FoldedNetwork(
        scale=scale,
        mean=np.reshape(tensors["mean"], 3),
        head=(conv("head.0", inputs=3), conv("head.2")),
        modules=tuple(module(index) for index in numbers),
        collect_parts=tuple(tensors[f"collect.0_{index}.weight"][0] for index in numbers),
        collect_bias=tensors["collect.0_1.bias"],
        collect=conv("collect.2"),
        tail=conv("tail", outputs=3 * scale**2),
        bicubic=tensors["bicubic.weight"],
    )
