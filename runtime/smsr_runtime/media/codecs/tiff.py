"""Writes TIFF: 8 and 16 bits, gray and RGB, alpha, colour profile, resolution.

Written here because Pillow has no 16-bit colour and OpenCV keeps no profile. Deflate with horizontal
differencing (TIFF 6.0, section 14), strips of 64 rows.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Sequence, Tuple

import numpy as np

from smsr_runtime.errors import OutputError
from smsr_runtime.media.picture import Picture, to_channels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS = 64
_SHORT, _LONG, _RATIONAL, _UNDEFINED = 3, 4, 5, 7
_FORMAT = {_SHORT: "H", _LONG: "I", _RATIONAL: "I", _UNDEFINED: "B"}
Tag = Tuple[int, int, Sequence[int]]


def encode(picture: Picture, where: str) -> bytes:
    """Raises OutputError past TIFF's 4 GiB."""
    array = to_channels(picture)
    array = array.reshape(array.shape[0], array.shape[1], -1)
    strips = _strips(array)
    starts = np.cumsum([8] + [len(strip) + len(strip) % 2 for strip in strips]).tolist()
    tags = _tags(picture, array, starts[:-1], [len(strip) for strip in strips])
    body = b"".join(strip + b"\0" * (len(strip) % 2) for strip in strips)
    directory = _directory(tags, starts[-1])
    if starts[-1] + len(directory) >= 2**32:
        raise OutputError(where, "less than 4 GiB of TIFF", f"{starts[-1]} bytes", "write a PNG")
    return b"II*\0" + struct.pack("<I", starts[-1]) + body + directory


def _strips(array: NDArray[Any]) -> list[bytes]:
    """Rows as differences to the pixel on the left, packed, 64 rows at a time."""
    rows = array.astype(array.dtype.newbyteorder("<"))
    rows[:, 1:] -= array[:, :-1]  # unsigned: wraps around, as the format requires
    return [zlib.compress(rows[top : top + _ROWS].tobytes(), 6) for top in range(0, len(rows), _ROWS)]


def _tags(picture: Picture, array: NDArray[Any], starts: Sequence[int], sizes: Sequence[int]) -> list[Tag]:
    height, width, channels = array.shape
    x, y = picture.dpi or (72.0, 72.0)
    tags: list[Tag] = [
        (256, _LONG, [width]),
        (257, _LONG, [height]),
        (258, _SHORT, [8 * array.dtype.itemsize] * channels),
        (259, _SHORT, [8]),  # deflate
        (262, _SHORT, [1 if picture.gray else 2]),
        (273, _LONG, starts),
        (277, _SHORT, [channels]),
        (278, _LONG, [_ROWS]),
        (279, _LONG, sizes),
        (282, _RATIONAL, [round(x * 1000), 1000]),
        (283, _RATIONAL, [round(y * 1000), 1000]),
        (296, _SHORT, [2]),  # per inch
        (317, _SHORT, [2]),  # horizontal differencing
    ]
    if picture.alpha is not None:
        tags.append((338, _SHORT, [2]))  # alpha, not premultiplied
    if picture.icc:
        tags.append((34675, _UNDEFINED, list(picture.icc)))
    return tags


def _directory(tags: Sequence[Tag], start: int) -> bytes:
    """The image file directory placed at byte `start`, long values behind it."""
    entries, values = b"", b""
    behind = start + 2 + 12 * len(tags) + 4
    for tag, kind, content in tags:
        packed = struct.pack(f"<{len(content)}{_FORMAT[kind]}", *content)
        count = len(content) // 2 if kind == _RATIONAL else len(content)
        if len(packed) > 4:
            place = struct.pack("<I", behind + len(values))
            values += packed + b"\0" * (len(packed) % 2)
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + place
    return struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + values
