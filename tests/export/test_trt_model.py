"""model.trt.onnx: its form, and its numbers through the function body in ONNX Runtime, in both precisions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from smsr import contract
from smsr.network import InferenceResult, Network, NetworkConfig
from smsr_export.fold import fold
from smsr_export.freeze import freeze
from smsr_export.op_function import OPSET
from smsr_export.parity.pictures import Picture
from smsr_export.records import FoldedNetwork
from smsr_export.tensorrt_bundle import TensorRtTarget, function_variant, verify_tensorrt
from smsr_export.tensorrt_engine import PRECISIONS
from smsr_export.trt_model import build_trt_model
from smsr_runtime.errors import ExportError
from smsr_runtime.ort.backend import open_session
from smsr_runtime.tensorrt import plugin
from smsr_runtime.tensorrt.precision import FLOAT32_NODES
from tests.helpers import random_image, random_network, relative_difference

BOTH = pytest.mark.parametrize("kind", PRECISIONS)
CLOSE = {"fp32": 2e-6, "fp16": 2e-2}
"""Relative to the largest value; a random network's weights are larger than trained ones."""
READ_SINCE_8_5 = {
    "Sub", "Cast", "Conv", "Relu", "Pad", "AveragePool", "DepthToSpace", "Shape", "Gather", "Slice", "Add",
}  # fmt: skip
"""Operators that docs/operators.md of onnx-tensorrt 8.5 lists as supported for float16 and dynamic sizes."""


@pytest.fixture(scope="module")
def folded(small_network: Network) -> FoldedNetwork:
    return fold(freeze(small_network))


def dimensions(value: onnx.ValueInfoProto) -> list[str | int]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def plugin_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.domain == contract.DOMAIN]


@BOTH
def test_theta_is_required_and_every_input_and_output_is_float32(kind: str, folded: FoldedNetwork) -> None:
    graph = build_trt_model(folded, kind).graph
    assert {value.name: dimensions(value) for value in graph.input} == {"image": ["N", 3, "H", "W"], "theta": []}
    assert "theta" not in {item.name for item in graph.initializer}
    assert [value.name for value in graph.output] == ["upscaled", "margin_1", "margin_2"]
    assert {value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]} == {TensorProto.FLOAT}


@BOTH
def test_the_shipped_file_has_no_function_and_the_variant_has_the_module_s(kind: str, folded: FoldedNetwork) -> None:
    plain, variant = build_trt_model(folded, kind), build_trt_model(folded, kind, functions=True)
    assert not plain.functions
    assert [(one.domain, one.name) for one in variant.functions] == [("smsr", "SparseMaskModule")]
    assert plain.graph == variant.graph


@BOTH
def test_each_module_is_one_plugin_node_as_the_runtime_looks_for_it(kind: str, folded: FoldedNetwork) -> None:
    nodes = plugin_nodes(build_trt_model(folded, kind))
    facts = [{a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} for node in nodes]
    common = {
        "plugin_version": b"1", "plugin_namespace": b"smsr", "layout": b"NCHW",
        "compute": contract.COMPUTE_OF_PRECISION[kind].encode(),
    }  # fmt: skip
    assert facts == [{**common, "dense_channels": [5, 0, 16]}, {**common, "dense_channels": [0, 9, 1]}]
    assert {node.op_type for node in nodes} == {plugin.NAME} == {contract.SPARSE_MASK_MODULE.name}
    assert (plugin.VERSION, plugin.NAMESPACE) == ("1", "smsr")
    assert all(len(node.input) == len(contract.SPARSE_MASK_MODULE.inputs) for node in nodes)


@BOTH
def test_the_plugin_s_inputs_all_have_one_type(kind: str, folded: FoldedNetwork) -> None:
    graph = build_trt_model(folded, kind).graph
    weights = {item.name: item.data_type for item in graph.initializer}
    casts = {node.output[0]: node.attribute[0].i for node in graph.node if node.op_type == "Cast"}
    element = {"fp16": TensorProto.FLOAT16, "fp32": TensorProto.FLOAT}[kind]
    for node in plugin_nodes(build_trt_model(folded, kind)):
        assert {weights[name] for name in node.input[3:]} == {element}
        assert casts[node.input[2]] == element  # theta
    floats = {name: kind for name, kind in weights.items() if kind != TensorProto.INT64}
    assert {name for name, element_type in floats.items() if element_type != element} <= {"mean", "bicubic.weight"}


def test_the_float32_ends_are_float32_and_the_runtime_knows_them(folded: FoldedNetwork) -> None:
    graph = build_trt_model(folded, "fp16").graph
    nodes = {node.name: node for node in graph.node}
    assert set(FLOAT32_NODES) <= set(nodes)
    weights = {item.name: item.data_type for item in graph.initializer}
    assert weights["mean"] == weights["bicubic.weight"] == TensorProto.FLOAT
    assert nodes["phases/Add"].input[0] == "residual" and nodes["residual/Cast"].attribute[0].i == TensorProto.FLOAT


def test_only_operators_and_attributes_that_tensorrt_8_reads(folded: FoldedNetwork) -> None:
    """The parser of 8.5 and 8.6 ignores start and end of Shape without a word."""
    model = build_trt_model(folded, "fp16")
    assert {node.op_type for node in model.graph.node if node.domain == ""} <= READ_SINCE_8_5
    assert not [node for node in model.graph.node if node.op_type == "Shape" and node.attribute]
    assert {item.domain: item.version for item in model.opset_import} == {"": OPSET, "smsr": 1} and OPSET <= 17


def test_no_weight_is_stored_twice_or_unused_and_the_bytes_are_the_same_every_time(folded: FoldedNetwork) -> None:
    model = build_trt_model(folded, "fp16")
    names = [item.name for item in model.graph.initializer]
    used = {name for node in model.graph.node for name in node.input}
    assert len(set(names)) == len(names) and set(names) <= used
    again = build_trt_model(folded, "fp16")
    assert model.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)


@BOTH
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 1, 9), (3, 5, 8), (1, 6, 5), (2, 9, 11), (1, 32, 18)], ids=str)
def test_batch_height_and_width_are_free(
    kind: str, size: tuple[int, int, int], folded: FoldedNetwork, small_network: Network
) -> None:
    image = random_image(*size, dtype=torch.float32)
    with torch.inference_mode():
        expected = small_network.infer(image)
    upscaled, margins = function_variant(folded, kind).upscale_float(image.numpy(), margins=True)
    assert upscaled.dtype == np.float32 and {margin.dtype for margin in margins} == {np.dtype(np.float32)}
    assert [margin.shape for margin in margins] == [(size[0], 1, *size[1:])] * 2
    if kind == "fp32":
        assert relative_difference(upscaled, expected.upscaled) < CLOSE[kind]
    assert relative_difference(margins[0], expected.margins[0]) < CLOSE[kind]  # ahead of any mask that could flip


@pytest.mark.parametrize("theta", [-1e4, 0.3, 1e4])
def test_theta_reaches_every_module(theta: float, folded: FoldedNetwork, small_network: Network) -> None:
    image = random_image(1, 8, 9, dtype=torch.float32)
    with torch.inference_mode():
        expected, default = small_network.infer(image, theta).upscaled, small_network.infer(image).upscaled
    upscaled, _ = function_variant(folded, "fp32").upscale_float(image.numpy(), theta=theta)
    assert relative_difference(upscaled, expected) < CLOSE["fp32"] and relative_difference(expected, default) > 1e-3


@pytest.mark.parametrize("config", [NetworkConfig(3, 32, 1, 4), NetworkConfig(4, 48, 3, 1)], ids=str)
def test_other_networks_export_too(config: NetworkConfig) -> None:
    network = random_network(config, seed=config.scale)
    image = random_image(1, 7, 10, dtype=torch.float32)
    with torch.inference_mode():
        expected = network.infer(image).upscaled
    upscaled, _ = function_variant(fold(freeze(network)), "fp32").upscale_float(image.numpy())
    assert relative_difference(upscaled, expected) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "names"), [("fp32", ("butterfly",)), ("fp16", ("butterfly", "bird", "woman"))])
def test_real_pictures_are_within_parity(
    kind: str, names: tuple[str, ...], x2_network: Network, set5_x2: list[tuple[Picture, InferenceResult]]
) -> None:
    pictures = [picture for picture, _ in set5_x2 if picture.name in names]
    assert len(pictures) == len(names)
    parity = verify_tensorrt(x2_network, fold(freeze(x2_network)), pictures, TensorRtTarget(kind))
    assert parity.passed, parity.failures
    if kind == "fp16":
        assert max(row.rmse for row in parity.rows) > 1e-3  # it really rounds


def test_a_weight_beyond_float16_is_named(folded: FoldedNetwork) -> None:
    tail = dataclasses.replace(folded.tail, bias=np.full_like(folded.tail.bias, 1e5))
    wild = dataclasses.replace(folded, tail=tail)
    with pytest.raises(ExportError, match=r"tail\.bias: expected weights up to 65504 for float16, got 100000.*fp32"):
        build_trt_model(wild, "fp16")
    bias = {item.name: item for item in build_trt_model(wild, "fp32").graph.initializer}["tail.bias"]
    assert numpy_helper.to_array(bias).max() == 1e5


def test_a_network_larger_than_the_plugin_takes_is_refused() -> None:
    for config, words in (
        (NetworkConfig(2, contract.TENSORRT_MAX_CHANNELS + 16, 1, 2), "at most 128 features, got 144"),
        (NetworkConfig(2, 16, 1, contract.TENSORRT_MAX_LAYERS + 1), "at most 8 layers, got 9"),
    ):
        with pytest.raises(ExportError, match=words):
            build_trt_model(fold(freeze(random_network(config))), "fp16")


def test_the_graph_is_a_checked_onnx_file(folded: FoldedNetwork, tmp_path: Path) -> None:
    for kind in PRECISIONS:
        onnx.save_model(build_trt_model(folded, kind, functions=True), tmp_path / "model.onnx")
        onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"), full_check=True)


def test_the_mask_branch_as_a_plugin_computes_the_same(folded: FoldedNetwork) -> None:
    """Through its function's body; odd sizes too. No file has it unless it is asked for."""
    plain = build_trt_model(folded, "fp16", functions=True)
    model = build_trt_model(folded, "fp16", functions=True, branch_plugin=True)
    names = [node.op_type for node in model.graph.node if node.domain == contract.DOMAIN]
    assert names == ["MaskBranch", "SparseMaskModule"] * 2
    assert [(one.domain, one.name) for one in model.functions] == [("smsr", "SparseMaskModule"), ("smsr", "MaskBranch")]
    assert "MaskBranch" not in {node.op_type for node in plain.graph.node}
    branch = next(node for node in model.graph.node if node.op_type == "MaskBranch")
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in branch.attribute}
    assert attributes == {
        "compute": b"float16", "layout": b"NCHW", "plugin_namespace": b"smsr", "plugin_version": b"1",
    }  # fmt: skip
    weights = {item.name: (item.data_type, list(item.dims)) for item in model.graph.initializer}
    assert [weights[name] for name in branch.input[1:]] == [
        (TensorProto.FLOAT16, shape) for shape in ([9, 16, 16], [16], [9, 16, 16], [16], [4, 16, 4], [4])
    ]
    for height, width in ((8, 9), (7, 6), (1, 1)):
        image = random_image(2, height, width, dtype=torch.float32).numpy()
        expected, computed = (
            open_session(one.SerializeToString()).run(None, {"image": image, "theta": np.zeros((), np.float32)})
            for one in (plain, model)
        )
        for one, other in zip(expected, computed, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_bicubic_path_in_float16_is_close_and_only_where_it_is_asked_for(folded: FoldedNetwork) -> None:
    """Rounding 25 weights (2^-11 of each) and sums of up to about 255 (a sixteenth): less than a quarter level."""
    plain = build_trt_model(folded, "fp16", functions=True)
    half = build_trt_model(folded, "fp16", functions=True, half_bicubic=True)
    kinds = [{item.name: item.data_type for item in model.graph.initializer} for model in (plain, half)]
    assert [kind["bicubic.weight"] for kind in kinds] == [TensorProto.FLOAT, TensorProto.FLOAT16]
    assert {"image_padded/Pad", "bicubic/Conv"}.isdisjoint(node.name for node in half.graph.node)
    image = np.random.default_rng(5).integers(0, 256, (1, 3, 24, 31)).astype(np.float32)
    image[..., :8] = 255.0
    inputs = {"image": image, "theta": np.zeros((), np.float32)}
    expected, computed = (open_session(model.SerializeToString()).run(None, inputs) for model in (plain, half))
    difference = np.abs(expected[0] - computed[0])
    assert 0.0 < difference.max() < 0.25 and np.sqrt(np.mean(difference**2)) < 0.06
    for one, other in zip(expected[1:], computed[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_mask_branch_s_plugin_is_for_fp16_only(folded: FoldedNetwork) -> None:
    with pytest.raises(ExportError, match="mask branch as a plugin: expected precision fp16, got fp32"):
        build_trt_model(folded, "fp32", branch_plugin=True)
