"""The pictures that int8 engines are calibrated on: never those that are timed, unless somebody names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smsr import images
from smsr.images import Source
from smsr_runtime.arrays import to_planes
from smsr_runtime.errors import DataError

COUNT, SIDE = 32, 128
"""Pictures, and the largest side that is cut out of their middle: each costs all activations of the network."""


@dataclass(frozen=True)
class Calibration:
    """origin: what they are, for the report; images: (1, 3, H, W) float32 RGB, 0..255."""

    origin: str
    images: tuple[NDArray[np.float32], ...]


def read(folder: Path, scale: int, timed: Iterable[Path] = ()) -> Calibration:
    """The low-resolution sides of COUNT pictures, spread evenly over a folder or ZIP file as smsr-train takes them.

    timed: the benchmark's own files; the origin says so where they are among these. Raises DataError.
    """
    sources = images.find(folder, scale, "auto")
    chosen = [sources[index * len(sources) // COUNT] for index in range(COUNT)] if len(sources) > COUNT else sources
    lows = tuple(to_planes(_middle(images.read_pair(source, scale)[0])) for source in chosen)
    place = "/".join(folder.resolve().parts[-2:])
    both = _files(chosen) & {file.resolve() for file in timed}
    return Calibration(f"{len(lows)} pictures of {place}" + (", timed here as well" if both else ""), lows)


def beside(paths: Sequence[Path], scale: int) -> Path | None:
    """The first folder with pictures in a folder `train` beside the benchmark pictures or their data set."""
    for home in (parent for path in paths for parent in path.resolve().parents):
        train = home / "train"
        if train.is_dir():
            folders = [train, *sorted(folder for folder in train.iterdir() if folder.is_dir())]
            return next((folder for folder in folders if _has_pictures(folder, scale)), None)
    return None


def _has_pictures(folder: Path, scale: int) -> bool:
    try:
        return bool(images.find(folder, scale))
    except DataError:
        return False


def _files(sources: Sequence[Source]) -> set[Path]:
    return {(source.low or source.container / source.member).resolve() for source in sources}


def _middle(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left = (max(0, (side - SIDE) // 2) for side in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]
