"""The dense operators: function bodies and every native variant against float64 references; packed weights."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from smsr import contract, dense_reference
from smsr_export.model_file import IR_VERSION
from smsr_export.op_function import OPSET, operator_functions
from smsr_export.packing import pack, pack_branch, unpack, unpack_branch
from smsr_export.records import Convolution, FoldedBranch
from tests.export.onnx_tools import session
from tests.helpers import relative_difference

CONVOLUTIONS = (contract.CONVOLUTION, contract.CONVOLUTION_RELU, contract.CONVOLUTION_ADD)
TOLERANCE = contract.OPERATOR_RELATIVE_TOLERANCE["float32"]


COMPUTE = pytest.mark.parametrize("compute", contract.COMPUTE_TYPES)


def run(
    operator: contract.Operator,
    arrays: list[np.ndarray],
    library: Path | None,
    threads: int = 1,
    compute: str = "float32",
) -> np.ndarray:
    """One node, weights as constants (as in the model); by the library alone, or by the function body alone."""
    names = [tensor.name for tensor in operator.inputs]
    given = dict(zip(names, arrays, strict=True))
    fed = [name for name in names if name in ("features", "addend")]
    node = helper.make_node(operator.name, names, ["out"], domain=contract.DOMAIN, layout="NHWC", compute=compute)
    graph = helper.make_graph(
        [node],
        "operator",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", "H", "W", name]) for name in fed],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", "a", "b", "c"])],
        [onnx.numpy_helper.from_array(given[name], name) for name in names if name not in fed],
    )
    model = helper.make_model(
        graph,
        functions=[] if library else operator_functions(1),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(contract.DOMAIN, contract.OPERATOR_VERSION)],
        ir_version=IR_VERSION,
    )
    (output,) = session(model, library, threads).run(None, {name: given[name] for name in fed})
    return np.asarray(output)


def convolution_inputs(case: contract.ConvolutionCase, operator: contract.Operator) -> list[np.ndarray]:
    random = np.random.default_rng(len(case.name))
    shapes = [(*case.shape, case.inputs), (case.taps, case.inputs, case.outputs), (case.outputs,)]
    if operator is contract.CONVOLUTION_ADD:
        shapes.append((*case.shape, case.outputs))
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    arrays[1] *= np.float32((case.taps * case.inputs) ** -0.5)
    return arrays


def expected_convolution(operator: contract.Operator, arrays: list[np.ndarray]) -> np.ndarray:
    result = dense_reference.convolution(*arrays[:3])
    if operator is contract.CONVOLUTION_RELU:
        return np.maximum(result, 0.0)
    return result + arrays[3] if operator is contract.CONVOLUTION_ADD else result


def branch_inputs(size: tuple[int, int, int, int]) -> list[np.ndarray]:
    random, channels = np.random.default_rng(sum(size)), size[-1]
    quarter = channels // 4

    def conv(outputs: int, inputs: int, side: int) -> Convolution:
        weight = random.standard_normal((outputs, inputs, side, side)) / (inputs * side * side) ** 0.5
        return Convolution(weight.astype(np.float32), random.standard_normal(outputs).astype(np.float32))

    branch = FoldedBranch(conv(quarter, channels, 3), conv(quarter, quarter, 3), conv(4, quarter, 2))
    return [random.standard_normal(size).astype(np.float32), *pack_branch(branch).values()]


@pytest.mark.parametrize("operator", CONVOLUTIONS, ids=lambda operator: operator.name)
@pytest.mark.parametrize("case", contract.CONVOLUTION_CASES, ids=lambda case: case.name)
def test_function_body_of_a_convolution_is_the_reference(
    case: contract.ConvolutionCase, operator: contract.Operator
) -> None:
    arrays = convolution_inputs(case, operator)
    assert relative_difference(run(operator, arrays, None), expected_convolution(operator, arrays)) < TOLERANCE


@pytest.mark.parametrize("size", contract.BRANCH_SIZES, ids=str)
def test_function_body_of_the_mask_branch_is_the_reference(size: tuple[int, int, int, int]) -> None:
    arrays = branch_inputs(size)
    expected = dense_reference.mask_branch(*arrays)
    assert relative_difference(run(contract.MASK_BRANCH, arrays, None), expected) < TOLERANCE


@COMPUTE
@pytest.mark.parametrize("operator", CONVOLUTIONS, ids=lambda operator: operator.name)
@pytest.mark.parametrize("case", contract.CONVOLUTION_CASES, ids=lambda case: case.name)
def test_native_convolution_is_the_reference(
    case: contract.ConvolutionCase, operator: contract.Operator, compute: str, native_library: Path, variant: str
) -> None:
    arrays = convolution_inputs(case, operator)
    output = run(operator, arrays, native_library, compute=compute)
    allowed = contract.OPERATOR_RELATIVE_TOLERANCE[compute]
    assert relative_difference(output, expected_convolution(operator, arrays)) < allowed


@COMPUTE
@pytest.mark.parametrize("size", contract.BRANCH_SIZES, ids=str)
def test_native_mask_branch_is_the_reference(
    size: tuple[int, int, int, int], compute: str, native_library: Path, variant: str
) -> None:
    arrays = branch_inputs(size)
    output = run(contract.MASK_BRANCH, arrays, native_library, compute=compute)
    allowed = contract.OPERATOR_RELATIVE_TOLERANCE[compute]
    assert relative_difference(output, dense_reference.mask_branch(*arrays)) < allowed


def test_packed_weights_unpack_to_the_same() -> None:
    random = np.random.default_rng(0)
    conv = Convolution(random.random((12, 7, 3, 3)), random.random(12))
    weight, bias = pack(conv)
    assert weight.shape == (9, 7, 16)
    assert not weight[:, :, 12:].any() and not bias[12:].any()
    again = unpack(weight, bias, 7, 12)
    assert np.array_equal(again.weight, conv.weight) and np.array_equal(again.bias, conv.bias)


def test_packed_branch_unpacks_to_the_same() -> None:
    random = np.random.default_rng(0)
    shapes = [(8, 32, 3, 3), (8, 8, 3, 3), (4, 8, 2, 2)]
    branch = FoldedBranch(*(Convolution(random.random(shape), random.random(shape[0])) for shape in shapes))
    again = unpack_branch(pack_branch(branch), 32)
    for part in fields(FoldedBranch):
        before, after = getattr(branch, part.name), getattr(again, part.name)
        assert np.array_equal(before.weight, after.weight) and np.array_equal(before.bias, after.bias)
