"""The model file around a graph: versions, descriptions, functions, metadata; checked."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import helper

from smsr import contract
from smsr_export.onnx_graph import OnnxGraph
from smsr_export.op_function import OPSET

IR_VERSION = 8
"""The oldest with model-local functions: read by every ONNX Runtime since 1.10."""
_DESCRIPTIONS = {
    "image": "RGB, 0..255",
    "theta": "a pixel is active where margin > theta",
    "upscaled": "RGB, about 0..255, not clamped",
}


def model_of(graph: OnnxGraph, scale: int, functions: Sequence[onnx.FunctionProto]) -> onnx.ModelProto:
    """The model of a graph as `network_graph.build_graph` makes it."""
    proto = graph.exported()
    for value in [*proto.input, *proto.output]:
        if value.name in _DESCRIPTIONS:
            value.doc_string = _DESCRIPTIONS[value.name]
    model = helper.make_model(
        proto,
        functions=functions,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(contract.DOMAIN, contract.OPERATOR_VERSION)],
        ir_version=IR_VERSION,
        producer_name="smsr-export",
    )
    facts = {"smsr.interface_hash": contract.interface_hash(), "smsr.scale": str(scale)}
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model, full_check=True)
    return model
