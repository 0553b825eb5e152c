"""One-node models of the operator and a way to run any model, with the native library or without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from smsr import contract, reference
from smsr_export.model_file import IR_VERSION
from smsr_export.op_function import OPSET, module_function
from smsr_export.parity.pictures import Picture
from smsr_export.sample import sample_picture
from tests.helpers import relative_difference

FEW_PIXELS = [Picture("tiny", sample_picture(15, 22))]
"""For exports whose parity is not what the test is about."""


def operator_model(
    inputs: reference.ModuleInputs,
    dense: Sequence[int],
    layout: str = "NHWC",
    compute: str = "float32",
    function: bool = True,
    weights_as_inputs: bool = False,
) -> onnx.ModelProto:
    """features, margin, theta (and the weights) -> next_features through one operator node."""
    operator = contract.SPARSE_MASK_MODULE
    names = [tensor.name for tensor in operator.inputs]
    arrays = dict(zip(names, inputs.arrays(), strict=True))
    fed = names if weights_as_inputs else names[:3]
    size = ["N", "H", "W", "C"] if layout == "NHWC" else ["N", "C", "H", "W"]
    shapes: dict[str, Any] = {"features": size, "margin": ["N", 1, "H", "W"], "theta": []}
    node = helper.make_node(
        operator.name, names, ["next_features"], domain=contract.DOMAIN,
        dense_channels=list(dense), layout=layout, compute=compute,
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "operator",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes.get(name, list(arrays[name].shape)))
            for name in fed
        ],
        [helper.make_tensor_value_info("next_features", TensorProto.FLOAT, size)],
        [numpy_helper.from_array(arrays[name], name) for name in names if name not in fed],
    )
    return helper.make_model(
        graph,
        functions=[module_function(len(dense), layout)] if function else [],
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(contract.DOMAIN, contract.OPERATOR_VERSION)],
        ir_version=IR_VERSION,
    )


def session(model: onnx.ModelProto | Path, library: Path | None = None, threads: int = 1) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    if library:
        options.register_custom_ops_library(str(library))
    content = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_operator(
    inputs: reference.ModuleInputs,
    dense: Sequence[int],
    library: Path | None = None,
    threads: int = 1,
    layout: str = "NHWC",
    compute: str = "float32",
    weights_as_inputs: bool = False,
) -> np.ndarray:
    """The operator in ONNX Runtime: by the library alone where one is given, else by its function body alone."""
    model = operator_model(inputs, dense, layout, compute, library is None, weights_as_inputs)
    names = [tensor.name for tensor in contract.SPARSE_MASK_MODULE.inputs]
    feeds = dict(zip(names, inputs.arrays(), strict=True))
    if layout == "NCHW":
        feeds["features"] = np.ascontiguousarray(feeds["features"].transpose(0, 3, 1, 2))
    if not weights_as_inputs:
        feeds = {name: feeds[name] for name in names[:3]}
    output: np.ndarray = session(model, library, threads).run(None, feeds)[0]
    return output.transpose(0, 2, 3, 1) if layout == "NCHW" else output


def operator_difference(output: np.ndarray, inputs: reference.ModuleInputs, dense: Sequence[int]) -> float:
    """As the contract measures it: against the float64 reference, relative to the largest |result - features|."""
    expected = reference.sparse_mask_module(inputs, dense)
    features = inputs.features.astype(np.float64)
    return relative_difference(output - features, expected - features)
