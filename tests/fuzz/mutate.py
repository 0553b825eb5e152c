"""Changed copies of good files, the same ones for the same seed: where no coverage guides, the corpus must be good."""

from __future__ import annotations

import random

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF)


def mutated(data: bytes, other: bytes, source: random.Random) -> bytes:
    """One to four changes: bits, numbers at the edge of their types, parts cut out, doubled, or taken from `other`."""
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        source.choice((_flip, _number, _cut, _double, _take))(changed, other, source)
    return bytes(changed)


def _place(data: bytearray, source: random.Random) -> int:
    """Anywhere; half of the time in the first hundred bytes, where the headers are."""
    return source.randrange(max(1, min(len(data), source.choice((100, len(data))))))


def _flip(data: bytearray, other: bytes, source: random.Random) -> None:
    del other
    if data:
        data[_place(data, source)] ^= 1 << source.randrange(8)


def _number(data: bytearray, other: bytes, source: random.Random) -> None:
    del other
    size, at = source.choice((1, 2, 4, 8)), _place(data, source)
    number = source.choice(_NUMBERS) & (1 << 8 * size) - 1
    data[at : at + size] = number.to_bytes(size, source.choice(("little", "big")))


def _cut(data: bytearray, other: bytes, source: random.Random) -> None:
    del other
    at = _place(data, source)
    del data[at : at + source.choice((1, 2, 8, 64, len(data)))]


def _double(data: bytearray, other: bytes, source: random.Random) -> None:
    del other
    at = _place(data, source)
    data[at:at] = bytes(data[at : at + source.choice((1, 4, 16, 256))]) * source.choice((1, 1, 3))


def _take(data: bytearray, other: bytes, source: random.Random) -> None:
    start, at = source.randrange(max(1, len(other))), _place(data, source)
    data[at:at] = other[start : start + source.choice((1, 4, 16, 256))]
