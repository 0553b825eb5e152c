"""The pictures of a report: a few windows of what was verified, small, as one file can hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from smsr import metrics, resize
from smsr_export.parity.pictures import Picture
from smsr_runtime.arrays import to_pixels, to_planes

MOST = 3
"""Pictures on a page: the quietest, the busiest and one in between."""
LARGEST = 720
"""Pixels of an upscaled window's side."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Exhibit:
    """The middle of a picture. low: (h, w, 3); bicubic, upscaled: (sh, sw, 3); masks: (K, h, w).

    size: (height, width) of the whole picture; shares: its active share per module, 0..1.
    """

    name: str
    size: tuple[int, int]
    shares: tuple[float, ...]
    low: Pixels
    bicubic: Pixels
    upscaled: Pixels
    masks: NDArray[np.bool_]

    @property
    def share(self) -> float:
        return float(np.mean(self.shares))

    @property
    def whole(self) -> bool:
        """Whether the window is the whole picture."""
        return self.size == self.low.shape[:2]


def exhibit(name: str, low: Pixels, upscaled: NDArray[np.floating], margins: Sequence[NDArray[np.floating]]) -> Exhibit:
    """low: (H, W, 3); upscaled: (1, 3, sH, sW), 0..255, not clamped; margins: K of (1, 1, H, W), theta taken off."""
    height, width = low.shape[:2]
    scale = upscaled.shape[-1] // width
    rows, columns = (_middle(side, LARGEST // scale) for side in (height, width))
    large_rows, large_columns = (slice(part.start * scale, part.stop * scale) for part in (rows, columns))
    return Exhibit(
        name=name,
        size=(height, width),
        shares=tuple(float((margin > 0).mean()) for margin in margins),
        low=np.ascontiguousarray(low[rows, columns]),
        bicubic=_bicubic(low, scale)[large_rows, large_columns],
        upscaled=metrics.quantise(to_pixels(upscaled)[large_rows, large_columns]),
        masks=np.stack([margin[0, 0, rows, columns] > 0 for margin in margins]),
    )


def _middle(side: int, most: int) -> slice:
    start = max(0, (side - most) // 2)
    return slice(start, min(side, start + most))


def _bicubic(low: Pixels, scale: int) -> Pixels:
    """What the picture is without the network, by the network's own bicubic path."""
    return metrics.quantise(to_pixels(resize.upscale(torch.from_numpy(to_planes(low)), scale).numpy()))


class Gallery:
    """Sees pictures one by one and keeps MOST of them, ordered by active share: both ends and what lies between."""

    def __init__(self) -> None:
        self.exhibits: list[Exhibit] = []

    def see(self, picture: Picture, upscaled: NDArray[np.float32], margins: Sequence[NDArray[np.float32]]) -> None:
        shown = exhibit(picture.name, picture.low, upscaled, margins)
        self.exhibits = sorted([*self.exhibits, shown], key=lambda one: one.share)
        if len(self.exhibits) > MOST:
            middle = (self.exhibits[0].share + self.exhibits[-1].share) / 2
            farthest = max(self.exhibits[1:-1], key=lambda one: abs(one.share - middle))
            self.exhibits.remove(farthest)
