"""The operator in ONNX Runtime, as function body and by every native variant, against the float64 reference."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from smsr import contract, reference
from smsr_export.standard import check_dense_channels
from tests.export.onnx_tools import operator_difference, operator_model, run_operator, session
from tests.helpers import native_variants, run_python

ALLOWED = contract.OPERATOR_RELATIVE_TOLERANCE["float32"]
CASES = pytest.mark.parametrize("case", contract.CASES, ids=lambda case: case.name)
SOME = contract.Case("some", (2, 9, 14), 32, (10, 0, 20, 5), "clustered")


def has_kernels_for(variant: str, compute: str) -> bool:
    """A variant with reduced kernels is named after the precision it has (docs/interfaces.md)."""
    (precision,) = (name for name, type_ in contract.COMPUTE_OF_PRECISION.items() if type_ == compute)
    return variant.endswith(precision)


def replaced(inputs: reference.ModuleInputs, **arrays: object) -> reference.ModuleInputs:
    return dataclasses.replace(inputs, **{name: np.asarray(array, np.float32) for name, array in arrays.items()})


@CASES
@pytest.mark.parametrize("layout", contract.LAYOUTS)
def test_the_function_body_equals_the_reference(case: contract.Case, layout: str) -> None:
    inputs = reference.random_inputs(case)
    assert operator_difference(run_operator(inputs, case.dense, layout=layout), inputs, case.dense) < ALLOWED


@CASES
def test_the_native_variant_equals_the_reference(case: contract.Case, variant: str, native_library: Path) -> None:
    inputs = reference.random_inputs(case)
    assert operator_difference(run_operator(inputs, case.dense, native_library), inputs, case.dense) < ALLOWED


@CASES
@pytest.mark.parametrize("compute", ["bfloat16", "float16"])
def test_the_native_variant_in_reduced_precision_is_within_its_tolerance(
    case: contract.Case, compute: str, variant: str, native_library: Path
) -> None:
    inputs = reference.random_inputs(case)
    output, again = (run_operator(inputs, case.dense, native_library, n, compute=compute) for n in (1, 3))
    assert operator_difference(output, inputs, case.dense) < contract.OPERATOR_RELATIVE_TOLERANCE[compute]
    assert np.array_equal(output, again)
    same = np.array_equal(output, run_operator(inputs, case.dense, native_library))
    assert same or has_kernels_for(variant, compute), "no such kernels: must be float32, bit for bit"


@pytest.mark.parametrize("compute", ["bfloat16", "float16"])
def test_a_variant_with_reduced_kernels_uses_them(compute: str, variant: str, native_library: Path) -> None:
    inputs = reference.random_inputs(SOME)
    reduced, exact = (run_operator(inputs, SOME.dense, native_library, compute=c) for c in (compute, "float32"))
    assert np.array_equal(reduced, exact) == (not has_kernels_for(variant, compute))


def test_infinities_do_not_leak_natively_in_reduced_precision(variant: str, native_library: Path) -> None:
    for compute in ("bfloat16", "float16"):
        output = run_operator(overflowing(), SOME.dense, native_library, compute=compute)
        with np.errstate(invalid="ignore"):
            difference = operator_difference(output, overflowing(), SOME.dense)
        assert difference < contract.OPERATOR_RELATIVE_TOLERANCE[compute]


@CASES
def test_native_results_do_not_depend_on_threads(case: contract.Case, variant: str, native_library: Path) -> None:
    inputs = reference.random_inputs(case, seed=2)
    one, *others = (run_operator(inputs, case.dense, native_library, threads) for threads in (1, 2, 5))
    assert all(np.array_equal(one, other) for other in others)


def test_native_results_are_the_same_run_after_run(variant: str, native_library: Path) -> None:
    inputs = reference.random_inputs(contract.Case("", (2, 31, 45), 64, (24, 9, 3, 0), "clustered"))
    opened = session(operator_model(inputs, (24, 9, 3, 0), function=False), native_library, threads=3)
    feeds = {"features": inputs.features, "margin": inputs.margin, "theta": inputs.theta}
    off = {**feeds, "margin": np.full_like(inputs.margin, -9)}
    first = opened.run(None, feeds)[0]
    for _ in range(5):
        opened.run(None, off)
        assert np.array_equal(opened.run(None, feeds)[0], first)


@pytest.mark.parametrize("native", [False, True])
def test_weights_may_be_inputs(native: bool, request: pytest.FixtureRequest) -> None:
    library = request.getfixturevalue("native_library") if native else None
    inputs = reference.random_inputs(SOME)
    output = run_operator(inputs, SOME.dense, library, weights_as_inputs=True)
    assert operator_difference(output, inputs, SOME.dense) < ALLOWED


NOT_NUMBERS = {
    "NaN theta": lambda inputs: replaced(inputs, theta=np.nan),
    "NaN margin": lambda inputs: replaced(inputs, margin=np.full_like(inputs.margin, np.nan)),
    "margin equal to theta": lambda inputs: replaced(inputs, margin=np.full_like(inputs.margin, inputs.theta)),
    "theta of plus infinity": lambda inputs: replaced(inputs, theta=np.inf),
    "margin of minus infinity": lambda inputs: replaced(inputs, margin=np.full_like(inputs.margin, -np.inf)),
}


@pytest.mark.parametrize("kind", NOT_NUMBERS)
def test_a_pixel_is_inactive_unless_its_margin_is_above_theta(kind: str) -> None:
    inputs = reference.random_inputs(SOME)
    off = run_operator(replaced(inputs, margin=np.full_like(inputs.margin, -9.0)), SOME.dense)
    assert np.array_equal(run_operator(NOT_NUMBERS[kind](inputs), SOME.dense), off)


@pytest.mark.parametrize("kind", NOT_NUMBERS)
def test_a_pixel_is_inactive_unless_its_margin_is_above_theta_natively(
    kind: str, variant: str, native_library: Path
) -> None:
    inputs = reference.random_inputs(SOME)
    off = run_operator(replaced(inputs, margin=np.full_like(inputs.margin, -9.0)), SOME.dense, native_library)
    assert np.array_equal(run_operator(NOT_NUMBERS[kind](inputs), SOME.dense, native_library), off)


def overflowing() -> reference.ModuleInputs:
    """No pixel active; what only active pixels compute would be infinite or NaN."""
    inputs = reference.random_inputs(dataclasses.replace(SOME, mask="off"))
    weights = inputs.conv_weights.copy()
    before = SOME.channels
    for layer, dense in enumerate(SOME.dense):
        weights[layer, :, before:] = np.inf
        weights[layer, :, :, dense:] = np.inf
        before = dense
    return replaced(inputs, conv_weights=weights)


def test_infinities_on_the_side_not_taken_do_not_leak() -> None:
    output = run_operator(overflowing(), SOME.dense)
    with np.errstate(invalid="ignore"):
        assert operator_difference(output, overflowing(), SOME.dense) < ALLOWED


def test_infinities_on_the_side_not_taken_do_not_leak_natively(variant: str, native_library: Path) -> None:
    output = run_operator(overflowing(), SOME.dense, native_library)
    with np.errstate(invalid="ignore"):
        assert operator_difference(output, overflowing(), SOME.dense) < ALLOWED


def with_shape(name: str, *shape: int) -> reference.ModuleInputs:
    return replaced(reference.random_inputs(SOME), **{name: np.zeros(shape)})


@pytest.mark.parametrize(
    ("dense", "words"),
    [
        ((10, -1, 20, 5), ["dense_channels", "-1"]),
        ((10, 0, 33, 5), ["dense_channels", "0..32", "33"]),
        ((10, 0, 20), ["conv_weights", "(3, 9, 32, 32)", "(4, 9, 32, 32)"]),
        ((10, 0, 20, 5, 1), ["conv_weights", "(5, 9, 32, 32)", "(4, 9, 32, 32)"]),
        ((), ["dense_channels"]),
    ],
    ids=str,
)
def test_the_library_refuses_dense_channels_that_cannot_be(
    dense: tuple[int, ...], words: list[str], native_library: Path
) -> None:
    with pytest.raises(Exception, match=words[0]) as caught:
        run_operator(reference.random_inputs(SOME), dense, native_library)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    "attribute", [{"layout": "NCHW"}, {"layout": "CHWN"}, {"compute": "float64"}, {"compute": "int8"}]
)
def test_the_library_refuses_a_layout_or_type_it_has_not(attribute: dict[str, str], native_library: Path) -> None:
    ((name, value),) = attribute.items()
    with pytest.raises(Exception, match=name) as caught:
        run_operator(reference.random_inputs(SOME), SOME.dense, native_library, **attribute)  # type: ignore[arg-type]
    assert value in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("features", (2, 9, 14, 24)),
        ("margin", (2, 1, 9, 13)),
        ("margin", (1, 1, 9, 14)),
        ("conv_weights", (4, 9, 32, 16)),
        ("collect_weight", (128, 16)),
        ("collect_bias", (31,)),
        ("squeeze_weight", (32, 1)),
        ("squeeze_bias", (3,)),
        ("excite_weight", (32, 2)),
        ("excite_bias", (1,)),
    ],
)
def test_the_library_refuses_an_input_of_the_wrong_shape(
    name: str, shape: tuple[int, ...], native_library: Path
) -> None:
    with pytest.raises(Exception, match=name) as caught:
        run_operator(with_shape(name, *shape), SOME.dense, native_library)
    assert "expected" in str(caught.value) and "got" in str(caught.value)


def test_an_unknown_variant_is_an_error_and_never_a_fallback(
    native_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMSR_CPU", "sse9")
    with pytest.raises(Exception, match="SMSR_CPU") as caught:
        run_operator(reference.random_inputs(SOME), SOME.dense, native_library)
    assert "sse9" in str(caught.value) and "scalar" in str(caught.value)


def test_the_forced_variant_is_the_one_in_use(variant: str, native_library: Path, tmp_path: Path) -> None:
    code = (
        f"import ctypes; lib = ctypes.CDLL({str(native_library)!r}); f = lib.smsr_cpu_variant;"
        "f.restype = ctypes.c_char_p; print(f().decode())"
    )
    assert run_python("-c", code, cwd=tmp_path).stdout.strip() == variant


def test_variants_give_results_of_their_own(native_library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fused multiply-adds round otherwise: were a forced variant ignored, all results would be the same bits."""
    if len(native_variants()) < 2:
        pytest.skip("this CPU has one variant")
    inputs, outputs = reference.random_inputs(SOME), set()
    for name in native_variants():
        monkeypatch.setenv("SMSR_CPU", name)
        outputs.add(run_operator(inputs, SOME.dense, native_library).tobytes())
    assert len(outputs) >= 2


@pytest.mark.parametrize("counts", [(-1,), (17,), (3, 2, -5), (0, 16, 17)])
def test_the_exporter_refuses_dense_channels_that_cannot_be(counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"dense_channels: expected counts in 0\.\.16"):
        check_dense_channels(counts, 16)


def test_the_exporter_takes_all_counts_that_can_be() -> None:
    assert check_dense_channels((0, 16, 7), 16) == [0, 16, 7]
