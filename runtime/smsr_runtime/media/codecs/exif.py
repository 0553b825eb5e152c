"""The one EXIF tag that changes pixels: orientation."""

from __future__ import annotations

from smsr_runtime.media.codecs.tags import Block

ORIENTATION = 0x0112


def orientation(block: bytes) -> int:
    """EXIF orientation 1..8 from a TIFF-structured block (PNG's eXIf, JPEG's after Exif00); 1 where it has none."""
    try:
        tags = Block(block)
    except ValueError:
        return 1
    value = tags.integer(tags.directory(tags.first).get(ORIENTATION), 1)
    return value if 1 <= value <= 8 else 1
