"""The published x2 weights in PyTorch: the numbers of the paper (DESIGN 2)."""

from __future__ import annotations

import numpy as np
import pytest

from smsr import masks, metrics
from smsr.network import InferenceResult, Network
from smsr_export.parity.pictures import Picture


@pytest.mark.slow
def test_set5_x2_is_37_99_db_and_ssim_0_960(set5_x2: list[tuple[Picture, InferenceResult]]) -> None:
    decibels, similarities, shares = [], [], []
    for picture, (upscaled, margins) in set5_x2:
        pixels = metrics.quantise(upscaled[0].permute(1, 2, 0).numpy())
        assert picture.high is not None
        decibels.append(metrics.psnr_y(pixels, picture.high, 2))
        similarities.append(metrics.ssim_y(pixels, picture.high, 2))
        shares += [float((margin > 0).float().mean()) for margin in margins]
    assert np.mean(decibels) == pytest.approx(37.991, abs=0.001)
    assert np.mean(similarities) == pytest.approx(0.9602, abs=1e-4)
    assert np.mean(shares) == pytest.approx(0.37, abs=0.005)


def test_the_published_weights_have_the_published_dense_channels(x2_network: Network) -> None:
    gates = [masks.hard_channel_gates(module.body.ch_mask) for module in x2_network.body]
    counts = [[int(layer.sum()) for layer in gate.dense] for gate in gates]
    assert counts == [[24, 9, 3, 0], [16, 4, 1, 0], [16, 7, 1, 0], [3, 0, 0, 0], [14, 5, 0, 0]]
    assert all(bool((gate.dense + gate.sparse == 1).all()) for gate in gates)
