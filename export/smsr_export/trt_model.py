"""Builds `model.trt.onnx`: N C H W, the sparse mask modules as TensorRT plugins, the rest standard.

    image (float32) - mean -> [ type T: head, mask branches, modules, collect, tail ] -> float32: + bicubic -> upscaled

T is float16 or float32. The float32 graph of `standard.StandardParts` is rewritten: plugin nodes take the place of the
operator's, weights become T, and Casts stand at every border, because a strongly typed parser refuses mixed types. The
two ends stay float32: rounding the image, the bicubic path or the last sum to float16 would cost quality and save
nothing. Only operators, attributes and types that the parsers of TensorRT 8.5 to 11 all read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from smsr import contract
from smsr_export.model_file import model_of
from smsr_export.network_graph import build_graph
from smsr_export.onnx_graph import make_node
from smsr_export.op_function import branch_function, module_function
from smsr_export.packing import pack_branch
from smsr_export.records import FoldedBranch, FoldedNetwork
from smsr_export.standard import StandardParts
from smsr_runtime.errors import ExportError
from smsr_runtime.tensorrt import plugin
from smsr_runtime.tensorrt.precision import FLOAT32_NODES


@dataclass
class _BranchParts(StandardParts):
    """The mask branches as plugins, too."""

    def margin(self, features: gs.Tensor, branch: FoldedBranch, index: int) -> gs.Tensor:
        weights = [
            self.graph.constant(value, f"module_{index}.mask.{name}") for name, value in pack_branch(branch).items()
        ]
        name = contract.MASK_BRANCH.name
        return self.graph.add(name, [features, *weights], f"margin_{index}", contract.DOMAIN, layout="NCHW")


def build_trt_model(
    network: FoldedNetwork,
    precision: str,
    *,
    functions: bool = False,
    branch_plugin: bool = False,
    half_bicubic: bool = False,
) -> onnx.ModelProto:
    """image, theta (required) -> upscaled, margin_1 .. margin_K, all float32.

    precision: one of tensorrt_engine.PRECISIONS.
    functions: with the module's definition as a model-local function, which runs in any ONNX runtime and makes an
    engine without plugins. The shipped file has none: TensorRT 9.0 to 10.6 would prefer it to the plugin.
    branch_plugin: the mask branches as nodes of the plugin MaskBranch instead of standard layers. fp16 only; not
    the default, because no GPU has measured it yet.
    half_bicubic: with fp16, the bicubic path (164 us in float32 at 1280x720) in float16, too, up to the last sum; wrong
    by less than a quarter of one of 255 levels. Only benchmarks ask for it, until a GPU has measured it.
    Raises ExportError where a weight is too large for T, or the network is larger than the plugin takes.
    """
    _check_limits(network)
    compute = contract.COMPUTE_OF_PRECISION[precision]
    if branch_plugin and precision != "fp16":
        raise ExportError("mask branch as a plugin", "precision fp16", precision, "leave the plugin out")
    built = build_graph(network, _BranchParts() if branch_plugin else StandardParts())
    if half_bicubic:
        _rename_bicubic(built.graph)
    _put_plugins(built.graph, compute)
    _round_weights(built.graph, np.dtype(compute))
    _put_casts(built.graph, np.dtype(compute))
    if half_bicubic:
        _put_bicubic_casts(built.graph, np.dtype(compute))
    bodies = [module_function(network.layers, "NCHW", plugin=True)] if functions else []
    if functions and branch_plugin:
        bodies.append(branch_function("NCHW", plugin=True))
    return model_of(built, network.scale, bodies)


def _check_limits(network: FoldedNetwork) -> None:
    for what, number, most in (
        ("features", network.features, contract.TENSORRT_MAX_CHANNELS),
        ("layers", network.layers, contract.TENSORRT_MAX_LAYERS),
    ):
        if number > most:
            raise ExportError("--target trt", f"at most {most} {what}", str(number), "use --target onnx")


def _put_plugins(graph: gs.Graph, compute: str) -> None:
    """The operator's nodes name the plugin: version and namespace find its creator, the rest are its fields."""
    fields = {"plugin_version": plugin.VERSION, "plugin_namespace": plugin.NAMESPACE, "compute": compute}
    for node in graph.nodes:
        if node.domain == contract.DOMAIN:
            node.attrs = dict(sorted({**node.attrs, **fields}.items()))


def _round_weights(graph: gs.Graph, dtype: np.dtype[np.floating]) -> None:
    """All floating-point constants become `dtype`, except those of the float32 ends."""
    for node in graph.nodes:
        for tensor in node.inputs:
            if isinstance(tensor, gs.Constant) and tensor.dtype == np.float32 and node.name not in FLOAT32_NODES:
                tensor.values = rounded(tensor.values, dtype, tensor.name)


def rounded(array: NDArray[np.float32], dtype: np.dtype[np.floating], name: str) -> NDArray[np.floating]:
    """The constant `name` in `dtype`. Raises ExportError where a value is too large for it."""
    with np.errstate(over="ignore"):
        result = array.astype(dtype)
    if not np.isfinite(result).all():
        largest = float(np.abs(array).max())
        limit = float(np.finfo(dtype).max)
        raise ExportError(name, f"weights up to {limit:g} for {dtype}", f"{largest:g}", "export with --precision fp32")
    return result


def _put_casts(graph: gs.Graph, dtype: np.dtype[np.floating]) -> None:
    """Casts between the float32 ends and the nodes in `dtype`.

    Also where the types agree: a network output needs a node of its own, and parsers drop empty ones.
    """
    tensors = graph.tensors()
    centred, theta, tail = tensors["centred"], tensors["theta"], tensors["tail"]
    cast_for_readers(graph, centred, "pixels", dtype, behind=centred.inputs[0])
    cast_for_readers(graph, theta, "theta_inside", dtype, behind=centred.inputs[0])
    cast_for_readers(graph, tail, "residual", np.dtype(np.float32), behind=tail.inputs[0])
    graph.outputs = [graph.outputs[0], *(cast_output(graph, margin) for margin in graph.outputs[1:])]


def _rename_bicubic(graph: gs.Graph) -> None:
    """Away from FLOAT32_NODES, whose weights stay float32 and which the runtime pins."""
    for tensor in ("image_padded", "bicubic"):
        (node,) = graph.tensors()[tensor].inputs
        node.name = f"half_{node.name}"


def _put_bicubic_casts(graph: gs.Graph, dtype: np.dtype[np.floating]) -> None:
    """Integers up to 255 are exact in float16, the sums of 25 of them are rounded to an eighth at most."""
    tensors = graph.tensors()
    (pad,) = tensors["image_padded"].inputs
    pad.inputs[0] = _insert_cast(graph, pad.inputs[0], "image_inside", dtype, behind=None)
    bicubic = tensors["bicubic"]
    cast_for_readers(graph, bicubic, "bicubic_outside", np.dtype(np.float32), behind=bicubic.inputs[0])


def cast_for_readers(
    graph: gs.Graph, tensor: gs.Tensor, name: str, dtype: np.dtype[np.floating], *, behind: gs.Node | None
) -> None:
    """All nodes that read `tensor` read `name` instead, its Cast to `dtype`. behind: its place; None: the first."""
    readers = list(tensor.outputs)
    cast = _insert_cast(graph, tensor, name, dtype, behind)
    for node in readers:
        node.inputs[list(node.inputs).index(tensor)] = cast


def cast_output(graph: gs.Graph, output: gs.Variable) -> gs.Variable:
    """Cast to float32 under the output's name; nodes that read it still read the same tensor, now {name}_inside."""
    (node,), name, shape = output.inputs, output.name, output.shape
    output.name, output.dtype, output.shape = f"{name}_inside", None, None
    node.name = f"{output.name}/{node.op}"
    cast = _insert_cast(graph, output, name, np.dtype(np.float32), behind=node)
    cast.dtype, cast.shape = np.float32, shape
    return cast


def _insert_cast(
    graph: gs.Graph, tensor: gs.Tensor, name: str, dtype: np.dtype[np.floating], behind: gs.Node | None
) -> gs.Variable:
    cast = make_node("Cast", [tensor], name, to=int(onnx.helper.np_dtype_to_tensor_dtype(dtype)))
    graph.nodes.insert(0 if behind is None else graph.nodes.index(behind) + 1, cast)
    return cast.outputs[0]
