"""Fits the tail in closed form, at a warm start from a network of another scale.

The tail is one convolution and a pixel shuffle: linear in the features. With the rest as it comes from the other scale,
its best weights in the sense of least squares are the solution of one system of linear equations, for which a random
tail would need hundreds of steps that also disturb the rest.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr import resize
from smsr.network import Network
from smsr.training.batches import Batch

_RIDGE = 1e-9
"""Times the mean of the diagonal, added to it: keeps the system solvable where features are alike."""


@torch.no_grad()
def fit_tail(network: Network, batches: Iterable[Batch]) -> None:
    """Sets the tail to the one with the least squared error on the batches, with hard masks."""
    convolution = network.tail[0]
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    columns = convolution.weight[0].numel() + 1
    gram = convolution.weight.new_zeros(columns, columns, dtype=torch.float64)
    moments = gram.new_zeros(columns, convolution.out_channels)
    for batch in batches:
        inputs, target = _equations(network, batch.low.float(), batch.high.float())
        gram += inputs.T @ inputs
        moments += inputs.T @ target
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean())
    solution = torch.linalg.solve(gram, moments).T
    convolution.weight.copy_(solution[:, :-1].reshape(convolution.weight.shape))
    convolution.bias.copy_(solution[:, -1])


def _equations(network: Network, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Of the tail's convolution at P pixels, float64: inputs (P, 9 C + 1), the last one 1, and targets (P, 3 s s)."""
    centred = low - network.mean
    features, _ = network.hard_features(centred)
    base = resize.upscale(centred, network.config.scale) + network.mean
    target = F.pixel_unshuffle(high - base, network.config.scale).flatten(2)
    windows = F.unfold(features, 3, padding=1)
    inputs = torch.cat([windows, torch.ones_like(windows[:, :1])], dim=1)
    return _pixels_first(inputs), _pixels_first(target)


def _pixels_first(values: Tensor) -> Tensor:
    """(N, K, H W) -> (N H W, K), float64."""
    return values.transpose(1, 2).flatten(0, 1).double()
