"""Tags of TIFF files and of the TIFF-structured blocks that EXIF data comes in. Reads nothing outside of the data."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Dict, Sequence, Tuple

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value by TIFF's type number."""
RATIONALS = (5, 10)
LETTERS = dict(zip((1, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 16, 17, 18), "BHIIbhiifdIQqQ"))
"""struct's letter of each numeric type; of numerator and denominator for rationals."""


@dataclass(frozen=True)
class Field:
    """One tag's value: TIFF's type, how many values, their bytes in the block's order.

    place: where these bytes lie; entry: where the directory's entry lies.
    """

    kind: int
    count: int
    content: bytes
    place: int
    entry: int


Directory = Dict[int, Field]
Entry = Tuple[int, int, int, bytes]
"""Tag, type, how many values, their bytes in little-endian order."""


def packed(entries: Sequence[Entry], start: int) -> bytes:
    """A directory of these entries to be placed at byte `start`, little-endian, its long values behind it."""
    head, values = b"", b""
    behind = start + 2 + 12 * len(entries) + 4
    for tag, kind, count, content in sorted(entries):
        if len(content) > 4:
            place = struct.pack("<I", behind + len(values))
            values += content + b"\0" * (len(content) % 2)
        else:
            place = content.ljust(4, b"\0")
        head += struct.pack("<HHI", tag, kind, count) + place
    return struct.pack("<H", len(entries)) + head + b"\0\0\0\0" + values


class Block:
    """A TIFF file or EXIF block in memory. Raises ValueError where the data does not begin as one."""

    def __init__(self, data: bytes) -> None:
        orders = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
        if data[:4] not in orders or len(data) < 16:
            raise ValueError("no TIFF header")
        self.data = data
        self.order, self.big = orders[data[:4]]
        (self.first,) = self._unpack("Q" if self.big else "I", 8 if self.big else 4)
        """Where the first directory lies."""

    def directory(self, start: int) -> Directory:
        """Tag -> field of the directory at byte `start`; fields that lie outside of the data are left out."""
        number, entry, head = ("Q", 20, 8) if self.big else ("H", 12, 2)
        if start < 8 or start + head > len(self.data):
            return {}
        (count,) = self._unpack(number, start)
        last = min(start + head + entry * count, len(self.data) - entry + 1)
        fields: Directory = {}
        for place in range(start + head, last, entry):
            field = self._field(place)
            if field is not None:
                fields.setdefault(self._unpack("H", place)[0], field)
        return fields

    def entry(self, tag: int, field: Field) -> Entry:
        """The field for a directory of its own."""
        letter = LETTERS.get(field.kind)
        if letter is None or self.order == "<":
            return tag, field.kind, field.count, field.content
        number = field.count * (2 if field.kind in RATIONALS else 1)
        values = struct.unpack(f">{number}{letter}", field.content)
        return tag, field.kind, field.count, struct.pack(f"<{number}{letter}", *values)

    def directories(self) -> int:
        """How many directories, that is pages of a TIFF, follow each other; a loop is not followed."""
        number, entry, head, offset = ("Q", 20, 8, "Q") if self.big else ("H", 12, 2, "I")
        seen: set[int] = set()
        start = self.first
        while start not in seen and 8 <= start <= len(self.data) - head:
            seen.add(start)
            end = start + head + entry * self._unpack(number, start)[0]
            if end + struct.calcsize(offset) > len(self.data):
                break
            (start,) = self._unpack(offset, end)
        return len(seen)

    def numbers(self, field: Field | None) -> tuple[float, ...]:
        """The values, rationals as quotients (NaN where the divisor is 0); none for text and for no field."""
        if field is None or field.kind not in LETTERS:
            return ()
        per_value = 2 if field.kind in RATIONALS else 1
        values = struct.unpack(f"{self.order}{field.count * per_value}{LETTERS[field.kind]}", field.content)
        if per_value == 1:
            return values
        return tuple(over / under if under else math.nan for over, under in zip(values[::2], values[1::2]))

    def integers(self, field: Field | None) -> tuple[int, ...]:
        """The values where all are whole numbers, else none."""
        values = self.numbers(field)
        whole = all(math.isfinite(value) and value == int(value) for value in values)
        return tuple(int(value) for value in values) if whole else ()

    def integer(self, field: Field | None, default: int) -> int:
        """The first value where all are whole numbers, else the default."""
        return (*self.integers(field), default)[0]

    def _field(self, place: int) -> Field | None:
        kind, count = self._unpack("HQ" if self.big else "HI", place + 2)
        size = SIZES.get(kind, 0) * count
        inline, at = (8, place + 12) if self.big else (4, place + 8)
        if size > inline:
            (at,) = self._unpack("Q" if self.big else "I", at)
        if size == 0 or at + size > len(self.data):
            return None
        return Field(kind, count, self.data[at : at + size], at, place)

    def _unpack(self, letters: str, place: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + letters, self.data, place)
