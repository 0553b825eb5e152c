"""What engines are timed on: pictures, folders of pictures, and the middle frame of videos at given sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smsr import images
from smsr.images import Image, Source
from smsr_runtime.arrays import to_planes
from smsr_runtime.errors import DataError, UsageError
from smsr_runtime.media.suffixes import VIDEO_SUFFIXES


@dataclass(frozen=True)
class Input:
    """image: (1, 3, H, W) float32 RGB, 0..255; high: (sH, sW, 3) RGB, what it was made from, where that is at hand."""

    name: str
    image: NDArray[np.float32]
    high: Image | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)"""
        return self.image.shape[2], self.image.shape[3]

    @property
    def pixels(self) -> int:
        return math.prod(self.size)

    def mirrored_to(self, height: int, width: int) -> Input:
        """Cut, or repeated by reflection, to another size, which keeps the texture and so the active share."""
        rows, columns = max(0, height - self.size[0]), max(0, width - self.size[1])
        padded = np.pad(self.image, ((0, 0), (0, 0), (0, rows), (0, columns)), mode="symmetric")
        return Input(f"{self.name} {width}x{height}", np.ascontiguousarray(padded[:, :, :height, :width]))


def read(paths: Sequence[Path], frame_sizes: Sequence[tuple[int, int]], scale: int) -> list[Input]:
    """Every picture of `paths`, and each video's middle frame at every (h, w) of `frame_sizes`. Raises DataError.

    Pictures of a data set's folder LR_bicubic/X<scale> come with their high-resolution ones, from its folder HR.
    """
    inputs: list[Input] = []
    for path in paths:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            frame = Input(path.stem, to_planes(_middle_frame(path)))
            inputs += [frame.mirrored_to(*size) for size in frame_sizes]
        else:
            inputs += [
                Input(source.name, to_planes(source.high()), high_of(source, scale)) for source in pictures(path)
            ]
    return inputs


def pictures(path: Path) -> list[Source]:
    """A picture, or those of a folder. Raises DataError."""
    return images.find(path, 1) if path.is_dir() else [Source(path.parent, path.name)]


def high_of(source: Source, scale: int) -> Image | None:
    """The high-resolution picture of `LR_bicubic/X<scale>/NAME` of a data set, cut to (sH, sW); None elsewhere."""
    folder = source.container.resolve()
    data_set = folder.parent.parent
    if folder.parts[-2:] != ("LR_bicubic", f"X{scale}") or not (data_set / "HR").is_dir():
        return None
    pairs = images.find(data_set / "HR", scale, "auto")
    pair = next((pair for pair in pairs if pair.low is not None and pair.low.name == Path(source.member).name), None)
    return images.read_pair(pair, scale)[1] if pair is not None else None


def parse_size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT -> (h, w). Raises UsageError."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise UsageError("--frame-sizes", "WIDTHxHEIGHT, e.g. 1280x720", repr(text), "separate sizes by commas")
    return int(height), int(width)


def _middle_frame(file: Path) -> NDArray[np.uint8]:
    import av

    try:
        with av.open(str(file)) as container:
            count = sum(1 for _ in container.decode(video=0))
        with av.open(str(file)) as container:
            frames = itertools.islice(container.decode(video=0), count // 2, None)
            frame = next((frame.to_ndarray(format="rgb24") for frame in frames), None)
    except (OSError, av.FFmpegError, IndexError) as error:
        got = getattr(error, "strerror", None) or "no video stream"
        raise DataError(file, "a readable video", got, "check the file") from error
    if frame is None:
        raise DataError(file, "a video with frames", "none", "check the file")
    return np.asarray(frame, np.uint8)
