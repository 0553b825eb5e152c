"""Image files: decode any supported kind, encode by the name of the result."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import cv2
import numpy as np

from smsr_runtime.errors import OutputError, PictureError, reason
from smsr_runtime.media.codecs import exif, opencv, pillow, plain, png, pnm, tiff, tiff_reader
from smsr_runtime.media.codecs.header import Header, read_header
from smsr_runtime.media.picture import Picture, eight_bit, to_channels
from smsr_runtime.resources import check_file, check_memory

CheckSize = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Saving:
    """quality: of JPEG and WebP, 1 to 100; JPEG also has full colour resolution (4:4:4).

    strip_metadata: EXIF data and texts are dropped; profile and resolution, which say what pixels mean, are kept.
    """

    quality: int = 95
    strip_metadata: bool = False


_DEFAULT = Saving()
_LARGEST_EXIF = 65000
"""Bytes; JPEG holds it in one segment of 64 KiB."""
_WITH_HEADER = (png.SIGNATURE, *pnm.MAGIC, b"\xff\xd8\xff", b"BM", b"GIF8", *tiff_reader.MAGIC)
"""How files begin whose size `read_header` always knows, unless they are damaged."""
_LEAST_DPI, _MOST_DPI = 1, 65535
"""Dots per inch; JPEG holds whole numbers of 16 bits."""
_DECODING_COPIES = 4
"""Of the decoded pixels that are in memory at a time: the library's own, its result, in RGB order, in planes."""


@dataclass(frozen=True)
class Format:
    """What an output format can hold."""

    kind: str
    alpha: bool = False
    deep: bool = False
    profile: bool = False
    exif: bool = False
    gray: bool = True
    color: bool = True
    longest_side: int | None = None


_PNG = Format("PNG", alpha=True, deep=True, profile=True, exif=True)
_JPEG = Format("JPEG", profile=True, exif=True, longest_side=65535)
_TIFF = Format("TIFF", alpha=True, deep=True, profile=True, exif=True)
FORMATS: dict[str, Format] = {
    "png": _PNG,
    "jpg": _JPEG,
    "jpeg": _JPEG,
    "webp": Format("WEBP", alpha=True, profile=True, exif=True, gray=False, longest_side=16383),
    "tif": _TIFF,
    "tiff": _TIFF,
    "bmp": Format("BMP"),
    "pgm": Format("PGM", deep=True, color=False),
    "ppm": Format("PPM", deep=True, gray=False),
}
"""Output formats by extension without its dot."""


def decode(path: Path, check_size: CheckSize | None = None) -> Picture:
    """Reads an image file. Raises PictureError (never half a picture), MissingPackageError, MemoryLimitError.

    check_size: called with where, height and width before anything is decoded; raises what refuses that size.
    """
    return decode_bytes(read(path), str(path), check_size)


def read(path: Path) -> bytes:
    """The file's content. Raises PictureError, MemoryLimitError."""
    try:
        check_file(path.stat().st_size, str(path))
        return path.read_bytes()
    except OSError as error:
        raise PictureError(path, "a readable file", reason(error), "check the name and its permissions") from error


def decode_bytes(data: bytes, where: str, check_size: CheckSize | None = None) -> Picture:
    """As `decode`, from the file's content; where: its name for errors."""
    header = check_header(data, where, check_size)
    check = functools.partial(_check, where, check_size)
    picture = _with_usable_resolution(_decoded(data, where, check))
    if header is not None and header.bits > 8 and not picture.deep:
        picture.notes.append(f"{header.bits} bits per channel are read as 8")
    return picture


def check_header(data: bytes, where: str, check_size: CheckSize | None = None) -> Header | None:
    """The header of a file that may be decoded. Raises PictureError, MemoryLimitError, what `check_size` raises."""
    if not data:
        raise opencv.damaged(where, "an empty file")
    header = read_header(data)
    if header is not None:
        _check(where, check_size, header)
    elif data.startswith(_WITH_HEADER):
        raise opencv.damaged(where, "no size in its header")
    return header


def _check(where: str, check_size: CheckSize | None, size: Header) -> None:
    check_decoding(size, where)
    if check_size is not None:
        check_size(where, size.height, size.width)


def check_decoding(size: Header, where: str) -> None:
    """Raises MemoryLimitError where a picture of this size cannot even be decoded."""
    check_memory(size.height, size.width, _DECODING_COPIES * size.pixel_bytes, where)


def _decoded(data: bytes, where: str, check: Callable[[Header], None]) -> Picture:
    if data.startswith(png.SIGNATURE):
        return png.decode(data, where)
    if data[:2] in pnm.MAGIC:
        return pnm.decode(data, where)
    if data[:4] in tiff_reader.MAGIC and not tiff_reader.for_pillow(data):
        return tiff_reader.decode(data, where)
    return pillow.decode(data, where, check) if pillow.installed() else plain.decode(data, where)


def _with_usable_resolution(picture: Picture) -> Picture:
    """Without a resolution that no format could hold; 0 means that none is stated."""
    if picture.dpi is None or all(_LEAST_DPI <= value <= _MOST_DPI for value in picture.dpi):  # NaN is outside
        return picture
    x, y = picture.dpi
    notes = [] if x == y == 0 else [f"a resolution of {x:g} x {y:g} dots per inch is left out"]
    return dataclasses.replace(picture, dpi=None, notes=[*picture.notes, *notes])


def fitted(picture: Picture, output: Path, scale: int, saving: Saving = _DEFAULT) -> Picture:
    """The part of the picture that `output`'s format can hold, with a note for every loss; called before the work.

    Raises OutputError where transparency, colour or the upscaled size would be lost.
    """
    kind = FORMATS[output.suffix[1:].lower()]
    _check_fits(picture, kind, output, scale)
    notes = list(picture.notes)
    if picture.alpha is not None and not kind.alpha:
        picture = dataclasses.replace(picture, alpha=None)
    if picture.deep and not kind.deep:
        picture = eight_bit(picture)
        notes.append(f"16 bits reduced to the 8 that {kind.kind} holds")
    if picture.icc and (not kind.profile or (picture.gray and not kind.gray)):
        picture = dataclasses.replace(picture, icc=None)
        notes.append(f"{kind.kind} cannot hold its colour profile: left out")
    if saving.strip_metadata:
        return dataclasses.replace(picture, exif=None, texts=(), metadata_left_out=(), notes=notes)
    return _with_fitting_metadata(picture, kind, notes)


def _with_fitting_metadata(picture: Picture, kind: Format, notes: list[str]) -> Picture:
    left_out = list(picture.metadata_left_out)
    block, texts = picture.exif, picture.texts
    lossy = kind.kind in ("JPEG", "WEBP")
    if block and (not kind.exif or (lossy and not pillow.installed()) or len(block) > _LARGEST_EXIF):
        block = None
        left_out.append("EXIF data")
    elif block and kind.kind == "TIFF" and exif.has_maker_note(block):
        left_out.append("the camera's own notes")
    if texts and kind.kind != "PNG":
        texts = ()
        left_out.append("texts")
    if left_out:
        notes.append(f"not kept: {', '.join(left_out)}")
    return dataclasses.replace(picture, exif=block, texts=texts, notes=notes)


def _check_fits(picture: Picture, kind: Format, output: Path, scale: int) -> None:
    longest = scale * max(picture.height, picture.width)
    if kind.longest_side and longest > kind.longest_side:
        raise OutputError(
            output, f"at most {kind.longest_side} pixels per side in {kind.kind}", str(longest), "write a PNG"
        )
    if picture.alpha is not None and not kind.alpha and int(picture.alpha.min()) < (65535 if picture.deep else 255):
        todo = "write png, webp or tiff"
        raise OutputError(output, "a format that holds transparency", kind.kind, todo)
    if not picture.gray and not kind.color:
        raise OutputError(output, "a gray picture in PGM", "colours", "write .ppm or .png")


def encode(picture: Picture, output: Path, saving: Saving = _DEFAULT) -> bytes:
    """The file's bytes in the format of `output`'s suffix; the picture is one that `fitted` gave, upscaled."""
    target, where = FORMATS[output.suffix[1:].lower()], str(output)
    kind = target.kind
    if picture.gray and not target.gray:
        picture = dataclasses.replace(picture, color=np.dstack([picture.color] * 3))
    if kind == "PNG":
        return png.encode(picture, where)
    if kind == "TIFF":
        return tiff.encode(picture, where)
    if kind in ("JPEG", "WEBP"):
        return _encode_lossy(picture, kind, where, saving)
    if kind in ("PGM", "PPM"):
        return pnm.encode(picture, output.suffix.lower(), where)
    return opencv.encode(f".{kind.lower()}", picture.color, where)


def _encode_lossy(picture: Picture, kind: str, where: str, saving: Saving) -> bytes:
    """JPEG or WebP; without Pillow through OpenCV, which keeps no profile."""
    if pillow.installed():
        options = {"subsampling": 0} if kind == "JPEG" else {"exact": True}
        return pillow.encode(picture, kind, where, quality=saving.quality, **options)
    quality = cv2.IMWRITE_JPEG_QUALITY if kind == "JPEG" else cv2.IMWRITE_WEBP_QUALITY
    return opencv.encode(f".{kind.lower()}", to_channels(picture), where, (quality, saving.quality))
