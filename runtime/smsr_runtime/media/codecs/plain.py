"""JPEG, WebP and BMP without Pillow: OpenCV alone, with the checks it leaves out."""

from __future__ import annotations

import struct

import cv2

from smsr_runtime.errors import MissingPackageError
from smsr_runtime.media.codecs import opencv
from smsr_runtime.media.picture import Picture, from_channels

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
        return from_channels(opencv.decode(data, where), where, notes=[NOTE])
    raise MissingPackageError(where, "Pillow, to read this format", "it is not installed", _INSTALL)


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
