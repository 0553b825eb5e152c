"""smsr-export --dial: the curve in the manifest is PyTorch's at each theta, and the model's bytes stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import smsr_runtime
from smsr import complexity, metrics
from smsr.network import Network
from smsr_export import dial
from smsr_export.parity.pictures import Picture, own_pictures
from smsr_export.writing import ExportRequest, export
from smsr_runtime.arrays import to_pixels
from smsr_runtime.bundle import read_bundle
from smsr_runtime.errors import ExportError
from tests.export.test_cli import assert_refused
from tests.export.test_cli import export as run
from tests.helpers import planes


def test_thetas_are_those_of_equal_shares_by_the_margins() -> None:
    margins = np.array([-3.0, 0.0, *range(1, 11)], np.float32)  # active: 1 to 10, the quantile q at 1 + 9 q
    assert dial.thetas(margins) == [0.0, 2.08, 3.16, 4.24, 5.32, 6.4]
    assert dial.thetas(np.array([-1.0, 0.0], np.float32)) == [0.0]
    assert dial.thetas(np.array([0.001, 0.002], np.float32)) == [0.0]  # all are 0, rounded


def test_each_point_is_what_pytorch_gives_at_its_theta(
    small_network: Network, small_checkpoint: Path, tmp_path: Path
) -> None:
    pictures = own_pictures(2)
    plain, dialled = tmp_path / "a.smsr", tmp_path / "b.smsr"
    export(small_network, ExportRequest(small_checkpoint, plain, pictures))
    export(small_network, ExportRequest(small_checkpoint, dialled, pictures, dial=True))
    assert (plain / "model.onnx").read_bytes() == (dialled / "model.onnx").read_bytes()
    assert "dial" not in read_bundle(plain).manifest
    entry = read_bundle(dialled).manifest["dial"]
    assert entry["pictures"] == 2 and entry["points"][0]["theta"] == 0 and len(entry["points"]) > 2
    for point in entry["points"]:
        share, macs, psnr = by_pytorch(small_network, pictures, point["theta"])
        assert point["active_share"] == pytest.approx(share, abs=2e-3)
        assert point["macs_share"] == pytest.approx(macs, abs=2e-3)
        assert point["psnr"] == pytest.approx(psnr, abs=0.02)


def by_pytorch(network: Network, pictures: list[Picture], theta: float) -> tuple[float, float, float]:
    """Mean active share, MACs of dense, PSNR: shares over all pixels, PSNR over pictures."""
    with torch.inference_mode():
        results = [network.infer(planes(picture.low), theta) for picture in pictures]
    masks = [[(margin - theta > 0).flatten() for margin in result.margins] for result in results]
    shares = [float(torch.cat(of_module).float().mean()) for of_module in zip(*masks, strict=True)]
    macs = complexity.work(network.config, network.dense_channels(), shares).macs_share
    decibels = [
        metrics.psnr_y(metrics.quantise(to_pixels(result.upscaled.numpy())), picture.high, 2)
        for result, picture in zip(results, pictures, strict=True)
        if picture.high is not None
    ]
    return float(np.mean(shares)), macs, float(np.mean(decibels))


def test_the_upscaler_keeps_its_theta_and_pictures_without_originals_have_no_psnr(
    small_network: Network, small_checkpoint: Path, tmp_path: Path
) -> None:
    pictures = [Picture(picture.name, picture.low) for picture in own_pictures(2)]
    export(small_network, ExportRequest(small_checkpoint, tmp_path / "a.smsr", pictures))
    upscaler = smsr_runtime.load(tmp_path / "a.smsr", theta=0.25)
    entry = dial.measure(upscaler, pictures)
    assert entry is not None and upscaler.theta == 0.25
    assert [point["psnr"] for point in entry["points"]] == [None] * len(entry["points"])


def test_no_curve_where_theta_changes_nothing(small_network: Network, small_checkpoint: Path, tmp_path: Path) -> None:
    network = Network(small_network.config).eval()
    network.load_state_dict(small_network.state_dict())
    with torch.no_grad():
        for module in range(2):
            network.get_parameter(f"body.{module}.spa_mask.5.weight").zero_()
            network.get_parameter(f"body.{module}.spa_mask.5.bias").copy_(torch.tensor([1.0, 0.0]))
    with pytest.raises(ExportError, match="the same at every theta"):
        export(network, ExportRequest(small_checkpoint, tmp_path / "a.smsr", own_pictures(2), dial=True))
    assert not list(tmp_path.iterdir())


def test_a_theta_that_changes_nothing_is_no_point(
    small_network: Network, small_checkpoint: Path, tmp_path: Path
) -> None:
    """One pixel with the margins 1 and 5: the thetas 1.48, 1.96, 2.44, 2.92 and 3.4 all leave one module of two."""
    network = Network(small_network.config).eval()
    network.load_state_dict(small_network.state_dict())
    with torch.no_grad():
        for module, margin in enumerate((1.0, 5.0)):
            network.get_parameter(f"body.{module}.spa_mask.5.weight").zero_()
            network.get_parameter(f"body.{module}.spa_mask.5.bias").copy_(torch.tensor([0.0, margin]))
    export(network, ExportRequest(small_checkpoint, tmp_path / "a.smsr", own_pictures(2)))
    picture = Picture("pixel", np.full((1, 1, 3), 80, np.uint8))
    entry = dial.measure(smsr_runtime.load(tmp_path / "a.smsr"), [picture])
    assert entry is not None
    assert [(point["theta"], point["active_share"]) for point in entry["points"]] == [(0, 1), (1.48, 0.5)]


@pytest.mark.parametrize("more", [[], ["--inline"], ["-o", "x.onnx"], ["--target", "triton"]])
def test_without_pictures_or_a_bundle_it_is_refused(more: list[str], small_checkpoint: Path, tmp_path: Path) -> None:
    assert_refused(run(small_checkpoint, "--dial", *more, cwd=tmp_path), 2, "--dial")
    assert not list(tmp_path.iterdir())
