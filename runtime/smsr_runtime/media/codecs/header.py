"""The size of a picture from its file's header, before anything is decoded.

A file of a few hundred bytes may state a size that takes gigabytes to decode: what a picture needs is compared with the
memory there is while nothing of it is allocated.
"""

from __future__ import annotations

import itertools
import re
import struct
from dataclasses import dataclass, replace
from typing import Callable, Iterator

from smsr_runtime.media.codecs.tags import Block

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_JP2, _J2K = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
_JXL, _JXL_BOXES = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
_JXL_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
"""Of a segment; the others stand alone."""
_JPEG_LAST = (0xD9, 0xDA)
_BLANKS = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PNM = re.compile(rb"P([1-6])" + 2 * (_BLANKS + rb"(\d{1,9})"))
_PNG_CHANNELS = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}
_MOST_BOXES, _DEEPEST_BOX = 10_000, 4
_DEPTHS_DIFFER = 255
"""In JP2's header: each channel's depth stands elsewhere."""
_BOXES_WITH_BOXES = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"jp2h": 0}
"""Boxes whose content is boxes again, and how many bytes stand before these."""


@dataclass(frozen=True)
class Header:
    """height, width: as stored, before any orientation; pixel_bytes: of one decoded pixel.

    bits: per channel, where the kind is one that is read with 8 whatever it has.
    """

    height: int
    width: int
    pixel_bytes: int = 4
    bits: int = 8


def read_header(data: bytes) -> Header | None:
    """None where the file is of no known kind, or has no size where its kind has it."""
    for recognised, reader in _KINDS:
        if recognised(data):
            try:
                return reader(data)
            except (struct.error, IndexError, ValueError):
                return None
    return None


def _png(data: bytes) -> Header:
    width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
    return Header(height, width, _PNG_CHANNELS.get(kind, 4) * (2 if depth == 16 else 1))


def _jpeg(data: bytes) -> Header | None:
    """As decoders do, skips what lies between segments."""
    match = _JPEG_MARKER.search(data, 2)
    while match and match[1][0] not in _JPEG_LAST:
        position = match.end()
        if match[1][0] in _JPEG_FRAMES:
            height, width, channels = struct.unpack_from(">HHB", data, position + 3)
            return Header(height, width, max(channels, 4))
        (size,) = struct.unpack_from(">H", data, position)
        match = _JPEG_MARKER.search(data, position + size)
    return None


def _webp(data: bytes) -> Header:
    kind = data[12:16]
    if kind == b"VP8X":
        return Header(1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little"))
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return Header(1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF))
    width, height = struct.unpack_from("<HH", data, 26)
    return Header(height & 0x3FFF, width & 0x3FFF)


def _gif(data: bytes) -> Header:
    """The screen, enlarged where the first picture lies partly outside of it."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while data[position] == 0x21:  # an extension: label, then sub-blocks up to an empty one
        position += 2
        while data[position]:
            position += 1 + data[position]
        position += 1
    if data[position] == 0x2C:
        left, top, columns, rows = struct.unpack_from("<HHHH", data, position + 1)
        width, height = max(width, left + columns), max(height, top + rows)
    return Header(height, width)


def _bmp(data: bytes) -> Header:
    if data[14] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return Header(abs(height), abs(width))


def _pnm(data: bytes) -> Header | None:
    match = _PNM.match(data)
    return Header(int(match[3]), int(match[2]), 6 if match[1] in b"36" else 2) if match else None


def _tiff(data: bytes) -> Header:
    """The larger of picture and tile: a whole tile is decoded however little of it shows."""
    block = Block(data)
    tags = block.directory(block.first)
    width, height, tile_width, tile_height = (block.integer(tags.get(tag), 0) for tag in (256, 257, 322, 323))
    bits, samples = block.integers(tags.get(258)) or (8,), block.integer(tags.get(277), 1)
    pixel_bytes = max(4, samples * ((max(bits) + 7) // 8))
    return Header(max(height, tile_height), max(width, tile_width), pixel_bytes)


def _codestream(data: bytes) -> Header:
    """JPEG 2000 without a container: size of the reference grid less its offset."""
    right, bottom, left, top = struct.unpack_from(">IIII", data, 8)
    return Header(bottom - top, right - left, 8)


def _boxes(data: bytes) -> Header | None:
    """The largest size that a box states: AVIF, HEIC: `ispe`, of each item; JP2, JPEG XL: the code stream's too."""
    sizes, bits = [], 8
    for name, content in itertools.islice(_walk(data, 0, len(data)), _MOST_BOXES):
        if name == b"ispe":
            width, height = struct.unpack_from(">II", data, content + 4)
            sizes.append(Header(height, width, 8))
        elif name == b"pixi":
            bits = max((bits, *data[content + 5 : content + 5 + data[content + 4]]))
        elif name == b"ihdr":
            height, width, _, depth = struct.unpack_from(">IIHB", data, content)
            sizes.append(Header(height, width, 8))
            bits = max(bits, (depth & 0x7F) + 1 if depth != _DEPTHS_DIFFER else 8)
        elif name == b"jp2c":
            sizes.append(_codestream(data[content : content + 64]))
        elif name in (b"jxlc", b"jxlp"):
            sizes.append(_jpeg_xl(data[content + (4 if name == b"jxlp" else 0) :][:64]))
    largest = max(sizes, key=lambda size: size.height * size.width, default=None)
    return replace(largest, bits=bits) if largest else None


def _walk(data: bytes, position: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, int]]:
    """(name, where its content begins) of each box, those inside of others included."""
    while position + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, position)
        content = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        stop = min(position + size, end) if size else end
        yield name, content
        if name in _BOXES_WITH_BOXES and depth < _DEEPEST_BOX:
            yield from _walk(data, content + _BOXES_WITH_BOXES[name], stop, depth + 1)
        position = max(stop, content)


def _jpeg_xl(data: bytes) -> Header:
    """A code stream's first bits, the lowest of each byte first (ISO 18181-1, SizeHeader); 0 x 0 where it is none."""
    if data[:2] != _JXL:
        return Header(0, 0)
    bits = _Bits(int.from_bytes(data[2:32], "little"))
    small = bits.take(1)
    height = bits.side(small)
    ratio = bits.take(3)
    over, under = _JXL_RATIOS[ratio]
    return Header(height, height * over // under if ratio else bits.side(small), 8)


class _Bits:
    def __init__(self, bits: int) -> None:
        self._rest = bits

    def take(self, count: int) -> int:
        value = self._rest & (1 << count) - 1
        self._rest >>= count
        return value

    def side(self, small: int) -> int:
        """A height or width: small ones as a multiple of 8."""
        return 8 * (1 + self.take(5)) if small else 1 + self.take((9, 13, 18, 30)[self.take(2)])


_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Header | None]], ...] = (
    (lambda data: data[:8] == _PNG, _png),
    (lambda data: data[:3] == _JPEG, _jpeg),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _webp),
    (lambda data: data[:3] == b"GIF", _gif),
    (lambda data: data[:2] == b"BM", _bmp),
    (lambda data: _PNM.match(data) is not None, _pnm),
    (lambda data: data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    (lambda data: data[:4] == _J2K, _codestream),
    (lambda data: data[:2] == _JXL, _jpeg_xl),
    (lambda data: data[:12] in (_JP2, _JXL_BOXES) or data[4:8] == b"ftyp", _boxes),
)
