"""PBM, PGM, PPM: OpenCV reads the samples but not what their maximum value means."""

from __future__ import annotations

import re

import numpy as np

from smsr_runtime.media.codecs import opencv
from smsr_runtime.media.codecs.header import read_header
from smsr_runtime.media.picture import Picture, from_channels

MAGIC = tuple(b"P%d" % number for number in range(1, 7))
_BITMAPS = (b"P1", b"P4")
_BLANKS = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(rb"P\d" + 3 * (_BLANKS + rb"(\d+)"))


def decode(data: bytes, where: str) -> Picture:
    """Samples rescaled from the file's own maximum to 255 or 65535. Raises PictureError."""
    array = opencv.decode(data, where)
    stated = read_header(data)
    if stated is None or array.shape[:2] != (stated.height, stated.width):
        raise opencv.damaged(where, "another size than its header's")
    header = _HEADER.match(data)
    if data[:2] not in _BITMAPS and header:
        most, full = int(header.group(3)), np.iinfo(array.dtype).max
        if 0 < most < full:
            scaled = (array.astype(np.uint32) * full + most // 2) // most
            array = np.minimum(scaled, full).astype(array.dtype)
    return from_channels(array, where)


def encode(picture: Picture, extension: str, where: str) -> bytes:
    """Gray as PGM, colour as PPM, 8 or 16 bits."""
    return opencv.encode(extension, picture.color, where)
