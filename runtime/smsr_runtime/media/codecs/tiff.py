"""Writes TIFF: 8 and 16 bits, gray and RGB, alpha, colour profile, resolution, EXIF data.

Written here because Pillow has no 16-bit colour and OpenCV keeps no profile. Deflate with horizontal
differencing (TIFF 6.0, section 14), strips of 64 rows.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from smsr_runtime.errors import OutputError
from smsr_runtime.media.codecs import exif
from smsr_runtime.media.codecs.tags import Entry, packed
from smsr_runtime.media.picture import Picture, to_channels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS = 64
_SHORT, _LONG, _RATIONAL, _UNDEFINED = 3, 4, 5, 7


def encode(picture: Picture, where: str) -> bytes:
    """Raises OutputError past TIFF's 4 GiB."""
    array = to_channels(picture)
    array = array.reshape(array.shape[0], array.shape[1], -1)
    strips = _strips(array)
    starts = np.cumsum([8] + [len(strip) + len(strip) % 2 for strip in strips]).tolist()
    described, extra = exif.directories(picture, starts[-1])
    tags = [*_tags(picture, array, starts[:-1], [len(strip) for strip in strips]), *described]
    body = b"".join(strip + b"\0" * (len(strip) % 2) for strip in strips) + extra
    directory = packed(tags, 8 + len(body))
    if 8 + len(body) + len(directory) >= 2**32:
        raise OutputError(where, "less than 4 GiB of TIFF", f"{len(body)} bytes", "write a PNG")
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory


def _strips(array: NDArray[Any]) -> list[bytes]:
    """Rows as differences to the pixel on the left, packed, 64 rows at a time."""
    rows = array.astype(array.dtype.newbyteorder("<"))
    rows[:, 1:] -= array[:, :-1]  # unsigned: wraps around, as the format requires
    return [zlib.compress(rows[top : top + _ROWS].tobytes(), 6) for top in range(0, len(rows), _ROWS)]


def _tags(picture: Picture, array: NDArray[Any], starts: Sequence[int], sizes: Sequence[int]) -> list[Entry]:
    height, width, channels = array.shape
    x, y = picture.dpi or (72.0, 72.0)
    tags = [
        _entry(256, _LONG, [width]),
        _entry(257, _LONG, [height]),
        _entry(258, _SHORT, [8 * array.dtype.itemsize] * channels),
        _entry(259, _SHORT, [8]),  # deflate
        _entry(262, _SHORT, [1 if picture.gray else 2]),
        _entry(273, _LONG, starts),
        _entry(277, _SHORT, [channels]),
        _entry(278, _LONG, [_ROWS]),
        _entry(279, _LONG, sizes),
        _entry(282, _RATIONAL, [round(x * 1000), 1000]),
        _entry(283, _RATIONAL, [round(y * 1000), 1000]),
        _entry(296, _SHORT, [2]),  # per inch
        _entry(317, _SHORT, [2]),  # horizontal differencing
    ]
    if picture.alpha is not None:
        tags.append(_entry(338, _SHORT, [2]))  # alpha, not premultiplied
    if picture.icc:
        tags.append((34675, _UNDEFINED, len(picture.icc), picture.icc))
    return tags


def _entry(tag: int, kind: int, values: Sequence[int]) -> Entry:
    letter = "H" if kind == _SHORT else "I"
    count = len(values) // 2 if kind == _RATIONAL else len(values)
    return tag, kind, count, struct.pack(f"<{len(values)}{letter}", *values)
