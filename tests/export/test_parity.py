"""Parity with the published weights: right networks pass on every path, a wrong one fails."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import smsr_runtime
from smsr import contract
from smsr.checkpoint import load_network
from smsr.network import InferenceResult, Network, NetworkConfig
from smsr_export import manifest
from smsr_export.parity import limits
from smsr_export.parity.pictures import Picture, own_pictures
from smsr_export.parity.report import Parity
from smsr_export.parity.rows import ParityRow, summaries
from smsr_export.parity.verify import verify
from smsr_export.sample import sample_picture
from smsr_export.writing import ExportRequest, export
from smsr_runtime.backend import FUNCTION_BODY
from smsr_runtime.bundle import MANIFEST
from smsr_runtime.media.image import decode
from smsr_runtime.selftest import self_test
from tests.helpers import planes, random_network

Set5 = list[tuple[Picture, InferenceResult]]


def mean_psnr(parity: Parity, path: str) -> float:
    return float(np.mean([row.psnr for row in parity.rows if row.path == path]))


def rows_of(parity: Parity, path: str) -> list[ParityRow]:
    return [row for row in parity.rows if row.path == path]


def passed(network: Network, bundle: Path, set5: Set5, precision: str) -> Parity:
    parity = verify(network, bundle, [picture for picture, _ in set5], precision)
    assert parity.passed, parity.failures
    return parity


@pytest.mark.slow
def test_set5_is_37_99_db_within_parity_on_the_function_body(
    x2_network: Network, x2_bundle: Path, set5_x2: Set5, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMSR_ORT_LIBRARY", "none")
    parity = passed(x2_network, x2_bundle, set5_x2, "fp32")
    assert {row.path for row in parity.rows} == {FUNCTION_BODY} and len(parity.rows) == 5
    assert mean_psnr(parity, FUNCTION_BODY) == pytest.approx(37.991, abs=0.001)


@pytest.mark.slow
def test_set5_is_37_99_db_within_parity_on_every_native_variant(
    x2_network: Network, x2_bundle: Path, set5_x2: Set5, variant: str
) -> None:
    parity = passed(x2_network, x2_bundle, set5_x2, "fp32")
    native = f"native {variant}"
    assert {row.path for row in parity.rows} == {native, FUNCTION_BODY}
    assert mean_psnr(parity, native) == pytest.approx(37.991, abs=0.001)
    assert max(row.max_abs for row in rows_of(parity, native)) < 1e-3
    assert sum(row.flips for row in rows_of(parity, native)) <= 2


@pytest.mark.slow
def test_set5_in_bf16_is_within_its_parity(
    x2_network: Network, x2_bf16_bundle: Path, set5_x2: Set5, native_library: Path
) -> None:
    parity = passed(x2_network, x2_bf16_bundle, set5_x2, "bf16")
    assert mean_psnr(parity, FUNCTION_BODY) == pytest.approx(37.991, abs=0.001)
    (native,) = {row.path for row in parity.rows} - {FUNCTION_BODY}
    rmse = max(row.rmse for row in rows_of(parity, native))
    assert parity.in_reduced_precision == native.endswith("bf16")
    assert (0.02 < rmse < 0.15) if parity.in_reduced_precision else rmse < 1e-3


@pytest.mark.slow
def test_a_bf16_bundle_passes_its_self_test(x2_bf16_bundle: Path, variant: str) -> None:
    upscaler = smsr_runtime.load(x2_bf16_bundle)
    result = self_test(upscaler.bundle, upscaler.opened)
    if variant.endswith("bf16"):
        assert 0.02 < result.rmse <= result.allowed == 0.4 and result.measure == "RMSE"
    else:
        assert result.max_abs <= result.allowed == 1e-3


@pytest.mark.slow
def test_a_bf16_bundle_of_another_network_fails_its_self_test(
    x2_network: Network, x2_bf16_bundle: Path, variant: str, tmp_path: Path
) -> None:
    """Theta 2, whose largest difference is no more than what bf16's own flips may reach."""
    bundle = Path(shutil.copytree(x2_bf16_bundle, tmp_path / "other.smsr"))
    picture = planes(decode(bundle / "golden" / "input.png").color)
    with torch.inference_mode():
        upscaled = x2_network.infer(picture, theta=2.0).upscaled.numpy()
    np.save(bundle / "golden" / "output.npy", upscaled)
    manifest.write(bundle, json.loads((bundle / MANIFEST).read_text()))
    upscaler = smsr_runtime.load(bundle)
    expected = "RMSE at most 0.4 of 255" if variant.endswith("bf16") else "largest difference at most 0.001 of 255"
    with pytest.raises(smsr_runtime.SelfTestError, match=expected):
        self_test(upscaler.bundle, upscaler.opened)


WIDE = Picture("wide, odd", sample_picture(21, 501))
"""Rounding that grows with the distance from the corner shows here."""


def exported(network: Network, variant: str, tmp_path: Path) -> Parity:
    """Parity of a network's own bundle on this machine's paths, own pictures and a wide one."""
    checkpoint = tmp_path / "network.pt"
    torch.save(network.state_dict(), checkpoint)
    pictures = [*own_pictures(network.config.scale), WIDE]
    parity = export(network, ExportRequest(checkpoint, tmp_path / "network.smsr", pictures))
    assert {row.path for row in parity.rows} == {f"native {variant}", FUNCTION_BODY}
    return parity


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x2", "x3", "x4"])
def test_own_weights_export_on_every_variant(name: str, variant: str, tmp_path: Path) -> None:
    parity = exported(load_network(name), variant, tmp_path)
    assert max(row.max_abs for row in parity.rows) < 6e-4


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_networks_of_every_scale_export_on_every_variant(scale: int, variant: str, tmp_path: Path) -> None:
    network = random_network(NetworkConfig(scale, 32, 2, 3), seed=scale)
    with torch.no_grad():
        network.get_parameter("tail.0.weight").mul_(0.02)  # residuals of some tens of 255, as trained networks have
    parity = exported(network, variant, tmp_path)
    assert max(row.max_abs for row in parity.rows) < 6e-4


def output_masks_only(bundle: Path, output: Path) -> Path:
    """The bundle with another operator body: one convolution per layer, then output masks.

    Dense outputs of inactive pixels take the full convolution, sparse inputs and all. The runtime's own checks
    pass: the manifest is written anew.
    """
    shutil.copytree(bundle, output)
    model = onnx.load(output / "model.onnx")
    (function,) = (one for one in model.functions if one.name == contract.SPARSE_MASK_MODULE.name)
    picks = [node for node in function.node if node.op_type == "Where" and node.input[2].startswith("dense_only")]
    assert len(picks) == 4
    for node in picks:
        node.input[2] = node.input[1]
    onnx.save_model(model, output / "model.onnx")
    manifest.write(output, json.loads((output / MANIFEST).read_text()))
    return output


@pytest.mark.slow
def test_a_network_with_output_masks_only_fails_parity_although_its_psnr_is_as_good(
    x2_network: Network, x2_bundle: Path, set5_x2: Set5, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMSR_ORT_LIBRARY", "none")
    wrong = output_masks_only(x2_bundle, tmp_path / "wrong.smsr")
    parity = verify(x2_network, wrong, [picture for picture, _ in set5_x2], "fp32")
    assert not parity.passed
    right = float(np.mean([row.psnr_torch for row in parity.rows]))
    assert right - 0.02 < mean_psnr(parity, FUNCTION_BODY) and mean_psnr(parity, FUNCTION_BODY) < right + 0.02
    total = summaries(parity.rows)[0]
    assert total.flips > contract.TOLERANCES["fp32"].flips * total.mask_pixels
    assert max(row.rmse for row in parity.rows) > 0.1
    assert any("mask flips" in failure for failure in parity.failures)


def row(**facts: object) -> ParityRow:
    good = ParityRow("p", "path", 100, 100, 50_000, 0, 1e-5, 1e-6, 0.4, [0.4], 38.0, 38.0)
    return dataclasses.replace(good, **facts)  # type: ignore[arg-type]


def failures(*rows: ParityRow, precision: str = "fp32") -> list[str]:
    paths = [[row for row in rows if row.path == name] for name in dict.fromkeys(row.path for row in rows)]
    return [text for path in paths for text in limits.failures(path, contract.TOLERANCES[precision])]


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"flips": 3}, "mask flips"),
        ({"max_abs": 1.1e-3}, "differ by"),
        ({"max_abs": float("nan")}, "differ by"),
        ({"psnr": 38.0011}, "PSNR"),
        ({"psnr": 37.9989}, "PSNR"),
        ({"psnr": float("nan")}, "PSNR"),
    ],
)
def test_each_limit_of_fp32_fails_alone(facts: dict[str, object], word: str) -> None:
    assert not failures(row(), row())
    (failure,) = failures(row(**facts))
    assert word in failure and failure.startswith("path: ")


@pytest.mark.parametrize(("precision", "rmse", "flips"), [("fp16", 0.08, 150), ("bf16", 0.15, 1000)])
def test_reduced_precision_has_its_own_limits(precision: str, rmse: float, flips: int) -> None:
    assert not failures(row(rmse=rmse, flips=flips, max_abs=9.0), precision=precision)
    assert failures(row(rmse=rmse * 1.01), precision=precision) and failures(row(flips=flips + 1), precision=precision)


def test_flips_count_over_all_pictures_together_and_each_path_for_itself() -> None:
    assert not failures(row(flips=1), row(flips=1))
    assert failures(row(flips=2), row(flips=1))
    (failure,) = failures(row(path="good"), row(path="bad", max_abs=1.0))
    assert failure.startswith("bad: ")


def test_a_broken_path_is_not_averaged_away_by_a_nan_elsewhere() -> None:
    assert failures(row(), row(max_abs=float("nan"))) and failures(row(max_abs=float("nan")), row())
    assert failures(row(), row(psnr=float("nan")))


def test_a_picture_that_both_reproduce_exactly_passes() -> None:
    exact = row(psnr=float("inf"), psnr_torch=float("inf"))
    assert not failures(exact) and not failures(row(), exact)
    assert failures(row(psnr=37.9), exact) and failures(row(psnr_torch=float("inf")))
