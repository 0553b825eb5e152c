"""JPEG, WebP and BMP without Pillow: OpenCV alone, with the checks it leaves out."""

from __future__ import annotations

import struct

import cv2

from smsr_runtime.errors import MissingPackageError
from smsr_runtime.media.codecs import exif, opencv
from smsr_runtime.media.picture import Picture, from_channels, oriented

_JPEG, _END_OF_IMAGE = b"\xff\xd8\xff", b"\xff\xd9"
_INSTALL = "pip install pillow"
NOTE = "Pillow is not installed: a colour profile and EXIF data, if any, are left out"


def decode(data: bytes, where: str) -> Picture:
    """Raises PictureError for a damaged file, MissingPackageError for what needs Pillow."""
    if data.startswith(_JPEG):
        _check_jpeg(data, where)
        # ANYCOLOR and not UNCHANGED: the latter ignores EXIF orientation
        return from_channels(opencv.decode(data, where, cv2.IMREAD_ANYCOLOR), where, notes=[NOTE])
    if data[:4] == b"RIFF" or data[:2] == b"BM":
        # UNCHANGED, for WebP's transparency, ignores its EXIF orientation
        upright = oriented(opencv.decode(data, where), _webp_orientation(data))
        return from_channels(upright, where, notes=[NOTE])
    raise MissingPackageError(where, "Pillow, to read this format", "it is not installed", _INSTALL)


def _webp_orientation(data: bytes) -> int:
    """EXIF orientation 1..8 of a RIFF file, which is chunks of a name, a size and as many bytes, an even number."""
    position = 12
    while position + 8 <= len(data) and data[:4] == b"RIFF":
        name, size = struct.unpack_from("<4sI", data, position)
        if name == b"EXIF":
            return exif.orientation(exif.usable(data[position + 8 : position + 8 + size]) or b"")
        position += 8 + size + size % 2
    return 1


def _check_jpeg(data: bytes, where: str) -> None:
    """OpenCV fills the missing part of a JPEG with gray, and reads CMYK wrongly."""
    position, components = 2, 0
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker, size = struct.unpack_from(">xBH", data, position)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            components = data[position + 9]
        if marker == 0xDA:
            break
        position += 2 + size
    if components == 4:
        raise MissingPackageError(where, "Pillow, to read a CMYK picture", "it is not installed", _INSTALL)
    if data.find(_END_OF_IMAGE, position) < 0:
        raise opencv.damaged(where, "a JPEG that is cut short")
