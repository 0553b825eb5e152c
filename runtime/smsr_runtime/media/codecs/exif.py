"""EXIF data: orientation, which changes pixels; and the whole of it from file to file, set right for the result.

A block has TIFF's structure, without the `Exif` in front that JPEG and WebP have. JPEG, PNG and WebP keep its bytes in
their places, so that a camera's own notes, which point into it, stay readable; TIFF has its directories among its own.
"""

from __future__ import annotations

import struct
from typing import Sequence

from smsr_runtime.media.codecs.tags import Block, Entry, packed
from smsr_runtime.media.picture import Picture

ORIENTATION = 0x0112
_PREFIX = b"Exif\0\0"
_EXIF, _GPS = 0x8769, 0x8825
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 316, 33432, *range(40091, 40096))
"""What a TIFF's main directory says about the picture: description, camera, date, artist, copyright, titles."""
_WIDTH, _HEIGHT = (256, 40962), (257, 40963)
"""The picture's size, in the main directory and in EXIF's."""
_MAKER_NOTE, _INTEROPERABILITY = 37500, 40965
_SHORT, _LONG = 3, 4


def orientation(block: bytes) -> int:
    """EXIF orientation 1..8 of a block or a TIFF file; 1 where it has none."""
    try:
        tags = Block(block)
    except ValueError:
        return 1
    value = tags.integer(tags.directory(tags.first).get(ORIENTATION), 1)
    return value if 1 <= value <= 8 else 1


def usable(data: bytes | None) -> bytes | None:
    """The block of EXIF data with or without its prefix; None where nothing can be read from it."""
    block = (data or b"")[len(_PREFIX) if (data or b"").startswith(_PREFIX) else 0 :]
    try:
        tags = Block(block)
    except ValueError:
        return None
    return block if tags.directory(tags.first) and not tags.big else None


def has_maker_note(block: bytes) -> bool:
    """Whether a camera's own notes are among it, which no TIFF of ours keeps: they point into the block."""
    tags = Block(block)
    main = tags.directory(tags.first)
    return _MAKER_NOTE in tags.directory(tags.integer(main.get(_EXIF), 0))


def updated(picture: Picture) -> bytes:
    """The picture's block for its pixels as they are now: upright, of this size, without the source's thumbnail."""
    assert picture.exif is not None
    tags, data = Block(picture.exif), bytearray(picture.exif)
    main = tags.directory(tags.first)
    for directory in (main, tags.directory(tags.integer(main.get(_EXIF), 0))):
        for names, value in ((_WIDTH, picture.width), (_HEIGHT, picture.height), ((ORIENTATION,), 1)):
            for field in (directory[name] for name in names if name in directory):
                struct.pack_into(f"{tags.order}HII", data, field.entry + 2, _LONG, 1, value)
                if value == 1 and names == (ORIENTATION,):
                    struct.pack_into(f"{tags.order}HIHH", data, field.entry + 2, _SHORT, 1, value, 0)
    end = tags.first + 2 + 12 * struct.unpack_from(f"{tags.order}H", data, tags.first)[0]
    if end + 4 <= len(data):
        data[end : end + 4] = bytes(4)
    return bytes(data)


def with_prefix(picture: Picture) -> bytes:
    return _PREFIX + updated(picture)


def from_tiff(data: bytes) -> bytes | None:
    """A block of what a TIFF file says about its picture; None where it says nothing."""
    tags = Block(data)
    entries, extra = _collected(tags, 8)
    return b"II*\0" + struct.pack("<I", 8 + len(extra)) + extra + packed(entries, 8 + len(extra)) if entries else None


def directories(picture: Picture, start: int) -> tuple[Sequence[Entry], bytes]:
    """For a TIFF: entries of its main directory, and the directories they point to, which lie at byte `start`."""
    return _collected(Block(updated(picture)), start) if picture.exif else ((), b"")


def _collected(tags: Block, start: int) -> tuple[Sequence[Entry], bytes]:
    main = tags.directory(tags.first)
    entries = [tags.entry(tag, main[tag]) for tag in _DESCRIPTIVE if tag in main]
    extra = b""
    for pointer in (_EXIF, _GPS):
        directory = tags.directory(tags.integer(main.get(pointer), 0))
        kept = [tags.entry(tag, field) for tag, field in directory.items()
                if tag not in (_MAKER_NOTE, _INTEROPERABILITY)]  # fmt: skip
        if kept:
            entries.append((pointer, _LONG, 1, struct.pack("<I", start + len(extra))))
            extra += packed(kept, start + len(extra))
    return entries, extra
