"""How much of a network works: channel splits, active shares and MACs, from its hard masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smsr import masks
from smsr.complexity import network_macs
from smsr.network import Network, NetworkConfig


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


def dense_channels(network: Network) -> list[list[int]]:
    """Per module, per layer, the number of dense output channels."""
    with torch.no_grad():
        gates = [masks.hard_channel_gates(module.body.ch_mask) for module in network.sparse_mask_modules]
    return [[int(layer.sum()) for layer in gate.dense] for gate in gates]


def active_shares(margins: Sequence[Tensor], theta: float = 0.0) -> list[float]:
    """Share of active pixels of each module's margin (N, 1, H, W)."""
    return [float((margin - theta > 0).float().mean()) for margin in margins]


def work(config: NetworkConfig, dense: Sequence[Sequence[int]], shares: Sequence[float]) -> Work:
    """Work of a network with these dense channels (per module and layer) and active shares (per module)."""
    macs = network_macs(config, dense)
    return Work(tuple(shares), macs.dense, macs.remaining(shares))
