"""PNG: every colour type and depth; checksums checked; colour chunks kept. Pixels through OpenCV, chunks here.

OpenCV gets only the chunks that hold pixels: it applies some of the others, or prints about them. It expands
gray + alpha to four channels and drops a gray picture's transparent value; both are set right here.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, List, Sequence, Tuple

import numpy as np

from smsr_runtime.media.codecs import exif, opencv
from smsr_runtime.media.picture import Picture, from_channels, oriented, to_channels

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunks = List[Tuple[bytes, bytes]]

_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_COLOR_CHUNKS = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI")
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_GRAY, _RGB, _PALETTE, _GRAY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS = {_GRAY: 1, _RGB: 3, _PALETTE: 1, _GRAY_ALPHA: 2, _RGBA: 4}
_DEPTHS = {_GRAY: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8), _GRAY_ALPHA: (8, 16), _RGBA: (8, 16)}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Left, top, step in x, step in y of the seven passes of an interlaced PNG."""
_PIECE = 1 << 18
_LARGEST_PROFILE = 1 << 24
"""Bytes of a colour profile; those for printing presses have a few million."""
_METRES_PER_INCH = 0.0254
_COMPRESSION = 16, 6  # cv2.IMWRITE_PNG_COMPRESSION: 6 is libpng's own default; OpenCV's 1 gives files a third larger


def decode(data: bytes, where: str) -> Picture:
    """Raises PictureError for a chunk that is cut short or fails its checksum."""
    chunks = _checked(_split(data, where), where)
    first = dict(reversed(chunks))
    notes = ["animated: only its first frame is used"] if b"acTL" in first else []
    _, _, depth, kind = struct.unpack_from(">IIBB", first[b"IHDR"])
    if b"tRNS" in first and len(first[b"tRNS"]) not in _transparency_sizes(kind, first):
        del first[b"tRNS"]
        notes.append("what it says about transparency is malformed: left out")
    array = opencv.decode(_pixels_alone(chunks, first), where)
    if kind == _GRAY_ALPHA and array.ndim == 3 and array.shape[2] == 4:
        array = array[:, :, [0, 3]]
    elif kind == _GRAY and b"tRNS" in first and array.ndim == 2:
        array = _with_transparent_value(array, first[b"tRNS"], depth)
    profile = _profile(first.get(b"iCCP", b""))
    kept = [name for name in _COLOR_CHUNKS if name != b"iCCP" or profile]
    if b"iCCP" in first and not profile:
        notes.append("its colour profile is damaged: left out")
    if b"eXIf" in first and not exif.usable(first[b"eXIf"]):
        notes.append("its EXIF data is damaged: left out")
    return from_channels(
        oriented(array, exif.orientation(exif.usable(first.get(b"eXIf")) or b"")),
        where,
        icc=profile,
        dpi=_dpi(first.get(b"pHYs", b"")),
        png_color=tuple(chunk for chunk in chunks if chunk[0] in kept),
        exif=exif.usable(first.get(b"eXIf")),
        texts=tuple(chunk for chunk in chunks if chunk[0] in _TEXT_CHUNKS),
        notes=notes,
    )


def encode(picture: Picture, where: str) -> bytes:
    """PNG of the picture's own depth and channels."""
    array = to_channels(picture)
    if array.ndim == 3 and array.shape[2] == 2:
        chunks = _gray_alpha(array)
    else:
        chunks = _split(opencv.encode(".png", array, where, _COMPRESSION), where)
    extra: Chunks = list(picture.png_color)
    if picture.icc and b"iCCP" not in dict(extra):
        extra.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc)))
    if picture.dpi:
        x, y = (round(value / _METRES_PER_INCH) for value in picture.dpi)
        extra.append((b"pHYs", struct.pack(">IIB", x, y, 1)))
    if picture.exif:
        extra.append((b"eXIf", exif.updated(picture)))
    extra += picture.texts
    return _join([chunks[0], *extra, *[c for c in chunks[1:] if c[0] in _PIXEL_CHUNKS]])


def _gray_alpha(array: NDArray[Any]) -> Chunks:
    """(H, W, 2) as the chunks of a gray + alpha PNG, which OpenCV does not write; rows filtered by Sub."""
    height, width = array.shape[:2]
    samples = array.astype(array.dtype.newbyteorder(">")).view(np.uint8).reshape(height, width, -1)
    rows = samples.copy()
    rows[:, 1:] -= samples[:, :-1]  # unsigned: wraps around, as the format requires
    marked = np.hstack([np.full((height, 1), 1, np.uint8), rows.reshape(height, -1)])
    header = struct.pack(">IIBBBBB", width, height, 8 * array.dtype.itemsize, _GRAY_ALPHA, 0, 0, 0)
    return [(b"IHDR", header), (b"IDAT", zlib.compress(marked.tobytes(), 6)), (b"IEND", b"")]


def _split(data: bytes, where: str) -> Chunks:
    """(name, content) of every chunk up to IEND."""
    chunks: Chunks = []
    position = len(SIGNATURE)
    while not chunks or chunks[-1][0] != b"IEND":
        if position + 12 > len(data):
            raise opencv.damaged(where, "a PNG that is cut short")
        (size,) = struct.unpack_from(">I", data, position)
        content = data[position + 4 : position + 8 + size]
        check = data[position + 8 + size : position + 12 + size]
        if len(check) < 4:
            raise opencv.damaged(where, "a PNG that is cut short")
        if struct.unpack(">I", check)[0] != zlib.crc32(content):
            raise opencv.damaged(where, f"a PNG whose chunk {content[:4].decode('latin-1')!r} fails its checksum")
        chunks.append((content[:4], content[4:]))
        position += 12 + size
    _check_header(chunks, where)
    return chunks


def _checked(chunks: Chunks, where: str) -> Chunks:
    """The chunks, pixel data of more than the header's size cut to it. Raises PictureError where it ends early.

    OpenCV gives no error for the latter, and its library prints about the former.
    """
    missing, unpacker = _data_size(chunks[0][1]), zlib.decompressobj()
    try:
        for name, content in chunks:
            if name == b"IDAT" and missing >= 0:
                missing -= _unpacked(unpacker, content, missing)
    except zlib.error as error:
        raise opencv.damaged(where, f"a PNG with damaged pixel data ({error})") from error
    if missing > 0 or (missing == 0 and not unpacker.eof):
        raise opencv.damaged(where, "a PNG whose pixel data ends early")
    return chunks if missing == 0 else _cut(chunks)


def _cut(chunks: Chunks) -> Chunks:
    packed = b"".join(content for name, content in chunks if name == b"IDAT")
    rows = zlib.decompressobj().decompress(packed, _data_size(chunks[0][1]))
    others = [chunk for chunk in chunks[:-1] if chunk[0] != b"IDAT"]
    return [*others, (b"IDAT", zlib.compress(rows, 1)), chunks[-1]]


def _check_header(chunks: Chunks, where: str) -> None:
    """What OpenCV's library would print about, besides refusing it."""
    names = [name for name, _ in chunks]
    if names[0] != b"IHDR" or len(chunks[0][1]) != 13 or names.count(b"IHDR") != 1:
        raise opencv.damaged(where, "a PNG without one header")
    width, height, depth, kind, packing, filtering, interlacing = struct.unpack(">IIBBBBB", chunks[0][1])
    sides = 0 < width < 2**31 and 0 < height < 2**31
    if not sides or depth not in _DEPTHS.get(kind, ()) or packing or filtering or interlacing > 1:
        raise opencv.damaged(where, "a PNG with a malformed header")
    palette = dict(chunks).get(b"PLTE", b"")
    if kind == _PALETTE and (not palette or len(palette) % 3 or len(palette) > 3 * 256):
        raise opencv.damaged(where, "a PNG without a usable palette")


def _transparency_sizes(kind: int, first: dict[bytes, bytes]) -> Sequence[int]:
    """Lengths that the chunk tRNS may have: one sample, three, or one byte for some of the palette's colours."""
    if kind == _PALETTE:
        return range(1, len(first[b"PLTE"]) // 3 + 1)
    return {_GRAY: (2,), _RGB: (6,)}.get(kind, ())


def _pixels_alone(chunks: Chunks, first: dict[bytes, bytes]) -> bytes:
    """A PNG of what decides about pixels, in the order that the format requires."""
    names = (b"IHDR", b"PLTE", b"tRNS") if first[b"IHDR"][9] == _PALETTE else (b"IHDR", b"tRNS")
    packed = b"".join(content for name, content in chunks if name == b"IDAT")
    return _join([(name, first[name]) for name in names if name in first] + [(b"IDAT", packed), (b"IEND", b"")])


def _data_size(header: bytes) -> int:
    """Bytes of the pixel data, unpacked: rows, each behind a byte that names its filter; interlaced in seven passes."""
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _CHANNELS.get(kind, 1)
    total = 0
    for left, top, step_x, step_y in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = (width - left + step_x - 1) // step_x, (height - top + step_y - 1) // step_y
        total += max(rows, 0) * (1 + (columns * bits + 7) // 8) if columns > 0 else 0
    return total


def _unpacked(unpacker: Any, content: bytes, most: int) -> int:
    """How many bytes `content` unpacks to, given up past `most`; they are kept a few at a time."""
    total, rest = 0, content
    while rest and total <= most and not unpacker.eof:
        total += len(unpacker.decompress(rest, _PIECE))
        rest = unpacker.unconsumed_tail
    return total


def _join(chunks: Chunks) -> bytes:
    parts = [SIGNATURE]
    for name, content in chunks:
        parts += [struct.pack(">I", len(content)), name, content, struct.pack(">I", zlib.crc32(name + content))]
    return b"".join(parts)


def _with_transparent_value(array: NDArray[Any], content: bytes, depth: int) -> NDArray[Any]:
    """(H, W) gray -> (H, W, 2); pixels of the one value tRNS names are transparent."""
    (value,) = struct.unpack_from(">H", content)
    if depth < 8:
        value = value * 255 // (2**depth - 1)
    most = np.iinfo(array.dtype).max
    return np.dstack([array, np.where(array == value, 0, most).astype(array.dtype)])


def _profile(content: bytes) -> bytes | None:
    """The profile of an iCCP chunk; None where it is damaged or larger than any profile is."""
    name, _, packed = content.partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], _LARGEST_PROFILE)
    except zlib.error:
        return None
    return profile if name and unpacker.eof else None


def _dpi(content: bytes) -> tuple[float, float] | None:
    if len(content) != 9 or content[8] != 1:
        return None
    x, y = struct.unpack_from(">II", content)
    return x * _METRES_PER_INCH, y * _METRES_PER_INCH
