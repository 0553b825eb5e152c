"""Animated GIF, WebP and PNG: every frame with its time, written as animated WebP or PNG. Through Pillow."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

import numpy as np

from smsr_runtime.media.codecs import opencv, pillow
from smsr_runtime.media.codecs.header import Header
from smsr_runtime.media.picture import Picture, from_channels, to_channels

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ("PNG", "WEBP")
"""Formats of results that hold an animation."""
_SOURCES = ("GIF", "WEBP", "PNG")
_LONGEST = {"PNG": 65535, "WEBP": 2**24 - 1}
"""Milliseconds of one frame."""
_MOST_PLAYS = 65535
_XMP = "XML:com.adobe.xmp"
_PNG, _ANIMATED_WEBP = b"\x89PNG", 2


@dataclass(frozen=True)
class Frame:
    """milliseconds: how long it shows; plays: how often the whole animation is shown, 0 for without end."""

    picture: Picture
    milliseconds: float
    plays: int


def is_animated(data: bytes, where: str) -> bool:
    """Whether the file has several frames and a reader for them is installed. Raises PictureError."""
    webp = data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and int.from_bytes(data[20:21], "little") & _ANIMATED_WEBP
    if not (data[:4] == b"GIF8" or webp or (data[:4] == _PNG and b"acTL" in data)) or not pillow.installed():
        return False
    with pillow.opened(data, where, _SOURCES) as image:
        if image.format == "GIF":  # whose number of frames takes reading all of them
            return bool(getattr(image, "is_animated", False))
        return _last(image) > _first(image)


def frames(data: bytes, where: str, check: Callable[[Header], None]) -> Iterator[Frame]:
    """Whole frames in order, RGBA with 8 bits. Raises PictureError, what `check` raises.

    check: called with the size of all frames, one above the other, before any is decoded.
    """
    notes = ["16 bits per channel are read as 8"] if data[:4] == _PNG and data[24] > 8 else []
    with pillow.opened(data, where, _SOURCES) as image:
        first, last = _first(image), _last(image)
        check(Header(image.height * (last + 1 - first), image.width))
        size = image.size
        plays, left_out = _plays(image), _left_out(image)
        icc = image.info.get("icc_profile") or None
        for number in range(first, last + 1):
            image.seek(number)
            image.load()
            if image.size != size:
                raise opencv.damaged(where, "frames of several sizes")
            array = np.asarray(image.convert("RGBA"))
            picture = from_channels(array, where, icc=icc, metadata_left_out=left_out, notes=list(notes))
            yield Frame(picture, float(image.info.get("duration", 0)), plays)


def fitting(frame: Frame, kind: str) -> Frame:
    """The frame with times that PNG or WEBP can state, and a note where these are others."""
    milliseconds, plays = min(frame.milliseconds, _LONGEST[kind]), frame.plays if frame.plays <= _MOST_PLAYS else 0
    if (milliseconds, plays) == (frame.milliseconds, frame.plays):
        return frame
    notes = [*frame.picture.notes, f"{kind} cannot state its times: the nearest are taken"]
    return Frame(replace(frame.picture, notes=notes), milliseconds, plays)


def encode(sequence: Sequence[Frame], kind: str, quality: int) -> bytes:
    """The animation as PNG or WEBP; without alpha where all of it is opaque."""
    pictures = [frame.picture for frame in sequence]
    opaque = all(picture.alpha is None or picture.alpha.min() == 255 for picture in pictures)
    arrays: list[NDArray[Any]] = [picture.color if opaque else to_channels(picture) for picture in pictures]
    durations = [round(frame.milliseconds) for frame in sequence]
    options: dict[str, Any] = {"duration": durations, "loop": sequence[0].plays}
    if kind == "WEBP":
        options.update(quality=quality, exact=True)
    if pictures[0].icc:
        options["icc_profile"] = pictures[0].icc
    first, *rest = (pillow.image_module().fromarray(array) for array in arrays)
    stream = io.BytesIO()
    first.save(stream, kind, save_all=True, append_images=rest, **options)
    return stream.getvalue()


def _left_out(image: Any) -> tuple[str, ...]:
    """Names of what animated results do not keep."""
    info = image.info
    present = {
        "texts": image.format == "PNG" and any(isinstance(info[key], str) for key in info if key != _XMP),
        "EXIF data": "exif" in info,
        "resolution": "dpi" in info,
        "gamma": "gamma" in info and not {"icc_profile", "srgb"} & set(info),
    }
    return (*pillow.left_out(info), *(name for name, there in present.items() if there))


def _first(image: Any) -> int:
    """The number of the first frame: a PNG may begin with a picture for those who show no animation."""
    return 1 if image.info.get("default_image") else 0


def _last(image: Any) -> int:
    return int(getattr(image, "n_frames", 1)) - 1


def _plays(image: Any) -> int:
    """GIF states how often it is repeated, or nothing for once; the others how often it is shown."""
    loop = image.info.get("loop")
    if image.format != "GIF":
        return int(loop or 0)
    return 1 if loop is None else int(loop) + 1 if loop else 0
