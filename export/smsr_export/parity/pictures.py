"""What is compared on: the user's high-resolution pictures, or our own drawing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smsr import resize
from smsr.images import Source, find, read_pair
from smsr_export.sample import sample_picture

_OWN = {"own sample": (96, 128), "own sample, odd": (61, 75)}
"""Names, which no file's stem is likely to be, and low-resolution sizes (height, width)."""


@dataclass(frozen=True)
class Picture:
    """low: (H, W, 3) RGB uint8; high: its (sH, sW, 3) original, or None."""

    name: str
    low: NDArray[np.uint8]
    high: NDArray[np.uint8] | None = None


def own_pictures(scale: int) -> list[Picture]:
    """Our own drawing, at an even and at an odd size."""
    drawn = {name: sample_picture(height * scale, width * scale) for name, (height, width) in _OWN.items()}
    return [Picture(name, resize.downscale(high, scale), high) for name, high in drawn.items()]


def is_own(name: str) -> bool:
    """Whether a picture of that name is our own drawing."""
    return name in _OWN


def read_pictures(paths: Sequence[str], scale: int) -> list[Picture]:
    """High-resolution pictures of files, folders and ZIP files with their low-resolution side.

    Where `HR/NAME.png` has an `LR_bicubic/Xs/NAMExs.png` beside its folder, that is taken; otherwise the low
    side is made by antialiased bicubic. A file inside a folder `LR_bicubic` counts as low-resolution.
    Raises DataError.
    """
    return [_read(source, scale) for path in paths for source in _sources(Path(path), scale)]


def _sources(path: Path, scale: int) -> list[Source]:
    if path.is_dir() or path.suffix.lower() == ".zip":
        return find(path, scale)
    return [Source(path.parent, path.name)]


def _read(source: Source, scale: int) -> Picture:
    folder = source.container
    if "LR_bicubic" in folder.parts:
        return Picture(source.name, source.high())
    published = folder.parent / "LR_bicubic" / f"X{scale}" / f"{source.name}x{scale}.png"
    if published.is_file():
        source = dataclasses.replace(source, low=published)
    return Picture(source.name, *read_pair(source, scale))
