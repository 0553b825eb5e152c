"""What a stand-in's parser, builder and runtime make of a model, and in which words they refuse one.

The parser's words were recorded from TensorRT-RTX 1.7.1's own parser, the runtime's from the lean runtime 10.16.1; both
run without a GPU as far as that. An engine runs its model in ONNX Runtime, in the types that TensorRT would have used.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from smsr import contract
from smsr_runtime.tensorrt.plugin import NAME, NAMESPACE, VERSION

NO_FILE = (
    "Assertion failed: stat(onnxModelFile, &sb) == 0 && S_ISREG(sb.st_mode): "
    "Input file cannot be found, or is not a regular file: "
)
NO_MODEL = "Assertion failed: model->ParseFromCodedStream(&codedInput): Failed to parse the ONNX model."
NO_PLUGIN = 'creator && "Plugin not found, are the plugin name, version, and namespace correct?"'
Plugin = tuple[str, str, str]
"""Name, version and namespace of a creator."""


class RefusedError(Exception):
    """TensorRT's words."""


def tensorrt_model(bundle: Path, source: Path, features: int = TensorProto.FLOAT16) -> None:
    """Gives a bundle a model.trt.onnx: that of `source`, its picture passed through one plugin node in this type.

    The stand-in's plugin gives what it gets, so that a result shows the type in which features were.
    """
    model = onnx.load(source)
    (resize,) = [node for node in model.graph.node if node.op_type == "Resize"]
    plugin = helper.make_node(
        NAME, ["inside"], ["features_1"], f"features_1/{NAME}", domain=contract.DOMAIN,
        plugin_version=VERSION, plugin_namespace=NAMESPACE, dense_channels=[0], layout="NCHW", compute="float32",
    )  # fmt: skip
    place = list(model.graph.node).index(resize)
    model.graph.node.insert(place, helper.make_node("Cast", ["features_1"], ["outside"], to=TensorProto.FLOAT))
    model.graph.node.insert(place, plugin)
    model.graph.node.insert(place, helper.make_node("Cast", [resize.input[0]], ["inside"], to=features))
    resize.input[0] = "outside"
    model.opset_import.append(helper.make_opsetid(contract.DOMAIN, contract.OPERATOR_VERSION))
    onnx.save(model, bundle / "model.trt.onnx")


def parse(path: str, registered: Callable[[Plugin], bool]) -> onnx.ModelProto:
    """The model of a file. Raises RefusedError for what the parser refuses."""
    if not Path(path).is_file():
        raise RefusedError(NO_FILE + path)
    try:
        model = onnx.load(path)
    except Exception as error:  # DecodeError of protobuf, whose package has no types
        if type(error).__name__ != "DecodeError":
            raise
        raise RefusedError(NO_MODEL) from error
    standard = onnx.defs.has
    for node in model.graph.node:
        if not standard(node.op_type, node.domain) and not registered(plugin_of(node)):
            raise RefusedError(NO_PLUGIN)
    return model


def plugin_of(node: onnx.NodeProto) -> Plugin:
    """What the parser looks for in the registry; the node's domain does not matter."""
    given = {attribute.name: attribute.s.decode() for attribute in node.attribute}
    return node.op_type, given.get("plugin_version", "1"), given.get("plugin_namespace", "")


def plugins_of(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == NAME]


def features_type(model: onnx.ModelProto) -> str:
    """Of the plugins' first input, as a strongly typed network keeps it: float16 or float32."""
    known = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    kinds = {known[node.input[0]] for node in plugins_of(model) if node.input[0] in known}
    return "float16" if TensorProto.FLOAT16 in kinds else "float32"


@dataclass(frozen=True)
class Plan:
    """What a plan holds, and is refused for."""

    tensorrt: str
    capability: str
    shapes: list[list[int]]
    half: bool
    model: bytes

    def serialized(self) -> bytes:
        return json.dumps({**vars(self), "model": base64.b64encode(self.model).decode()}).encode()


def read_plan(data: bytes, tensorrt: str, capability: str, registered: Callable[[Plugin], bool]) -> Plan:
    """Raises RefusedError for what the runtime refuses, in its order."""
    try:
        facts = json.loads(data)
        plan = Plan(**{**facts, "model": base64.b64decode(facts["model"])})
    except (ValueError, TypeError, KeyError) as error:
        raise RefusedError("Error Code 1: Serialization (Magic tag does not match)") from error
    if plan.tensorrt != tensorrt:
        words = "The engine plan file is not compatible with this version of TensorRT, expecting library version"
        raise RefusedError(f"{words} {tensorrt} got {plan.tensorrt}, please rebuild.")
    if plan.capability != capability:
        words = "The engine plan file is generated on an incompatible device, expecting compute"
        raise RefusedError(f"{words} {capability} got compute {plan.capability}, please rebuild.")
    for node in plugins_of(onnx.load_from_string(plan.model)):
        name, version, namespace = plugin_of(node)
        if not registered((name, version, namespace)):
            words = f"Cannot find plugin: {name}, version: {version}, namespace: {namespace}."
            raise RefusedError(f"IPluginRegistry::getCreator: Error Code 4: API Usage Error ({words})")
    return plan


class Execution:
    """A plan's model in ONNX Runtime: float16 inside where the plan is in half precision, else float32 everywhere.

    A plugin without a function in the model gives what it gets.
    """

    def __init__(self, plan: Plan) -> None:
        model = onnx.load_from_string(plan.model)
        for node in model.graph.node:
            if node.op_type == "Cast" and not plan.half:  # TensorRT 8 takes the model's types for hints
                for attribute in node.attribute:
                    attribute.i = TensorProto.FLOAT if attribute.i == TensorProto.FLOAT16 else attribute.i
        if not model.functions:
            names = ["dense_channels", "layout", "compute", "plugin_version", "plugin_namespace"]
            body = [helper.make_node("Identity", ["features"], ["next_features"])]
            ends, opset = (["features"], ["next_features"]), [helper.make_opsetid("", 17)]
            model.functions.append(helper.make_function(contract.DOMAIN, NAME, *ends, body, opset, names))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        content = model.SerializeToString()
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self._session.get_outputs()]
        self._shapes: dict[tuple[int, ...], dict[str, tuple[int, ...]]] = {}

    def run(self, image: np.ndarray, theta: np.ndarray) -> dict[str, np.ndarray]:
        given: list[Any] = self._session.run(self.outputs, {"image": image, "theta": theta})
        return dict(zip(self.outputs, given, strict=True))

    def shapes(self, image: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Of the outputs, for a picture of this shape."""
        if image not in self._shapes:
            given = self.run(np.zeros(image, np.float32), np.zeros((), np.float32))
            self._shapes[image] = {name: output.shape for name, output in given.items()}
        return self._shapes[image]
