"""Spatial and channel masks, relaxed and hard."""

from __future__ import annotations

import pytest
import torch

from smsr import masks
from tests.helpers import channel_mask


def logits(*pairs: tuple[float, float], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """`ch_mask` logits of one layer, a pair a channel."""
    return torch.tensor(pairs, dtype=dtype).view(1, len(pairs), 1, 2)


def test_the_larger_logit_decides_and_an_exact_tie_is_dead() -> None:
    gates = masks.hard_channel_gates(logits((2.0, 1.0), (1.0, 2.0), (1.5, 1.5), (0.0, 0.0)))
    assert gates.dense.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert gates.sparse.tolist() == [[0.0, 1.0, 0.0, 0.0]]


def test_hard_gates_round_in_float32_whatever_the_type() -> None:
    nearly = logits((1.0 + 1e-12, 1.0), dtype=torch.float64)
    gates = masks.hard_channel_gates(nearly)
    assert gates.dense.item() == gates.sparse.item() == 0.0
    assert gates.dense.dtype == torch.float32


@pytest.mark.parametrize("split", [(0, 0), (16, 0), (0, 16), (5, 3), (5, 11), (1, 0)])
def test_the_test_helper_makes_the_given_split(split: tuple[int, int]) -> None:
    gates = masks.hard_channel_gates(channel_mask([split], 16, torch.Generator().manual_seed(1)))
    dense, dead = split
    assert (gates.dense.sum().item(), gates.sparse.sum().item()) == (dense, 16 - dense - dead)


def test_gumbel_noise_has_the_mean_and_variance_of_a_standard_gumbel() -> None:
    noise = masks.gumbel_noise(torch.empty(400_000), torch.Generator().manual_seed(3))
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.01)
    assert noise.var().item() == pytest.approx(torch.pi**2 / 6, abs=0.02)
    assert torch.isfinite(noise).all()


def test_gumbel_noise_is_that_of_its_generator() -> None:
    first, second = (masks.gumbel_noise(torch.empty(5), torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)


def test_noisy_choices_come_up_as_often_as_the_softmax_says() -> None:
    values = torch.tensor([0.3, -0.9, 1.1]).repeat(100_000, 1)
    relaxed = masks.gumbel_softmax(values, 0.1, 1, masks.gumbel_noise(values, torch.Generator().manual_seed(2)))
    shares = relaxed.argmax(1).bincount() / len(values)
    assert torch.allclose(shares, values[0].softmax(0), atol=0.005)


def test_soft_masks_become_hard_as_tau_falls() -> None:
    mask = channel_mask([(5, 0), (0, 0)], 16, torch.Generator().manual_seed(0))
    soft = masks.soft_channel_gates(mask, 1e-3, torch.zeros_like(mask))
    hard = masks.hard_channel_gates(mask)
    assert torch.allclose(soft.dense, hard.dense) and torch.allclose(soft.sparse, hard.sparse)


def test_soft_gates_lie_in_0_to_1_and_sum_to_1() -> None:
    mask = torch.randn(1, 16, 3, 2, generator=torch.Generator().manual_seed(0))
    gates = masks.soft_channel_gates(mask, 0.7, masks.gumbel_noise(mask))
    assert gates.dense.shape == (3, 16) and torch.allclose(gates.dense + gates.sparse, torch.ones(3, 16))


def test_the_second_logit_means_active() -> None:
    pixels = torch.tensor([[1.0, 3.0], [2.0, -1.0]]).view(1, 2, 1, 2)
    assert masks.spatial_margin(pixels).flatten().tolist() == [1.0, -4.0]
    soft = masks.soft_spatial_mask(pixels, 1.0, torch.zeros_like(pixels)).flatten()
    assert soft[0] > 0.5 > soft[1]
