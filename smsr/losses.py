"""The training objective: L1 on 0..255 plus lambda times the sparsity term (SMSR, equation 9)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from smsr.network import Network, Relaxation


class Losses(NamedTuple):
    """Scalars: total = l1 + sparsity_weight * sparsity; l1 in 0..255; sparsity in 0..1."""

    total: Tensor
    l1: Tensor
    sparsity: Tensor


class Annealing(NamedTuple):
    """Scalars of a step, as tensors so that a compiled step is not compiled again for new values."""

    tau: Tensor
    sparsity_weight: Tensor


class Noise(NamedTuple):
    """Gumbel noise of a step: spatial (K, N, 2, H, W), channel (K, 1, C, L, 2)."""

    spatial: Tensor
    channel: Tensor


class Objective(nn.Module):
    """A network with its loss, as one module, so that DistributedDataParallel and torch.compile cover both.

    hard: trains with the masks of inference; `ch_mask` must not change afterwards.
    """

    def __init__(self, network: Network, *, hard: bool = False) -> None:
        super().__init__()
        self.network = network
        self.hard_gates = network.hard_gates() if hard else None

    def forward(self, low: Tensor, high: Tensor, annealing: Annealing, noise: Noise | None = None) -> Losses:
        """low (N, 3, h, w), high (N, 3, sh, sw): RGB in 0..255, uint8 or float."""
        relaxation = Relaxation(
            tau=annealing.tau,
            spatial_noise=None if noise is None else noise.spatial,
            channel_noise=None if noise is None else noise.channel,
            hard=self.hard_gates is not None,
            hard_gates=self.hard_gates,
        )
        result = self.network.relax(low.float(), relaxation)
        l1 = torch.nn.functional.l1_loss(result.upscaled.float(), high.float())
        return Losses(l1 + annealing.sparsity_weight * result.sparsity, l1, result.sparsity)
