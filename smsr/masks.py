"""Spatial and channel masks: relaxed (Gumbel softmax) in training, hard in inference (SMSR, section 3.1).

A spatial mask says which pixels need work; a channel mask says which channels need it everywhere (dense)
and which only where the spatial mask is set (sparse). A channel that is neither is dead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ChannelGates:
    """Gates of one module's layers, each (L, C) in 0..1: dense, sparse; hard gates are 0.0 or 1.0."""

    dense: Tensor
    sparse: Tensor


def gumbel_noise(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard Gumbel noise of `like`'s shape, type and device: -log(-log(u)), u uniform in (0, 1)."""
    exponential = torch.empty_like(like).exponential_(generator=generator)
    return -exponential.clamp_min(torch.finfo(like.dtype).tiny).log()


def gumbel_softmax(logits: Tensor, tau: float | Tensor, dim: int, noise: Tensor) -> Tensor:
    """softmax((logits + noise) / tau) over `dim`; soft, no straight-through (SMSR, equation 2)."""
    return torch.softmax((logits + noise) / tau, dim=dim)


def soft_channel_gates(logits: Tensor, tau: float | Tensor, noise: Tensor) -> ChannelGates:
    """Relaxed gates from `ch_mask` logits (1, C, L, 2) and noise of the same shape."""
    gates = gumbel_softmax(logits, tau, dim=3, noise=noise)[0].permute(1, 0, 2)
    return ChannelGates(dense=gates[..., 0], sparse=gates[..., 1])


def hard_channel_gates(logits: Tensor) -> ChannelGates:
    """Hard gates from `ch_mask` logits (1, C, L, 2): softmax in float32, rounded.

    An exact tie rounds to (0, 0), half to even: the channel is dead.
    """
    gates = torch.softmax(logits.float(), dim=3).round()[0].permute(1, 0, 2)
    return ChannelGates(dense=gates[..., 0], sparse=gates[..., 1])


def soft_spatial_mask(logits: Tensor, tau: float | Tensor, noise: Tensor) -> Tensor:
    """Relaxed spatial mask (N, 1, H, W) in 0..1 from logits and noise (N, 2, H, W); index 1 is active."""
    return gumbel_softmax(logits, tau, dim=1, noise=noise)[:, 1:]


def spatial_margin(logits: Tensor) -> Tensor:
    """Margin (N, 1, H, W) of logits (N, 2, H, W); a pixel is active where margin > theta."""
    return logits[:, 1:] - logits[:, :1]
