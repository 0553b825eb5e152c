"""Multiply-accumulates, against the paper's numbers and those measured with the published weights."""

from __future__ import annotations

import pytest

from smsr import masks
from smsr.complexity import module_macs, network_macs, parameters
from smsr.network import InferenceResult, Network, NetworkConfig
from smsr_export.parity.pictures import Picture

REAL_X2 = [(24, 9, 3, 0), (16, 4, 1, 0), (16, 7, 1, 0), (3, 0, 0, 0), (14, 5, 0, 0)]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_convolution_is_counted(scale: int) -> None:
    """Against the layers of the network itself, each at the resolution it works at."""
    config = NetworkConfig(scale=scale)
    network = Network(config)
    half = {"3", "5"}
    total = sum(
        parameter.numel() / (4 if "spa_mask" in name and name.split(".")[3] in half else 1)
        for name, parameter in network.named_parameters()
        if name.endswith("weight") and "conv_du" not in name
    )
    assert network_macs(config, REAL_X2).dense == total


@pytest.mark.parametrize("config", [NetworkConfig(), NetworkConfig(3, 16, 2, 3), NetworkConfig(4, 32, 1, 1)], ids=str)
def test_every_trained_value_is_counted(config: NetworkConfig) -> None:
    assert parameters(config) == sum(parameter.numel() for parameter in Network(config).parameters())


@pytest.mark.slow
def test_baby_costs_22_of_64_gmac(x2_network: Network, set5_x2: list[tuple[Picture, InferenceResult]]) -> None:
    ((baby, result),) = ((picture, result) for picture, result in set5_x2 if picture.name == "baby")
    counts = [masks.hard_channel_gates(module.body.ch_mask).dense.sum(1).int().tolist() for module in x2_network.body]
    macs = network_macs(x2_network.config, counts)
    shares = [float((margin > 0).float().mean()) for margin in result.margins]
    pixels = baby.low.shape[0] * baby.low.shape[1]
    assert macs.dense * pixels / 1e9 == pytest.approx(63.66, abs=0.01)
    assert macs.remaining(shares) * pixels / 1e9 == pytest.approx(22.28, abs=0.01)


def test_x2_to_1280x720_costs_what_the_paper_says_without_masks() -> None:
    # the paper's model without masks: 224.1 G for an output of 1280x720 (its count includes channel attention)
    macs = network_macs(NetworkConfig(scale=2), REAL_X2)
    assert macs.dense * 640 * 360 / 1e9 == pytest.approx(224.1, abs=0.5)


def test_all_dense_channels_cost_the_same_everywhere() -> None:
    macs = module_macs(64, (64, 64, 64, 64))
    assert macs.active == macs.inactive == 4 * 64 * 64 * 10


def test_no_dense_channels_cost_nothing_where_inactive() -> None:
    assert module_macs(64, (0, 0, 0, 0)).inactive == 0


def test_the_first_layer_reads_all_channels_and_the_next_the_dense_ones() -> None:
    assert module_macs(64, (24, 9)).inactive == 9 * 64 * 24 + 9 * 24 * 9 + (24 + 9) * 64


def test_remaining_lies_between_all_inactive_and_dense() -> None:
    macs = network_macs(NetworkConfig(), REAL_X2)
    assert macs.remaining([1.0] * 5) == macs.dense
    assert macs.fixed < macs.remaining([0.0] * 5) < macs.remaining([0.3] * 5) < macs.dense


def test_a_share_for_every_module_is_needed() -> None:
    with pytest.raises(ValueError):
        network_macs(NetworkConfig(), REAL_X2).remaining([0.5])
