"""Validation with the masks of inference: hard-mask PSNR is what counts (soft masks flatter)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from smsr import activity, metrics
from smsr.activity import Work
from smsr.network import Network
from smsr.training.store import Store


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
            planes = torch.from_numpy(low.copy()).to(device).permute(2, 0, 1)[None].float()
            upscaled, margins = network.infer(planes)
            shares.append(activity.active_shares(margins))
            pixels = metrics.quantise(upscaled[0].permute(1, 2, 0).cpu().numpy())
        decibels.append(min(metrics.psnr_y(pixels, high, scale), 100.0))
    mean_shares = np.mean(shares, axis=0).tolist()
    return Validation(
        float(np.mean(decibels)), activity.work(network.config, activity.dense_channels(network), mean_shares)
    )


def held_out(count: int, wanted: int) -> list[int]:
    """Indices, evenly spread over `count` images, of those held out; wanted -1: one in fifty, at most 100."""
    number = min(100, max(1, count // 50)) if wanted == -1 else wanted
    return sorted({round(position) for position in np.linspace(0, count - 1, number + 2)[1:-1]})
