"""The model file: its form, and what ONNX Runtime makes of it without our library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, shape_inference

from smsr import contract
from smsr.network import Network, NetworkConfig
from smsr_export.fold import fold
from smsr_export.freeze import freeze
from smsr_export.model_file import IR_VERSION
from smsr_export.onnx_model import build_model
from smsr_export.op_function import OPSET
from tests.export.onnx_tools import session
from tests.helpers import random_image, random_network, relative_difference

CLOSE = 2e-6
"""float32 against float32, relative to the largest value."""


def run(model: onnx.ModelProto, image: torch.Tensor, theta: float | None = None) -> list[np.ndarray]:
    feeds = {"image": image.numpy()} | ({} if theta is None else {"theta": np.array(theta, np.float32)})
    return list(session(model).run(None, feeds))


def dimensions(value: onnx.ValueInfoProto) -> list[str | int]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def test_the_model_passes_onnx_s_own_checks(small_model: onnx.ModelProto) -> None:
    onnx.checker.check_model(small_model, full_check=True)
    shape_inference.infer_shapes(small_model, strict_mode=True)


def test_versions_are_those_that_old_runtimes_read(small_model: onnx.ModelProto) -> None:
    opsets = {item.domain: item.version for item in small_model.opset_import}
    assert opsets == {"": OPSET, contract.DOMAIN: contract.OPERATOR_VERSION}
    assert small_model.ir_version == IR_VERSION == 8 and OPSET <= 17


def test_inputs_and_outputs_have_their_names_order_types_and_sizes(small_model: onnx.ModelProto) -> None:
    graph = small_model.graph
    assert {value.name: dimensions(value) for value in graph.input} == {"image": ["N", 3, "H", "W"], "theta": []}
    assert [value.name for value in graph.output] == ["upscaled", "margin_1", "margin_2"]
    assert dimensions(graph.output[0]) == ["N", 3, "2*H", "2*W"]
    assert dimensions(graph.output[1]) == ["N", 1, "H", "W"]
    types = {value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]}
    assert types == {TensorProto.FLOAT}


def test_theta_is_0_unless_the_caller_says_else(small_model: onnx.ModelProto) -> None:
    (theta,) = (item for item in small_model.graph.initializer if item.name == "theta")
    assert list(theta.dims) == [] and onnx.numpy_helper.to_array(theta) == 0
    image = random_image(1, 6, 7, dtype=torch.float32)
    default, zero = run(small_model, image), run(small_model, image, 0.0)
    assert all(np.array_equal(*pair) for pair in zip(default, zero, strict=True))


@pytest.mark.parametrize("theta", [-1e9, -0.3, 0.3, 1e9])
def test_theta_is_effective_and_equals_pytorch(
    theta: float, small_model: onnx.ModelProto, small_network: Network
) -> None:
    image = random_image(1, 8, 9, dtype=torch.float32)
    with torch.inference_mode():
        expected, default = small_network.infer(image, theta).upscaled, small_network.infer(image).upscaled
    assert relative_difference(run(small_model, image, theta)[0], expected) < CLOSE
    assert relative_difference(expected, default) > 1e-3


@pytest.mark.parametrize(
    "size", [(1, 1, 1), (1, 1, 9), (2, 7, 1), (3, 5, 8), (1, 6, 5), (2, 9, 11), (1, 32, 18)], ids=str
)
def test_batch_height_and_width_are_free(
    size: tuple[int, int, int], small_model: onnx.ModelProto, small_network: Network
) -> None:
    image = random_image(*size, dtype=torch.float32)
    with torch.inference_mode():
        expected = small_network.infer(image)
    upscaled, *margins = run(small_model, image)
    assert relative_difference(upscaled, expected.upscaled) < CLOSE
    assert len(margins) == 2
    for ours, theirs in zip(margins, expected.margins, strict=True):
        assert relative_difference(ours, theirs) < 1e-5
        assert ((ours > 0) != (theirs.numpy() > 0)).sum() == 0


@pytest.mark.parametrize(
    "config",
    [NetworkConfig(3, 32, 1, 4), NetworkConfig(4, 48, 3, 1), NetworkConfig(2, 64, 1, 2), NetworkConfig(3, 16, 7, 6)],
    ids=str,
)
def test_other_networks_export_too(config: NetworkConfig) -> None:
    network = random_network(config, seed=config.scale)
    image = random_image(1, 7, 10, dtype=torch.float32)
    with torch.inference_mode():
        expected = network.infer(image)
    upscaled, *margins = run(build_model(fold(freeze(network))), image)
    assert len(margins) == config.modules and relative_difference(upscaled, expected.upscaled) < 1e-5


def test_margins_that_nobody_asks_for_need_not_be_computed(small_model: onnx.ModelProto) -> None:
    (alone,) = session(small_model).run(["upscaled"], {"image": random_image(1, 4, 4, dtype=torch.float32).numpy()})
    assert alone.shape == (1, 3, 8, 8)


def test_metadata_carries_the_interface_hash_and_the_scale(small_model: onnx.ModelProto) -> None:
    facts = {item.key: item.value for item in small_model.metadata_props}
    assert facts == {"smsr.interface_hash": contract.interface_hash(), "smsr.scale": "2"}


def test_the_tensor_of_all_modules_channels_never_exists(small_model: onnx.ModelProto) -> None:
    assert "Concat" not in {node.op_type for node in small_model.graph.node}


def test_one_operator_node_per_module_with_its_attributes(small_model: onnx.ModelProto) -> None:
    nodes = [node for node in small_model.graph.node if node.op_type == contract.SPARSE_MASK_MODULE.name]
    assert len(nodes) == 2
    facts = [{a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} for node in nodes]
    assert [fact["dense_channels"] for fact in facts] == [[5, 0, 16], [0, 9, 1]]
    assert {fact["layout"] for fact in facts} == {b"NHWC"} and {fact["compute"] for fact in facts} == {b"float32"}
    assert all(len(node.input) == len(contract.SPARSE_MASK_MODULE.inputs) for node in nodes)


def test_no_weight_is_stored_twice_or_unused(small_model: onnx.ModelProto) -> None:
    names = [item.name for item in small_model.graph.initializer]
    used = {name for node in small_model.graph.node for name in node.input}
    assert len(set(names)) == len(names) and set(names) <= used


def test_built_twice_the_bytes_are_the_same(
    small_network: Network, small_model: onnx.ModelProto, tmp_path: Path
) -> None:
    again = build_model(fold(freeze(small_network)))
    assert again.SerializeToString(deterministic=True) == small_model.SerializeToString(deterministic=True)
    for name, model in (("a", small_model), ("b", again)):
        onnx.save_model(model, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_library_and_the_function_body_agree_on_the_whole_model(
    small_model: onnx.ModelProto, variant: str, native_library: Path
) -> None:
    image = {"image": random_image(2, 13, 10, dtype=torch.float32).numpy()}
    body, native = session(small_model).run(None, image), session(small_model, native_library, 2).run(None, image)
    assert all(relative_difference(*pair) < 1e-5 for pair in zip(native, body, strict=True))
