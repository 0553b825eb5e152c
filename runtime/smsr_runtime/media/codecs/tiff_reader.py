"""Reads the kinds of TIFF that Pillow cuts to 8 bits, misreads or refuses: deep samples, unusual extra channels.

Through tifffile, the only file to import it; without it, or for its missing compressions, through OpenCV where that
reads right: gray or RGB in chunky order, straight alpha, black as 0. What neither reads is refused by name.
"""

from __future__ import annotations

import io
import logging
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from smsr_runtime.errors import MissingPackageError, PictureError, reason
from smsr_runtime.media.codecs import exif, opencv
from smsr_runtime.media.codecs.tags import LETTERS, Block, Directory
from smsr_runtime.media.picture import Picture, from_channels, oriented

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_DEPTHS = ((_UNSIGNED, 8), (_UNSIGNED, 16), (_FLOAT, 16), (_FLOAT, 32), (_FLOAT, 64))
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_PHOTOMETRICS = {3: "a palette", 4: "a mask", 5: "CMYK", 6: "YCbCr", 8: "Lab", 9: "Lab", 10: "Lab", 32803: "raw mosaic"}
_UNSTATED, _PREMULTIPLIED, _STRAIGHT = 0, 1, 2
"""What an extra channel is (TIFF 6.0, ExtraSamples)."""
_LEFT_OUT = {700: "XMP data", 33723: "IPTC data"}
_MOST_CHANNELS = 65535
_CODECS = {5: "LZW", 7: "JPEG", 32773: "PackBits", 34712: "JPEG 2000", 50000: "Zstandard", 50001: "WebP"}


@dataclass(frozen=True)
class _Layout:
    """How the samples lie in the file."""

    bits: int
    kind: int
    photometric: int
    channels: int
    extra: tuple[int, ...]
    chunky: bool
    compression: int

    @classmethod
    def of(cls, block: Block, tags: Directory) -> _Layout:
        bits = block.integers(tags.get(258)) or (1,)
        kinds = block.integers(tags.get(339)) or (_UNSIGNED,)
        channels = min(max(block.integer(tags.get(277), 1), 0), _MOST_CHANNELS)
        photometric = block.integer(tags.get(262), -1)
        colors = 3 if photometric == _RGB else 1
        extra = block.integers(tags.get(338))
        missing = max(channels - colors - len(extra), 0)
        return cls(
            bits=bits[0] if len(set(bits)) == 1 else 0,
            kind=kinds[0] if len(set(kinds)) == 1 else 0,
            photometric=photometric,
            channels=channels,
            extra=(*extra, *[_STRAIGHT] * missing)[: max(channels - colors, 0)],
            chunky=block.integer(tags.get(284), 1) == 1,
            compression=block.integer(tags.get(259), 1),
        )

    @property
    def most(self) -> int:
        """The value of full white after reading."""
        return 255 if self.bits == 8 else 65535

    @property
    def for_pillow(self) -> bool:
        """Whether Pillow reads it right, or refuses it by name."""
        if self.bits not in (1, 2, 4, 8) or self.kind != _UNSIGNED:
            return False
        straight = self.extra in ((), (_STRAIGHT,)) and not (self.extra and self.photometric == _WHITE_IS_ZERO)
        return straight or (self.extra == (_PREMULTIPLIED,) and self.photometric == _RGB) or self.photometric > _RGB

    @property
    def plain(self) -> bool:
        """Whether OpenCV reads it right."""
        whole = self.kind == _UNSIGNED and self.bits == 16 and self.chunky
        straight = not self.extra or (self.extra == (_STRAIGHT,) and self.photometric == _RGB)
        return whole and straight and self.photometric in (_BLACK_IS_ZERO, _RGB)


def for_pillow(data: bytes) -> bool:
    """Whether Pillow reads this TIFF right, or refuses it by name."""
    block = Block(data)
    return _Layout.of(block, block.directory(block.first)).for_pillow


def decode(data: bytes, where: str) -> Picture:
    """The first page, upright, as 16 bits, or 8 where it has 8. Raises PictureError, MissingPackageError."""
    block = Block(data)
    tags = block.directory(block.first)
    layout = _Layout.of(block, tags)
    _check_layout(layout, where)
    _check_whole(block, tags, where)
    samples = _samples(block, tags, layout, where)
    notes = []
    if layout.kind == _FLOAT:
        samples = _from_unit_range(samples, where)
        notes.append("floating point numbers of 0..1 become 16 bits")
    samples = samples.astype(np.uint8 if layout.bits == 8 else np.uint16)
    array = oriented(_channels(samples, layout, notes), exif.orientation(data))
    pages = block.directories()
    if pages > 1:
        notes.append(f"{pages} pages: only the first is used")
    profile = tags.get(34675)
    icc = profile.content if profile else None
    left_out = tuple(name for tag, name in _LEFT_OUT.items() if tag in tags)
    described = exif.from_tiff(data)
    facts = {"icc": icc, "dpi": dpi(block, tags), "exif": described, "metadata_left_out": left_out, "notes": notes}
    return from_channels(array, where, **facts)


def dpi(block: Block, tags: Directory) -> tuple[float, float] | None:
    """Pixels per inch in x and y; None where no unit is stated."""
    per_inch = {2: 1.0, 3: 2.54}.get(block.integer(tags.get(296), 2))
    x, y = block.numbers(tags.get(282)), block.numbers(tags.get(283))
    return (x[0] * per_inch, y[0] * per_inch) if per_inch and x and y else None


def _check_layout(layout: _Layout, where: str) -> None:
    todo = "convert it to RGB with 8 or 16 bits per channel first"
    kinds = {_UNSIGNED: "", _SIGNED: " signed", _FLOAT: " floating point"}
    if (layout.kind, layout.bits) not in _DEPTHS:
        kind = kinds.get(layout.kind, " complex")
        got = f"{layout.bits}{kind} bits" if layout.bits else "channels that differ in depth"
        raise PictureError(where, "8 or 16 bits per channel in a TIFF", got, todo)
    if layout.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) or layout.channels < 1:
        got = _PHOTOMETRICS.get(layout.photometric, f"colours of kind {layout.photometric}")
        raise PictureError(where, f"gray or RGB in a TIFF of {layout.bits} bits", got, todo)
    if layout.photometric == _RGB and layout.channels < 3:
        raise opencv.damaged(where, f"an RGB TIFF of {layout.channels} channels")


def _check_whole(block: Block, tags: Directory, where: str) -> None:
    """Every strip or tile lies inside of the file: readers fill missing ones with zeros."""
    for starts, sizes in ((273, 279), (324, 325)):
        pairs = zip(block.integers(tags.get(starts)), block.integers(tags.get(sizes)))
        if any(start <= 0 or size <= 0 or start + size > len(block.data) for start, size in pairs):
            raise opencv.damaged(where, "a TIFF that is cut short")


def _samples(block: Block, tags: Directory, layout: _Layout, where: str) -> NDArray[Any]:
    """(H, W, channels) as stored."""
    try:
        import tifffile
    except ImportError as error:
        if layout.plain:
            return _by_opencv(block, tags, where)
        expected = "tifffile, to read this kind of TIFF"
        raise MissingPackageError(where, expected, "it is not installed", "pip install tifffile") from error
    logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)  # what matters is raised
    try:
        with tifffile.TiffFile(io.BytesIO(block.data)) as file:
            stored = file.pages[0].asarray(squeeze=False)
    except MemoryError:
        raise
    except Exception as error:  # tifffile's own, struct's, zlib's and numpy's for a damaged file
        return _without_codec(block, tags, layout, where, error)
    planes, depth, height, width, chunky = stored.shape if stored.ndim == 5 else (0, 0, 0, 0, 0)
    if depth != 1 or planes * chunky != layout.channels:
        raise PictureError(where, "one flat picture in a TIFF", f"samples of shape {stored.shape}", "save it again")
    return np.asarray(np.moveaxis(stored[:, 0], 0, 2).reshape(height, width, planes * chunky))


def _without_codec(block: Block, tags: Directory, layout: _Layout, where: str, error: Exception) -> NDArray[Any]:
    """OpenCV's reading where tifffile lacks a package for the compression; else raises what `error` means."""
    if not isinstance(error, ImportError) and "imagecodecs" not in str(error):
        raise opencv.damaged(where, reason(error)) from error
    if layout.plain:
        return _by_opencv(block, tags, where)
    codec = _CODECS.get(layout.compression, f"kind {layout.compression}")
    expected = f"imagecodecs, to read a TIFF compressed by {codec}"
    raise MissingPackageError(where, expected, "it is not installed", "pip install imagecodecs") from error


def _by_opencv(block: Block, tags: Directory, where: str) -> NDArray[Any]:
    """Its orientation is set to 1 before: OpenCV turns some kinds of TIFF and leaves others."""
    data, field = bytearray(block.data), tags.get(exif.ORIENTATION)
    if field is not None and field.kind in (3, 4):
        struct.pack_into(block.order + LETTERS[field.kind], data, field.place, 1)
    array = opencv.decode(bytes(data), where)
    return array.reshape(array.shape[0], array.shape[1], -1)


def _from_unit_range(samples: NDArray[Any], where: str) -> NDArray[Any]:
    low, high = float(samples.min()), float(samples.max())
    if not 0.0 <= low <= high <= 1.0:  # NaN fails too
        todo = "scale it to 0..1, or save it with 16 bits"
        raise PictureError(where, "floating point numbers of 0..1 in a TIFF", f"{low:g} to {high:g}", todo)
    return np.rint(samples.astype(np.float64) * 65535)


def _channels(samples: NDArray[Any], layout: _Layout, notes: list[str]) -> NDArray[Any]:
    """(H, W, 1..4): black as 0, alpha straight, other extra channels left out with a note."""
    colors = 3 if layout.photometric == _RGB else 1
    color = samples[:, :, :colors]
    if layout.photometric == _WHITE_IS_ZERO:
        color = layout.most - color
    alphas = [index for index, kind in enumerate(layout.extra) if kind in (_PREMULTIPLIED, _STRAIGHT)][:1]
    if len(layout.extra) > len(alphas):
        notes.append(f"{len(layout.extra) - len(alphas)} channels beside colour and transparency are left out")
    if not alphas:
        return color
    alpha = samples[:, :, colors + alphas[0], None]
    if layout.extra[alphas[0]] == _PREMULTIPLIED:
        color = _unmultiplied(color, alpha, layout.most)
    return np.concatenate([color, alpha], axis=2)


def _unmultiplied(color: NDArray[Any], alpha: NDArray[Any], most: int) -> NDArray[Any]:
    """Colour of premultiplied samples; 0 where alpha is 0."""
    divisor = np.maximum(alpha, 1).astype(np.uint32)
    straight = np.minimum((color.astype(np.uint32) * most + divisor // 2) // divisor, most)
    return np.asarray(np.where(alpha > 0, straight, 0).astype(color.dtype))
