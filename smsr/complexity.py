"""Multiply-accumulates (MACs), counted from the masks as the paper does (SMSR, section 4.1), and parameters.

Counted: every convolution of the network, per input (low-resolution) pixel. Not counted, as in the paper:
bias, ReLU, pooling, the few MACs of channel attention, bicubic upscaling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smsr.contract import CHANNEL_ATTENTION_REDUCTION
from smsr.network_config import NetworkConfig


@dataclass(frozen=True)
class ModuleMacs:
    """MACs of one module's masked convolutions and 1x1, per active pixel and per inactive pixel."""

    active: int
    inactive: int

    def at(self, active_share: float) -> float:
        """MACs per pixel at an active share in 0..1."""
        return active_share * self.active + (1.0 - active_share) * self.inactive


@dataclass(frozen=True)
class NetworkMacs:
    """MACs per low-resolution pixel. fixed: whatever the masks are; modules: what depends on them."""

    fixed: float
    modules: tuple[ModuleMacs, ...]

    @property
    def dense(self) -> float:
        """MACs per pixel with every pixel active."""
        return self.fixed + sum(module.active for module in self.modules)

    def remaining(self, active_shares: Sequence[float]) -> float:
        """MACs per pixel at these active shares, 0..1, one per module."""
        return self.fixed + sum(module.at(share) for module, share in zip(self.modules, active_shares, strict=True))


@dataclass(frozen=True)
class Work:
    """shares: active share of each module, 0..1; dense, remaining: MACs per low-resolution pixel."""

    shares: tuple[float, ...]
    dense: float
    remaining: float

    @property
    def active_share(self) -> float:
        return float(np.mean(self.shares))

    @property
    def macs_share(self) -> float:
        """Remaining over dense MACs, 0..1."""
        return self.remaining / self.dense


def work(config: NetworkConfig, dense_channels: Sequence[Sequence[int]], shares: Sequence[float]) -> Work:
    """Work of a network with these dense channels (per module and layer) and active shares (per module)."""
    macs = network_macs(config, dense_channels)
    return Work(tuple(shares), macs.dense, macs.remaining(shares))


def module_macs(features: int, dense_channels: Sequence[int]) -> ModuleMacs:
    """Active pixel: full C -> C; inactive: dense -> dense (the first layer's inputs are all dense)."""
    inputs = [features, *dense_channels[:-1]]
    inactive = sum(9 * before * after for before, after in zip(inputs, dense_channels, strict=True))
    active = len(dense_channels) * (9 * features**2 + features**2)
    return ModuleMacs(active, inactive + sum(dense_channels) * features)


def network_macs(config: NetworkConfig, dense_channels: Sequence[Sequence[int]]) -> NetworkMacs:
    """`dense_channels`: per module, per layer, the number of dense output channels."""
    c, quarter, phases = config.features, config.features // 4, 3 * config.scale**2
    branch = 9 * c * quarter + (9 * quarter**2 + 9 * quarter * 2) / 4
    head = 9 * 3 * c + 9 * c * c
    collect = config.modules * c * c + 9 * c * c
    tail = 9 * c * phases
    return NetworkMacs(
        fixed=head + config.modules * branch + collect + tail,
        modules=tuple(module_macs(c, counts) for counts in dense_channels),
    )


def parameters(config: NetworkConfig) -> int:
    """Number of trained values of a network: weights, biases, channel mask logits."""
    c, layers = config.features, config.layers
    quarter, reduced, phases = c // 4, c // CHANNEL_ATTENTION_REDUCTION, 3 * config.scale**2
    head = _conv(9 * 3, c) + _conv(9 * c, c)
    branch = _conv(9 * c, quarter) + _conv(9 * quarter, quarter) + _conv(9 * quarter, 2)
    attention = _conv(c, reduced) + _conv(reduced, c)
    module = branch + 2 * layers * c + layers * 9 * c * c + _conv(layers * c, c) + attention
    collect = _conv(config.modules * c, c) + _conv(9 * c, c)
    return head + config.modules * module + collect + _conv(9 * c, phases)


def _conv(inputs: int, outputs: int) -> int:
    """Weights and biases of a convolution; inputs: kernel size times input channels."""
    return inputs * outputs + outputs
