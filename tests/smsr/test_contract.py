"""The contract: its header is the committed one, its hash covers the interface and nothing else."""

from __future__ import annotations

import dataclasses
import re

import pytest

from smsr import contract, contract_header


def changed(field: str, value: object) -> contract.Operator:
    return dataclasses.replace(contract.SPARSE_MASK_MODULE, **{field: value})


def changed_first(field: str, **facts: object) -> contract.Operator:
    first, *rest = getattr(contract.SPARSE_MASK_MODULE, field)
    return changed(field, (dataclasses.replace(first, **facts), *rest))


def test_the_committed_header_is_the_generated_one() -> None:
    assert contract_header.HEADER.read_text() == contract_header.header()


def test_sizes_are_products_of_letters_and_digits_as_smsr_shapes_h_reads_them() -> None:
    sizes = {size for operator in contract.OPERATORS for tensor in operator.inputs for size in tensor.shape}
    assert all(re.fullmatch(r"[A-Z0-9](\*[A-Z0-9])*", size) for size in sizes)


def test_the_header_prints_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert contract_header.main([]) == 0
    assert capsys.readouterr().out == contract_header.header()


@pytest.mark.parametrize(
    "operator",
    [
        changed("name", "Other"),
        changed("inputs", contract.SPARSE_MASK_MODULE.inputs[::-1]),
        changed("inputs", contract.SPARSE_MASK_MODULE.inputs[:-1]),
        changed_first("inputs", shape=("N", "C", "H", "W")),
        changed_first("inputs", name="other"),
        changed_first("outputs", name="other"),
        changed_first("attributes", name="other"),
        changed_first("attributes", kind="floats"),
        changed_first("attributes", allowed=("1", "C")),
    ],
)
def test_the_hash_changes_with_every_interface_fact(
    operator: contract.Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contract.interface_hash()
    monkeypatch.setattr(contract, "OPERATORS", (operator, *contract.OPERATORS[1:]))
    assert contract.interface_hash() != before


@pytest.mark.parametrize(("name", "value"), [("DOMAIN", "other"), ("OPERATOR_VERSION", 2)])
def test_the_hash_changes_with_domain_and_version(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contract.interface_hash()
    monkeypatch.setattr(contract, name, value)
    assert contract.interface_hash() != before


def test_the_hash_ignores_documentation_tolerances_and_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    before = contract.interface_hash()
    documented = dataclasses.replace(changed_first("inputs", doc="other"), doc="other")
    monkeypatch.setattr(contract, "OPERATORS", (documented, *contract.OPERATORS[1:]))
    monkeypatch.setattr(contract, "TOLERANCES", {})
    monkeypatch.setattr(contract, "OPERATOR_RELATIVE_TOLERANCE", {})
    monkeypatch.setattr(contract, "CASES", contract.CASES[:1])
    assert contract.interface_hash() == before


def test_the_hash_is_16_hex_digits() -> None:
    assert re.fullmatch("[0-9a-f]{16}", contract.interface_hash())


def test_every_compute_type_has_a_tolerance() -> None:
    assert set(contract.OPERATOR_RELATIVE_TOLERANCE) == set(contract.COMPUTE_TYPES)


def test_tolerances_widen_as_precision_falls() -> None:
    fp32, fp16, bf16 = (contract.TOLERANCES[name] for name in ("fp32", "fp16", "bf16"))
    assert fp32.flips < fp16.flips < bf16.flips and fp32.psnr_db < fp16.psnr_db < bf16.psnr_db
    assert fp32.max_abs == 1e-3 and fp32.flips == 1e-5 and fp32.psnr_db == 1e-3
    assert (fp16.rmse, bf16.rmse) == (0.08, 0.15)


def test_cases_have_distinct_names_and_make_sense() -> None:
    names = [case.name for case in contract.CASES]
    assert len(set(names)) == len(names)
    for case in contract.CASES:
        assert case.channels % contract.CHANNEL_ATTENTION_REDUCTION == 0 and case.mask in contract.MASKS
        assert all(0 <= dense <= case.channels - case.dead for dense in case.dense)


def test_cases_hold_every_mask_split_and_odd_size() -> None:
    cases = contract.CASES
    assert {case.mask for case in cases} == set(contract.MASKS)
    assert {16, 32, 64} <= {case.channels for case in cases}
    assert {(0,) * 4, (64,) * 4, (1,) * 4, (63,) * 4} <= {case.dense for case in cases}
    assert {(24, 9, 3, 0), (16, 4, 1, 0), (16, 7, 1, 0), (3, 0, 0, 0), (14, 5, 0, 0)} <= {case.dense for case in cases}
    shapes = [case.shape for case in cases]
    assert any(h != w for _, h, w in shapes) and any(h % 2 and w % 2 for _, h, w in shapes)
    assert any(n > 1 for n, _, _ in shapes) and (1, 1, 1) in shapes and any(case.dead for case in cases)
