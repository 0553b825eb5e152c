"""What libsmsr_ort checks before its kernels run, what it says of shapes before a run, and SMSR_WINOGRAD."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smsr import contract
from smsr_export.model_file import IR_VERSION
from smsr_export.op_function import OPSET
from tests.export.onnx_tools import session

Arrays = dict[str, NDArray[np.float32]]

SIZES: dict[str, Mapping[str, tuple[int, ...]]] = {
    "Convolution": {"features": (2, 9, 14, 16), "weight": (9, 16, 32), "bias": (32,)},
    "ConvolutionRelu": {"features": (2, 9, 14, 16), "weight": (9, 16, 32), "bias": (32,)},
    "ConvolutionAdd": {"features": (2, 9, 14, 16), "weight": (9, 16, 32), "bias": (32,), "addend": (2, 9, 14, 32)},
    "MaskBranch": {
        "features": (2, 9, 14, 64),
        "full_weight": (9, 64, 16),
        "full_bias": (16,),
        "half_weight": (9, 16, 16),
        "half_bias": (16,),
        "phases_weight": (4, 16, 4),
        "phases_bias": (4,),
    },
    "SparseMaskModule": {
        "features": (2, 9, 14, 32),
        "margin": (2, 1, 9, 14),
        "theta": (),
        "conv_weights": (2, 9, 32, 32),
        "collect_weight": (64, 32),
        "collect_bias": (32,),
        "squeeze_weight": (32, 2),
        "squeeze_bias": (2,),
        "excite_weight": (2, 32),
        "excite_bias": (32,),
    },
}
"""A small valid call of each operator."""
OPERATORS = pytest.mark.parametrize("name", SIZES)
FED = ("features", "addend", "margin", "theta")


def arrays(name: str, **shapes: tuple[int, ...]) -> Arrays:
    random = np.random.default_rng(7)
    sizes = {**SIZES[name], **shapes}
    return {key: np.asarray(0.2 * random.standard_normal(size), np.float32) for key, size in sizes.items()}


def model(name: str, given: Arrays, fed: Sequence[str], sizes: Mapping[str, Any], output: Any) -> onnx.ModelProto:
    """One node. `fed`: what is an input of the model, of these sizes; all else is a constant."""
    attributes: dict[str, Any] = {"layout": "NHWC", "compute": "float32"}
    if name == "SparseMaskModule":
        attributes["dense_channels"] = [10, 0]
    graph = helper.make_graph(
        [helper.make_node(name, list(given), ["out"], domain=contract.DOMAIN, **attributes)],
        "operator",
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, sizes.get(key)) for key in fed],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(array, key) for key, array in given.items() if key not in fed],
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(contract.DOMAIN, contract.OPERATOR_VERSION)],
        ir_version=IR_VERSION,
    )


def run(library: Path, name: str, given: Arrays, weights_as_inputs: bool = False) -> NDArray[np.float32]:
    """Shapes are unknown until the run, so that the operator itself has to check them."""
    fed = [key for key in given if weights_as_inputs or key in FED]
    made = session(model(name, given, fed, {}, None), library)
    return np.asarray(made.run(None, {key: given[key] for key in fed})[0])


def test_the_operators_here_are_all_operators_with_all_inputs() -> None:
    assert {one.name: [tensor.name for tensor in one.inputs] for one in contract.OPERATORS} == {
        name: list(sizes) for name, sizes in SIZES.items()
    }


def wrong_shapes(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each input one number smaller along each axis, and of one rank more."""
    for key, size in SIZES[name].items():
        yield key, (*size, 1)
        for axis in range(len(size)):
            smaller_picture = key == "features" and axis < 3 and not SIZES[name].keys() & {"addend", "margin"}
            if not smaller_picture:  # a valid call
                yield key, tuple(n - (i == axis) for i, n in enumerate(size))


@pytest.mark.parametrize("weights_as_inputs", [False, True], ids=["constant", "fed"])
@OPERATORS
def test_an_input_of_the_wrong_shape_is_refused_in_words(
    name: str, weights_as_inputs: bool, native_library: Path
) -> None:
    """Nothing is read past an input's end."""
    run(native_library, name, arrays(name), weights_as_inputs)  # the unchanged call is accepted
    for key, wrong in wrong_shapes(name):
        with pytest.raises(Exception, match=rf"smsr::{name}\b") as caught:
            run(native_library, name, arrays(name, **{key: wrong}), weights_as_inputs)
        assert ": expected " in str(caught.value) and ", got " in str(caught.value), (key, wrong, caught.value)


@pytest.mark.parametrize(
    ("name", "changed", "words"),
    [
        ("Convolution", {"weight": (9, 15, 32)}, "weight: expected (T, 16, O), got (9, 15, 32)"),
        ("Convolution", {"weight": (4, 16, 32)}, "weight's taps: expected 9 or 1, got 4"),
        ("ConvolutionRelu", {"weight": (9, 16, 33), "bias": (33,)}, "expected a positive multiple of 16, got 33"),
        ("ConvolutionRelu", {"bias": (16,)}, "bias: expected (32), got (16)"),
        ("ConvolutionAdd", {"addend": (2, 9, 14, 16)}, "addend: expected (2, 9, 14, 32), got (2, 9, 14, 16)"),
        ("ConvolutionAdd", {"addend": (1, 9, 14, 32)}, "addend: expected (2, 9, 14, 32), got (1, 9, 14, 32)"),
        ("MaskBranch", {"full_weight": (9, 64, 8)}, "full_bias: expected (8), got (16)"),
        ("MaskBranch", {"half_weight": (9, 16, 15)}, "half_weight: expected (9, 16, 16), got (9, 16, 15)"),
        ("MaskBranch", {"phases_weight": (4, 16, 3)}, "phases_weight: expected (4, 16, 4), got (4, 16, 3)"),
        (
            "SparseMaskModule",
            {"conv_weights": (2, 9, 32, 16)},
            "conv_weights: expected (2, 9, 32, 32), got (2, 9, 32, 16)",
        ),
        ("SparseMaskModule", {"excite_bias": (31,)}, "excite_bias: expected (32), got (31)"),
    ],
    ids=str,
)
def test_a_refusal_names_the_input_and_both_shapes(
    name: str, changed: dict[str, tuple[int, ...]], words: str, native_library: Path
) -> None:
    with pytest.raises(Exception, match=name) as caught:
        run(native_library, name, arrays(name, **changed))
    assert words in str(caught.value), caught.value


KNOWN: dict[object, object] = {"N": 2, "H": 9, "W": 14}
INFERRED: dict[str, list[object]] = {
    "Convolution": ["N", "H", "W", 32],
    "ConvolutionRelu": ["N", "H", "W", 32],
    "ConvolutionAdd": ["N", "H", "W", 32],
    "MaskBranch": ["N", 1, "H", "W"],
    "SparseMaskModule": ["N", "H", "W", 32],
}
"""Of inputs with the sizes N, H and W; by the operators' definition."""


@OPERATORS
def test_a_session_knows_the_output_shape_before_it_runs(name: str, native_library: Path) -> None:
    given = arrays(name)
    channels = SIZES[name]["features"][3]
    sizes = {
        "features": ["N", "H", "W", channels],
        "addend": ["N", "H", "W", 32],
        "margin": ["N", 1, "H", "W"],
        "theta": [],
    }
    fed = [key for key in given if key in FED]
    (output,) = session(model(name, given, fed, sizes, None), native_library).get_outputs()
    assert output.shape == INFERRED[name]
    sizes["features"] = [2, 9, 14, channels]
    (output,) = session(model(name, given, fed, sizes, None), native_library).get_outputs()
    assert output.shape == [KNOWN.get(size, size) for size in INFERRED[name]]


@OPERATORS
def test_an_output_shape_that_the_inputs_do_not_give_is_left_open(name: str, native_library: Path) -> None:
    given = arrays(name)
    made = session(model(name, given, list(given), {}, None), native_library)
    assert made.run(None, dict(given))[0].shape == tuple(KNOWN.get(size, size) for size in INFERRED[name])


@OPERATORS
def test_winograd_can_be_switched_off(
    name: str, variant: str, native_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that are fed are never prepared: such a call is the direct convolution, which 0 must give and 1 not."""
    given = arrays(name)
    if name == "SparseMaskModule":
        given["margin"] = np.ones_like(given["margin"])  # all pixels active: all tiles worth Winograd
    direct = run(native_library, name, given, weights_as_inputs=True)
    outputs = {}
    for value in ("", "1", "0"):
        monkeypatch.setenv("SMSR_WINOGRAD", value)
        outputs[value] = run(native_library, name, given)
    assert np.array_equal(outputs["0"], direct)
    assert not np.array_equal(outputs["1"], direct)
    assert np.array_equal(outputs["1"], outputs[""])


@OPERATORS
def test_another_value_of_smsr_winograd_is_refused(
    name: str, native_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMSR_WINOGRAD", "off")
    with pytest.raises(Exception, match="environment variable SMSR_WINOGRAD: expected 0 or 1, got off"):
        run(native_library, name, arrays(name))


def strip_model(name: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.ModelProto:
    """One node of an operator that the library has for pictures in strips; all inputs are fed, of any shape."""
    graph = helper.make_graph(
        [
            helper.make_node(
                name, inputs, outputs, domain=contract.DOMAIN, layout="NHWC", compute="float32", **attributes
            )
        ],
        "operator",
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, None) for key in inputs],
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, None) for key in outputs],
    )
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(contract.DOMAIN, contract.OPERATOR_VERSION)]
    return helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION)


@pytest.mark.parametrize("count", [1, 3])
def test_scaled_sums_are_added_in_order(native_library: Path, variant: str, count: int) -> None:
    """61 pixels: less than one block, and not a whole one; 2500: more than one task."""
    random = np.random.default_rng(1)
    sums = [f"sum_{k}" for k in range(count)]
    made = session(strip_model("ScaledSum", ["features", "scales", *sums], ["out"]), native_library, 2)
    for height, width in ((1, 61), (50, 50)):
        shape = (1, height, width, 32)
        given = {name: random.standard_normal(shape).astype(np.float32) for name in ("features", *sums)}
        scales = random.random((count, 32)).astype(np.float32)
        expected = given["features"].astype(np.float64)
        for row, name in zip(scales, sums, strict=True):
            expected = (expected + row.astype(np.float64) * given[name]).astype(np.float32).astype(np.float64)
        out = made.run(None, {**given, "scales": scales})[0]
        assert np.abs(out - expected).max() <= np.spacing(np.float32(8))
    with pytest.raises(Exception, match=r"ScaledSum.*scales: expected \(\d, 32\), got \(9, 32\)"):
        made.run(None, {**given, "scales": np.zeros((9, 32), np.float32)})
    with pytest.raises(Exception, match=r"ScaledSum.*sums: expected \(1, 50, 50, 32\), got \(1, 50, 49, 32\)"):
        made.run(None, {**given, sums[-1]: np.zeros((1, 50, 49, 32), np.float32), "scales": scales})


def test_a_module_s_sums_give_its_result_by_attention_and_residual(native_library: Path, variant: str) -> None:
    given = arrays("SparseMaskModule")
    expected = run(native_library, "SparseMaskModule", given, weights_as_inputs=True)
    names = list(given)[:6]
    made = session(strip_model("SparseMaskSums", names, ["sum", "rows"], dense_channels=[10, 0]), native_library)
    z, rows = made.run(None, {name: given[name] for name in names})
    assert rows.shape == (2, 9, 1, 32)
    assert np.allclose(rows, z.sum(axis=2, keepdims=True, dtype=np.float64), atol=1e-4)
    mean = z.mean(axis=(1, 2), dtype=np.float64)
    squeezed = np.maximum(mean @ given["squeeze_weight"] + given["squeeze_bias"], 0)
    scale = 1 / (1 + np.exp(-(squeezed @ given["excite_weight"] + given["excite_bias"])))
    assert np.allclose(scale[:, None, None] * z + given["features"], expected, atol=1e-5)
