"""Multiply-accumulates (MACs), counted from the masks as the paper does (SMSR, section 4.1).

Counted: every convolution of the network per input (low-resolution) pixel. Not counted, as in the paper:
bias, ReLU, pooling, the few MACs of channel attention, bicubic upscaling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smsr.network import NetworkConfig


@dataclass(frozen=True)
class ModuleMacs:
    """MACs per pixel of one module's masked convolutions and 1x1: where active, and where not."""

    active: int
    inactive: int

    def at(self, active_share: float) -> float:
        """MACs per pixel at an active share in 0..1."""
        return active_share * self.active + (1.0 - active_share) * self.inactive


@dataclass(frozen=True)
class NetworkMacs:
    """MACs per low-resolution pixel: what is always paid, and the modules'."""

    fixed: float
    modules: tuple[ModuleMacs, ...]

    @property
    def dense(self) -> float:
        """MACs per pixel with every pixel active."""
        return self.fixed + sum(module.active for module in self.modules)

    def remaining(self, active_shares: Sequence[float]) -> float:
        """MACs per pixel with these active shares, one a module, each 0..1."""
        return self.fixed + sum(module.at(share) for module, share in zip(self.modules, active_shares, strict=True))


def module_macs(features: int, dense_channels: Sequence[int]) -> ModuleMacs:
    """Active pixel: full C -> C; inactive: dense -> dense (the first layer's inputs are all dense)."""
    inputs = [features, *dense_channels[:-1]]
    inactive = sum(9 * before * after for before, after in zip(inputs, dense_channels, strict=True))
    layers = len(dense_channels)
    return ModuleMacs(
        active=layers * (9 * features**2 + features**2), inactive=inactive + sum(dense_channels) * features
    )


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
