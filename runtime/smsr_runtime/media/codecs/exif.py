"""The one EXIF tag that changes pixels: orientation."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112


def orientation(tiff: bytes) -> int:
    """EXIF orientation 1..8 from a TIFF-structured block (PNG's eXIf, JPEG's after Exif00); 1 where it has none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 10:
        return 1
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if start + 2 > len(tiff):
        return 1
    (entries,) = struct.unpack_from(order + "H", tiff, start)
    for entry in range(start + 2, min(start + 2 + 12 * entries, len(tiff) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == _ORIENTATION and kind == 3 and 1 <= value <= 8:
            return int(value)
    return 1
