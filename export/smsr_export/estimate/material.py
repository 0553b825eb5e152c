"""The sample: pictures of a folder and frames of clips, evenly spread, as smsr-run would read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from smsr_runtime.errors import DataError, VideoError, reason
from smsr_runtime.media.image import decode
from smsr_runtime.media.picture import Picture, eight_bit
from smsr_runtime.media.suffixes import MOVING_PICTURES, PICTURE_SUFFIXES, VIDEO_SUFFIXES
from smsr_runtime.media.transparency import spread
from smsr_runtime.media.video.colour import Look, ToRgb
from smsr_runtime.media.video.options import Task, VideoOptions
from smsr_runtime.media.video.reading import Reader
from smsr_runtime.media.video.source import frame_count, frame_rate, open_source, video_stream

LONG_CLIP = 3000
"""Frames of a clip from which on only its key frames are decoded: an hour of video would take minutes."""
_MOVING = VIDEO_SUFFIXES | MOVING_PICTURES
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Sample:
    """One picture or frame. pixels: (H, W, 3) RGB uint8."""

    name: str
    pixels: NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)"""
        return self.pixels.shape[0], self.pixels.shape[1]


Say = Callable[[str], object]


def read(path: Path, count: int, say: Say) -> list[Sample]:
    """At most `count` samples of a picture, a clip, or the pictures and clips directly in a folder.

    The pictures are those that smsr-run would be given: they are not made smaller. say: takes a note on a damaged clip.
    Raises DataError, PictureError, VideoError, MemoryLimitError, MissingPackageError.
    """
    files = evenly(_files(path), count)
    frames = max(1, count // len(files))
    return [sample for file in files for sample in _samples(file, frames, say)]


def evenly(items: Sequence[_Item], count: int) -> list[_Item]:
    """At most `count` of the items, each from the middle of one of `count` equal parts."""
    if len(items) <= count:
        return list(items)
    return [items[(2 * index + 1) * len(items) // (2 * count)] for index in range(count)]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        names = sorted(path.iterdir())
    except OSError as error:
        raise DataError(path, "a readable folder", reason(error), "check its permissions") from error
    known = PICTURE_SUFFIXES | VIDEO_SUFFIXES
    files = [file for file in names if file.suffix.lower() in known and not file.name.startswith(".")]
    if not files:
        raise DataError(path, "pictures or videos directly in the folder", "none", "name the folder they lie in")
    return files


def _samples(file: Path, count: int, say: Say) -> list[Sample]:
    if file.suffix.lower() in _MOVING:
        return _frames(file, count, say)
    return [Sample(file.name, _rgb(decode(file)))]


def _rgb(picture: Picture) -> NDArray[np.uint8]:
    """(H, W, 3), under transparent pixels the colour that smsr-run puts there."""
    picture = eight_bit(picture)
    color = picture.color if picture.alpha is None else spread(picture.color, picture.alpha)
    return np.ascontiguousarray(color if color.ndim == 3 else np.repeat(color[:, :, None], 3, axis=2), np.uint8)


def _frames(file: Path, count: int, say: Say) -> list[Sample]:
    """`count` frames of a clip; of one with LONG_CLIP frames or more, of its key frames."""
    with open_source(file) as container:
        video = video_stream(container, file)
        stated = frame_count(file)
        if (stated or 0) >= LONG_CLIP:
            video.codec_context.skip_frame = "NONKEY"
        task = Task(file, file, VideoOptions())
        reader = Reader(container, video, task)
        kept = _spread_over(_decoded(reader, video), count)
        damage = reader.damage.error(task, float(frame_rate(video)), 0, None)
        if not kept:
            got = damage.got if damage else "none that can be decoded"
            raise VideoError(file, "at least one frame", got, "copy the file again")
        if damage:
            say(f"note: {file}: only what can be decoded is measured: {damage.got}")
        to_rgb = ToRgb(Look.of(kept[0], video), file, alpha=False)
        return [Sample(f"{file.name}{_time(frame)}", _eight_bits(to_rgb(frame))) for frame in kept]


def _spread_over(frames: Iterable[Any], count: int) -> list[Any]:
    """At most `count` frames. How many there are is known at the end only: every second one kept goes at times."""
    kept: list[Any] = []
    step = 1
    for number, frame in enumerate(frames):
        if number % step == step - 1:
            kept.append(frame)
        if len(kept) == 2 * count:
            kept, step = kept[1::2], 2 * step
    return evenly(kept, count)


def _decoded(reader: Reader, video: Any) -> Iterator[Any]:
    for packet in reader.packets([video]):
        yield from reader.frames(packet)
    yield from reader.rest()


def _time(frame: Any) -> str:
    return "" if frame.pts is None else f" at {float(frame.pts * frame.time_base):.2f} s"


def _eight_bits(frame: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(eight_bit(Picture(frame)).color, np.uint8)
