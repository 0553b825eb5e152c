"""TIFF in all its layouts: samples against what was written, by hand or by tifffile; else refused by name."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import struct
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from smsr_runtime import MissingPackageError, PictureError
from smsr_runtime.media.codecs import exif
from smsr_runtime.media.codecs.tags import Block
from smsr_runtime.media.image import decode, decode_bytes
from smsr_runtime.media.picture import Picture, to_channels
from tests.runtime.helpers import SHARED, need

GRAY_WHITE, GRAY, RGB = 0, 1, 2
PREMULTIPLIED, STRAIGHT, UNSTATED = 1, 2, 0
RANDOM = np.random.default_rng(5)
BASE = RANDOM.integers(0, 65536, (5, 7, 5), dtype=np.uint16)
BASE[..., 3] = RANDOM.integers(30000, 65536, (5, 7))
BASE[0, 0, 3] = 0


def by_hand(
    samples: NDArray[Any], photometric: int, order: Literal["<", ">"] = "<", extra: int | None = None, **tags: int
) -> bytes:
    """Uncompressed, one strip, chunky; samples (H, W, channels)."""
    height, width, channels = samples.shape
    data = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    bits = 8 * samples.itemsize
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    fields = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 274: tags.get("orientation", 1)}
    fields |= {277: channels, 278: height, 279: len(data), 284: 1, 339: kind}
    if extra is not None:
        fields[338] = extra
    entries = [struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(fields.items())]
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(f"{order}HI", 42, 8 + len(data)) + data + directory


def by_tifffile(samples: NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, **options)
    return stream.getvalue()


def straight(samples: NDArray[np.uint16], most: int = 65535) -> NDArray[np.float64]:
    """Colour of premultiplied samples in exact numbers; the last channel is alpha."""
    color, alpha = samples[..., :-1].astype(float), samples[..., -1:].astype(float)
    color = np.where(alpha > 0, np.minimum(color * most / np.maximum(alpha, 1), most), 0)
    return np.concatenate([color, alpha], axis=2)


G, GA, C, CA = BASE[..., :1], BASE[..., [0, 3]], BASE[..., :3], BASE[..., :4]
LOW = np.minimum(BASE[..., :3], BASE[..., 3:4])  # premultiplied colour is at most alpha
PRE = np.dstack([LOW, BASE[..., 3]])
EIGHT = (BASE[..., :4] >> 8).astype(np.uint8)
EIGHT_PRE = np.dstack([np.minimum(EIGHT[..., :1], EIGHT[..., 3:]), EIGHT[..., 3:]])
PLAIN: dict[str, tuple[bytes, Any]] = {
    "gray": (by_hand(G, GRAY), G),
    "gray, big-endian": (by_hand(G, GRAY, ">"), G),
    "RGB": (by_hand(C, RGB), C),
    "RGB, big-endian": (by_hand(C, RGB, ">"), C),
    "RGBA": (by_hand(CA, RGB, extra=STRAIGHT), CA),
    "RGB, deflate": (by_tifffile(C, photometric="rgb", compression="deflate", predictor=True, rowsperstrip=2), C),
    "RGB, LZW": (cv2.imencode(".tif", C[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes(), C),
    "RGB, tiles": (by_tifffile(C, photometric="rgb", tile=(16, 16)), C),
}
"""Read with and without tifffile."""
SPECIAL: dict[str, tuple[bytes, Any]] = {
    "gray, white is 0": (by_hand(G, GRAY_WHITE), 65535 - G),
    "gray, white is 0, big-endian": (by_hand(G, GRAY_WHITE, ">"), 65535 - G),
    "gray + alpha": (by_hand(GA, GRAY, extra=STRAIGHT), GA),
    "gray, white is 0, + alpha": (
        by_hand(GA, GRAY_WHITE, extra=STRAIGHT),
        np.dstack([65535 - GA[..., :1], GA[..., 1:]]),
    ),
    "gray + premultiplied alpha": (by_hand(PRE[..., [0, 3]], GRAY, extra=PREMULTIPLIED), straight(PRE[..., [0, 3]])),
    "RGB + premultiplied alpha": (by_hand(PRE, RGB, extra=PREMULTIPLIED), straight(PRE)),
    "RGB + unstated": (by_hand(CA, RGB, extra=UNSTATED), C),
    "8-bit gray + premultiplied alpha": (by_hand(EIGHT_PRE, GRAY, extra=PREMULTIPLIED), straight(EIGHT_PRE, 255)),
    "8-bit RGB + unstated": (by_hand(EIGHT, RGB, extra=UNSTATED), EIGHT[..., :3]),
    "RGB, planar": (by_tifffile(np.moveaxis(C, 2, 0), photometric="rgb", planarconfig="separate"), C),
    "RGB, planar, deflate": (
        by_tifffile(np.moveaxis(C, 2, 0), photometric="rgb", planarconfig="separate", compression="deflate"),
        C,
    ),
    "RGBA, planar tiles": (
        by_tifffile(
            np.moveaxis(CA, 2, 0), photometric="rgb", planarconfig="separate", tile=(16, 16), extrasamples=[STRAIGHT]
        ),
        CA,
    ),
    "float": (by_hand((C / 65535).astype(np.float32), RGB), C),
    "float, big-endian, gray": (by_hand((G / 65535).astype(np.float64), GRAY, ">"), G),
    "BigTIFF, planar": (
        by_tifffile(np.moveaxis(C, 2, 0), photometric="rgb", planarconfig="separate", bigtiff=True),
        C,
    ),
}  # fmt: skip
"""Read with tifffile only."""


def tags_read(data: bytes) -> object:
    """All fields of a directory, as EXIF data is taken from them."""
    return exif.from_tiff(data), Block(data).directory(Block(data).first)


def assert_reads_as(picture: Picture, expected: NDArray[Any]) -> None:
    values = to_channels(picture).reshape(*picture.color.shape[:2], -1)
    assert values.dtype == (np.uint8 if expected.max() < 256 else np.uint16)
    assert values.shape == expected.shape
    assert np.abs(values.astype(float) - expected).max() <= 0.5


@pytest.mark.parametrize("kind", [*PLAIN, *SPECIAL])
def test_samples_are_what_was_written(kind: str) -> None:
    data, expected = {**PLAIN, **SPECIAL}[kind]
    assert_reads_as(decode_bytes(data, "in.tif"), expected)


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_layouts_need_no_tifffile(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    data, expected = PLAIN[kind]
    assert_reads_as(decode_bytes(data, "in.tif"), expected)


@pytest.mark.parametrize("kind", SPECIAL)
def test_others_are_refused_by_name_without_tifffile(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(MissingPackageError, match=r"in\.tif: expected tifffile.*pip install tifffile"):
        decode_bytes(SPECIAL[kind][0], "in.tif")


@pytest.mark.parametrize("with_tifffile", [True, False])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("samples", [G, C, EIGHT[..., :3]], ids=["gray", "RGB", "8-bit RGB"])
def test_orientation_is_applied_once(
    monkeypatch: pytest.MonkeyPatch, with_tifffile: bool, orientation: int, samples: NDArray[Any]
) -> None:
    """Where the stored top row and left column lie in the upright picture, by TIFF 6.0's table."""
    if not with_tifffile:
        monkeypatch.setitem(sys.modules, "tifffile", None)
    data = by_hand(samples, RGB if samples.shape[2] == 3 else GRAY, orientation=orientation)
    upright = to_channels(decode_bytes(data, "in.tif")).reshape(-1, samples.shape[2])
    shape = decode_bytes(data, "in.tif").color.shape[:2]
    upright = upright.reshape(*shape, -1)
    row, column = {
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[orientation]  # fmt: skip
    sides = {"top": upright[0], "bottom": upright[-1], "left": upright[:, 0], "right": upright[:, -1]}
    first_row, first_column = samples[0], samples[:, 0]
    if column in ("right", "bottom"):
        first_row = first_row[::-1]
    if row in ("bottom", "right"):
        first_column = first_column[::-1]
    assert np.array_equal(sides[row], first_row)
    assert np.array_equal(sides[column], first_column)


REFUSED = {
    "floats out of range": (by_hand(np.full((2, 2, 1), 3.5, np.float32), GRAY), "3.5 to 3.5", "floating point"),
    "NaN": (by_hand(np.full((2, 2, 1), np.nan, np.float32), GRAY), "nan", "floating point"),
    "signed": (by_hand(G.astype(np.int16), GRAY), "16 signed bits", "8 or 16 bits"),
    "32 bits": (by_hand(G.astype(np.uint32), GRAY), "32 bits", "8 or 16 bits"),
    "CMYK": (by_hand(CA, 5), "CMYK", "gray or RGB"),
    "Lab": (by_hand(C, 8), "Lab", "gray or RGB"),
    "palette": (by_hand(G, 3), "a palette", "gray or RGB"),
    "one channel short": (by_hand(GA, RGB), "2 channels", "whole picture"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_supported_is_named(kind: str) -> None:
    data, got, expected = REFUSED[kind]
    with pytest.raises(PictureError, match=f"expected .*{expected}.*got .*{got}"):
        decode_bytes(data, "in.tif")


def test_a_missing_codec_is_named() -> None:
    """Zstandard needs imagecodecs; the file is uncompressed and says otherwise."""
    need(importlib.util.find_spec("imagecodecs") is None, "an environment without imagecodecs")
    for samples, photometric in ((G, GRAY_WHITE), (EIGHT_PRE, GRAY)):
        data = bytearray(by_hand(samples, photometric, extra=PREMULTIPLIED if samples is EIGHT_PRE else None))
        place = data.index(struct.pack("<HHI", 259, 3, 1))
        data[place + 8 : place + 10] = struct.pack("<H", 50000)
        with pytest.raises(MissingPackageError, match=r"compressed by Zstandard.*pip install imagecodecs"):
            decode_bytes(bytes(data), "in.tif")


def test_deep_samples_with_other_depths_are_named() -> None:
    data = bytearray(by_hand(G, GRAY))
    place = data.index(struct.pack("<HHI", 258, 3, 1))
    data[place + 8] = 12
    with pytest.raises(PictureError, match="got 12 bits"):
        decode_bytes(bytes(data), "in.tif")


@pytest.mark.parametrize("kind", [*PLAIN, *SPECIAL])
def test_a_cut_tiff_is_an_error(kind: str) -> None:
    """Cut inside of its pixels, the directory put behind them where it was."""
    data = {**PLAIN, **SPECIAL}[kind][0]
    with pytest.raises(PictureError):
        decode_bytes(data[:-10], "in.tif")


@pytest.mark.parametrize("with_tifffile", [True, False])
def test_a_strip_past_the_end_is_an_error(monkeypatch: pytest.MonkeyPatch, with_tifffile: bool) -> None:
    """Readers fill such strips with zeros."""
    if not with_tifffile:
        monkeypatch.setitem(sys.modules, "tifffile", None)
    data = bytearray(by_hand(C, RGB))
    for tag, value in ((273, 60000), (279, 60000), (273, 0)):
        place = data.index(struct.pack("<HHI", tag, 3, 1))
        changed = data[: place + 8] + struct.pack("<H", value) + data[place + 10 :]
        with pytest.raises(PictureError, match="cut short"):
            decode_bytes(bytes(changed), "in.tif")


def test_profile_resolution_and_pages_are_read() -> None:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for _ in range(3):
            writer.write(
                C, photometric="rgb", resolution=(30, 60), resolutionunit="CENTIMETER", iccprofile=b"profile" * 30
            )
    picture = decode_bytes(stream.getvalue(), "in.tif")
    assert picture.icc == b"profile" * 30
    assert picture.dpi is not None
    assert [round(value, 3) for value in picture.dpi] == [76.2, 152.4]
    assert picture.notes == ["3 pages: only the first is used"]


@pytest.mark.parametrize("read", [tags_read, lambda data: decode_bytes(data, "in.tif")])
def test_many_fields_that_claim_the_same_bytes_cost_nothing(read: Callable[[bytes], object]) -> None:
    """30,000 fields of 10 MB each."""
    fields = b"".join(struct.pack("<HHII", tag, 7, 10_000_000, 8) for tag in range(30_000, 60_000))
    data = b"II*\0" + struct.pack("<I", 10_000_008) + bytes(10_000_000) + struct.pack("<H", 30_000) + fields + bytes(4)
    tracemalloc.start()
    with contextlib.suppress(PictureError):
        read(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60_000_000


def test_a_loop_of_directories_ends() -> None:
    data = by_hand(C, RGB)
    (start,) = struct.unpack_from("<I", data, 4)
    assert decode_bytes(data[:-4] + struct.pack("<I", start), "in.tif").notes == []


def test_floats_and_extra_channels_say_what_became_of_them() -> None:
    assert decode_bytes(SPECIAL["float"][0], "in.tif").notes == ["floating point numbers of 0..1 become 16 bits"]
    notes = decode_bytes(SPECIAL["RGB + unstated"][0], "in.tif").notes
    assert notes == ["left out: channels beside colour and transparency (1)"]


@pytest.mark.parametrize("name", ["t16_planar.tif", "t16_exif6.tif", "t16gray_miniswhite.tif", "t16graybe.tif"])
def test_trials_are_read_as_their_bytes_say(name: str) -> None:
    """All are uncompressed in one strip: numpy alone reads them."""
    source = SHARED / "data" / "trials" / name
    need(source.is_file(), "shared/data/trials")
    with tifffile.TiffFile(source) as file:
        page: Any = file.pages[0]
        start, size, order = page.dataoffsets[0], sum(page.databytecounts), file.byteorder
    samples = np.frombuffer(source.read_bytes(), f"{order}u2", size // 2, start)
    if name == "t16_planar.tif":
        expected = samples.reshape(3, 40, 56).transpose(1, 2, 0)
    elif name == "t16_exif6.tif":
        expected = np.rot90(samples.reshape(40, 56, 3), -1)
    else:
        gray = samples.reshape(40, 56, 1)
        expected = 65535 - gray if name == "t16gray_miniswhite.tif" else gray
    assert_reads_as(decode(source), expected)
