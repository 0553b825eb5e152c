"""Gumbel noise that depends on (seed, step, sample) alone: neither on the number of processes nor on a resume."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from smsr.losses import Noise
from smsr.network_config import NetworkConfig
from smsr.training.streams import Stream


def key(*numbers: int) -> int:
    """A 63-bit seed made from numbers >= 0."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class NoiseSource:
    """Draws the noise of a step on a device; `samples` are indices within the whole batch of all processes."""

    def __init__(self, config: NetworkConfig, seed: int, device: torch.device) -> None:
        self.config, self.seed, self.device = config, seed, device
        self.generator = torch.Generator(device)

    def draw(self, step: int, samples: range, height: int, width: int) -> Noise:
        """Noise for low-resolution patches of (height, width); the channels' noise is the same for every sample."""
        modules, layers, features = self.config.modules, self.config.layers, self.config.features
        spatial = torch.empty(len(samples), modules, 2, height, width, device=self.device)
        for row, sample in zip(spatial, samples, strict=True):
            self._fill(row, key(self.seed, Stream.SPATIAL_NOISE, step, sample))
        channel = torch.empty(modules, 1, features, layers, 2, device=self.device)
        self._fill(channel, key(self.seed, Stream.CHANNEL_NOISE, step))
        return Noise(_gumbel(spatial).transpose(0, 1), _gumbel(channel))

    def _fill(self, tensor: Tensor, seed: int) -> None:
        self.generator.manual_seed(seed)
        tensor.exponential_(generator=self.generator)


def _gumbel(exponential: Tensor) -> Tensor:
    """-log(exponential), in place: standard Gumbel noise."""
    return exponential.clamp_min_(torch.finfo(exponential.dtype).tiny).log_().neg_()
