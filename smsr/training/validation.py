"""Validation with the masks of inference: hard-mask PSNR is what counts (soft masks flatter)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from smsr import complexity, metrics
from smsr.complexity import Work
from smsr.network import Network
from smsr.training.store import Store
from smsr_runtime.arrays import to_pixels, to_planes

_LARGEST_PSNR = 100.0
"""dB; stands for infinity, which a mean would not survive."""


@dataclass(frozen=True)
class Validation:
    """psnr: dB on Y, mean over the images; work: mean over the images."""

    psnr: float
    work: Work


def validate(network: Network, store: Store, device: torch.device) -> Validation:
    """Upscales every image of the store with hard masks, float32."""
    scale, decibels, shares = store.scale, [], []
    for index in range(len(store.sources)):
        low, high = store.image(index)
        with torch.inference_mode():
            upscaled, margins = network.infer(torch.from_numpy(to_planes(low)).to(device))
            shares.append([float((margin > 0).float().mean()) for margin in margins])
        pixels = metrics.quantise(to_pixels(upscaled.cpu().numpy()))
        decibels.append(min(metrics.psnr_y(pixels, high, scale), _LARGEST_PSNR))
    work = complexity.work(network.config, network.dense_channels(), np.mean(shares, axis=0).tolist())
    return Validation(float(np.mean(decibels)), work)


def held_out(count: int, number: int) -> list[int]:
    """Indices, evenly spread over `count` images, of those held out; number -1: one in fifty, at most 100."""
    if number == -1:
        number = min(100, max(1, count // 50))
    return sorted({round(position) for position in np.linspace(0, count - 1, number + 2)[1:-1]})
