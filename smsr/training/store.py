"""The training pictures: all in memory (or mapped) as one flat buffer, else read again for each patch."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smsr import images, resize
from smsr.images import Image, MismatchError, Source
from smsr.training.plan import Ints
from smsr_runtime.errors import DataError

_MARGIN = 8
"""Low-resolution pixels read around a patch, so that its low side is that of the whole picture (the kernel needs 4)."""


@dataclass(frozen=True)
class Store:
    """I pictures. sizes: (I, 2) heights and widths of the low sides; pixels: low and high, (P, 3) uint8, or None.

    places: (I,) first pixel of each image in the flat low buffer, times scale**2 in the high one; None: in order.
    """

    scale: int
    sources: list[Source]
    sizes: Ints
    pixels: tuple[Tensor, Tensor] | None
    places: Ints | None = None

    @functools.cached_property
    def starts(self) -> Ints:
        """(I,) first pixel of each image in the flat low buffer; times scale**2 in the high one."""
        if self.places is not None:
            return self.places
        areas = self.sizes.prod(axis=1)
        return np.asarray(np.cumsum(areas) - areas, np.int64)

    @property
    def fingerprint(self) -> str:
        """Names and sizes, hashed: the same on every machine that has the same pictures."""
        lines = [f"{source.name} {h}x{w}" for source, (h, w) in zip(self.sources, self.sizes.tolist(), strict=True)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def patch(self, image: int, y: int, x: int, size: int) -> tuple[Image, Image]:
        """Low (size, size, 3) and high (s size, s size, 3) of one image."""
        if self.pixels is None:
            return _read_patch(self.sources[image], self.scale, (y, x), size)
        low, high = self.image(image)
        s = self.scale
        return low[y : y + size, x : x + size], high[s * y : s * (y + size), s * x : s * (x + size)]

    def image(self, index: int) -> tuple[Image, Image]:
        """Low and high side of a whole image."""
        if self.pixels is None:
            return images.read_pair(self.sources[index], self.scale)
        (height, width), start, s = self.sizes[index].tolist(), int(self.starts[index]), self.scale
        area = height * width
        low = self.pixels[0][start : start + area].view(height, width, 3)
        high = self.pixels[1][start * s * s : (start + area) * s * s].view(height * s, width * s, 3)
        return low.numpy(), high.numpy()

    def subset(self, indices: Sequence[int]) -> Store:
        """The store of some of the images, which shares the pixels."""
        rows = list(indices)
        return Store(self.scale, [self.sources[row] for row in rows], self.sizes[rows], self.pixels, self.starts[rows])


@dataclass
class Loading:
    """How to read. min_side: smallest side, low-resolution pixels; cache: "memory" or "none"; threads: 0 for up to 8.

    skipped: `load` adds a line per picture that it leaves out.
    """

    scale: int
    min_side: int
    cache: str = "memory"
    threads: int = 0
    skipped: list[str] = field(default_factory=list)


def load(sources: Sequence[Source], loading: Loading) -> Store:
    """Reads every picture once. Unreadable and too small ones are left out, and named in `loading.skipped`.

    Raises DataError where none is left, and where a low side does not belong to its high side.
    """
    keep = loading.cache == "memory"
    threads = loading.threads or min(8, os.cpu_count() or 1)
    kept: list[Source] = []
    sizes: list[tuple[int, int]] = []
    lows: list[NDArray[np.uint8]] = []
    highs: list[NDArray[np.uint8]] = []
    with ThreadPoolExecutor(threads) as pool:
        for source, pair in zip(sources, pool.map(lambda source: _read(source, loading), sources), strict=True):
            if isinstance(pair, str):
                loading.skipped.append(pair)
                continue
            low, high = pair
            kept.append(source)
            sizes.append(low.shape[:2])
            if keep:
                lows.append(low.reshape(-1, 3))
                highs.append(high.reshape(-1, 3))
    if not kept:
        first = loading.skipped[0] if loading.skipped else "no pictures"
        raise DataError("training data", "at least one usable picture", f"none ({first})", "name another folder")
    pixels = (torch.from_numpy(np.concatenate(lows)), torch.from_numpy(np.concatenate(highs))) if keep else None
    return Store(loading.scale, kept, np.array(sizes, np.int64), pixels)


def _read(source: Source, loading: Loading) -> tuple[Image, Image] | str:
    """Low and high, or why this picture is left out."""
    try:
        low, high = images.read_pair(source, loading.scale)
    except MismatchError:
        raise
    except DataError as error:
        return str(error)
    if min(low.shape[:2]) < loading.min_side:
        side = loading.min_side * loading.scale
        return f"{source}: expected at least {side}x{side}, got {high.shape[1]}x{high.shape[0]}; left out"
    return low, high


def _read_patch(source: Source, scale: int, corner: tuple[int, int], size: int) -> tuple[Image, Image]:
    """One patch from the file. Without a low file only the part that the patch's low side depends on is downscaled."""
    if source.low is not None:
        low, high = images.read_pair(source, scale)
        box = tuple(slice(start, start + size) for start in corner)
        big = tuple(slice(scale * start, scale * (start + size)) for start in corner)
        return low[box], high[big]
    high = resize.crop_to_multiple(source.high(), scale)
    (y0, y1), (x0, x1) = (
        (max(0, start - _MARGIN), min(side // scale, start + size + _MARGIN))
        for start, side in zip(corner, high.shape[:2], strict=True)
    )
    around = high[scale * y0 : scale * y1, scale * x0 : scale * x1]
    y, x = corner[0] - y0, corner[1] - x0
    low = resize.downscale(around, scale)[y : y + size, x : x + size]
    return low, around[scale * y : scale * (y + size), scale * x : scale * (x + size)]
