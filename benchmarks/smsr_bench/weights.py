"""The folded network of a bundle, read back from its ONNX file: what every rival is built from."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from smsr import contract
from smsr.errors import DataError
from smsr_export.graph import Convolution, FoldedBranch, FoldedModule, FoldedNetwork


def read_folded(model_file: Path) -> FoldedNetwork:
    """Inverse of `smsr_export.onnx_model.build_model`. Raises DataError for another model."""
    try:
        model = onnx.load(model_file)
        found = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        scale = int({item.key: item.value for item in model.metadata_props}["smsr.scale"])
        nodes = [node for node in model.graph.node if node.op_type == contract.SPARSE_MASK_MODULE.name]
        return _network(found, scale, [_dense_channels(node) for node in nodes])
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            model_file, "a model made by smsr-export", repr(error), "export the checkpoint again"
        ) from error


def _dense_channels(node: onnx.NodeProto) -> tuple[int, ...]:
    return next(tuple(a.ints) for a in node.attribute if a.name == "dense_channels")


def _network(found: dict[str, Any], scale: int, counts: list[tuple[int, ...]]) -> FoldedNetwork:
    def conv(name: str) -> Convolution:
        return Convolution(found[f"{name}.weight"], found[f"{name}.bias"])

    def module(index: int) -> FoldedModule:
        branch = FoldedBranch(*(conv(f"module_{index}.mask.{part.name}") for part in fields(FoldedBranch)))
        packed = {
            tensor.name: found[f"module_{index}.{tensor.name}"] for tensor in contract.SPARSE_MASK_MODULE.inputs[3:]
        }
        return FoldedModule(branch=branch, dense_channels=counts[index - 1], **packed)

    numbers = range(1, len(counts) + 1)
    return FoldedNetwork(
        scale=scale,
        mean=np.reshape(found["mean"], 3),
        head=(conv("head.0"), conv("head.2")),
        modules=tuple(module(index) for index in numbers),
        collect_parts=tuple(found[f"collect.0.weight_{index}"] for index in numbers),
        collect_bias=found["collect.0.bias"],
        collect=conv("collect.2"),
        tail=conv("tail"),
        bicubic=found["bicubic.weight"],
    )
