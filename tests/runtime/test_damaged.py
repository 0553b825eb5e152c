"""Damaged files and odd metadata: what is beside the pixels never refuses a picture, and every error is one of ours."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from smsr_runtime import MemoryLimitError, MissingPackageError, PictureError, resources
from smsr_runtime.media.image import decode_bytes, encode
from smsr_runtime.media.picture import to_channels
from tests.runtime.helpers import png

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def saved(kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, kind, **options)
    return stream.getvalue()


def saved_tiff(samples: np.ndarray = RGB, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, photometric="rgb", **options)
    return stream.getvalue()


def exif(kind: int, count: int, value: bytes, orientation: int = 0x112) -> bytes:
    return b"Exif\0\0II*\0" + struct.pack("<IHHHI", 8, 1, orientation, kind, count) + value + bytes(4)


ORIENTATIONS = {
    "text": exif(2, 4, b"abc\0"),
    "NaN": exif(11, 1, struct.pack("<f", float("nan"))),
    "none of it": exif(3, 0, b"\6\0\0\0"),
    "bytes": exif(7, 1, b"\6\0\0\0"),
    "9": exif(3, 1, b"\x09\0\0\0"),
    "outside of the block": exif(5, 1, struct.pack("<I", 99999)),
    "no directory": b"Exif\0\0II*\0\xff\xff\xff\xff",
    "no block": b"Exif\0\0nothing",
    "a directory inside itself": exif(4, 1, struct.pack("<I", 8), 0x8769),
}


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize("value", ORIENTATIONS)
def test_a_bad_orientation_leaves_a_good_picture_upright(kind: str, value: str) -> None:
    block = ORIENTATIONS[value]
    if kind == "PNG":
        data = png(2, 8, (7, 5), b"".join(b"\0" + row.tobytes() for row in RGB), (b"eXIf", block[6:]))
    else:
        data = saved(kind, exif=block, **({"lossless": True} if kind == "WEBP" else {}))
    picture = decode_bytes(data, "in")
    assert picture.color.shape == RGB.shape
    assert kind == "JPEG" or np.array_equal(picture.color, RGB)


@pytest.mark.parametrize("unit", [1, 257])
@pytest.mark.parametrize("value", [(2, 6, "hello"), (3, 1, 9), (4, 1, 99999), (11, 1, float("nan"))], ids=str)
def test_a_bad_orientation_leaves_a_good_tiff_upright(unit: int, value: tuple[int, int, object]) -> None:
    samples = RGB * np.array(unit, np.uint8 if unit == 1 else np.uint16)
    picture = decode_bytes(saved_tiff(samples, extratags=[(274, *value, True)]), "in")
    assert np.array_equal(picture.color, samples)


def with_resolution(data: bytes, over: int, under: int) -> bytes:
    one = struct.pack("<IIII", 1, 1, 1, 1)
    assert data.count(one) == 1
    return data.replace(one, struct.pack("<IIII", over, under, over, under))


TIFF_1_DPI = saved_tiff(resolution=(1, 1))
DEEP_1_DPI = saved_tiff(RGB.astype(np.uint16), resolution=(1, 1))
GRAY = b"\0\1\2\0\3\4"
RESOLUTIONS = {
    "PNG, largest": png(0, 8, (2, 2), GRAY, (b"pHYs", struct.pack(">IIB", 2**32 - 1, 2**32 - 1, 1))),
    "PNG, one side": png(0, 8, (2, 2), GRAY, (b"pHYs", struct.pack(">IIB", 3000, 2**31, 1))),
    "TIFF, largest": with_resolution(TIFF_1_DPI, 2**32 - 1, 1),
    "TIFF, smallest": with_resolution(TIFF_1_DPI, 1, 2**32 - 1),
    "TIFF, 0 / 0": with_resolution(TIFF_1_DPI, 0, 0),
    "TIFF, 1 / 0": with_resolution(TIFF_1_DPI, 1, 0),
    "16-bit TIFF, largest": with_resolution(DEEP_1_DPI, 2**32 - 1, 1),
    "16-bit TIFF, 0 / 0": with_resolution(DEEP_1_DPI, 0, 0),
}


@pytest.mark.parametrize("kind", RESOLUTIONS)
def test_a_resolution_that_no_format_holds_is_left_out_with_a_note(kind: str) -> None:
    picture = decode_bytes(RESOLUTIONS[kind], "in")
    assert picture.dpi is None
    assert len(picture.notes) == 1
    assert "dots per inch is left out" in picture.notes[0]


@pytest.mark.parametrize("kind", ["jpg", "png", "tiff"])
@pytest.mark.parametrize("value", [1, 65535])
def test_the_least_and_the_largest_resolution_are_written(value: int, kind: str) -> None:
    """From a TIFF, which states them exactly."""
    picture = decode_bytes(with_resolution(TIFF_1_DPI, value, 1), "in")
    with Image.open(io.BytesIO(encode(picture, Path(f"out.{kind}")))) as image:
        assert [round(float(side)) for side in image.info["dpi"]] == [value, value]


def test_a_resolution_of_0_is_none() -> None:
    picture = decode_bytes(png(0, 8, (2, 2), GRAY, (b"pHYs", bytes(8) + b"\1")), "in")
    assert (picture.dpi, picture.notes) == (None, [])
    assert decode_bytes(png(0, 8, (2, 2), GRAY, (b"pHYs", b"\0")), "in").dpi is None


PALETTE = (b"PLTE", b"\1\2\3\4\5\6")
TRANSPARENCY = {
    **{f"gray, {size} bytes": png(0, 8, (2, 2), GRAY, (b"tRNS", bytes(size))) for size in (0, 1, 3)},
    **{f"RGB, {size} bytes": png(2, 8, (1, 1), b"\0\1\2\3", (b"tRNS", bytes(size))) for size in (0, 2, 7)},
    **{f"palette, {size} bytes": png(3, 8, (1, 1), b"\0\0", PALETTE, (b"tRNS", bytes(size))) for size in (0, 3, 300)},
    "RGBA": png(6, 8, (1, 1), b"\0\1\2\3\4", (b"tRNS", bytes(6))),
}


@pytest.mark.parametrize("kind", TRANSPARENCY)
def test_malformed_transparency_is_left_out_with_a_note(capfd: pytest.CaptureFixture[str], kind: str) -> None:
    picture = decode_bytes(TRANSPARENCY[kind], "in.png")
    pixels = {"gray": [[1, 2], [3, 4]], "RGB": [[[1, 2, 3]]], "palette": [[[1, 2, 3]]], "RGBA": [[[1, 2, 3, 4]]]}
    assert to_channels(picture).tolist() == pixels[kind.split(",", maxsplit=1)[0]]
    assert picture.notes == ["what it says about transparency is malformed: left out"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("size", "alpha"), [(1, [[0, 255]]), (2, [[0, 0]])])
def test_a_palette_s_transparency_may_be_shorter(size: int, alpha: list[list[int]]) -> None:
    picture = decode_bytes(png(3, 8, (2, 1), b"\0\0\1", PALETTE, (b"tRNS", bytes(size))), "in.png")
    assert picture.alpha is not None
    assert picture.alpha.tolist() == alpha


HEADERS = {
    "two headers": png(0, 8, (1, 1), b"\0\1", (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))),
    "no palette": png(3, 8, (1, 1), b"\0\1"),
    "a palette of 4 bytes": png(3, 8, (1, 1), b"\0\1", (b"PLTE", b"\1\2\3\4")),
    "no width": png(0, 8, (0, 1), b"\0"),
    "3 bits": png(0, 3, (1, 1), b"\0\1"),
    "4-bit RGB": png(2, 4, (1, 1), b"\0\1\1"),
    "colours of kind 5": png(5, 8, (1, 1), b"\0\1"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_malformed_png_is_one_error_and_nothing_printed(capfd: pytest.CaptureFixture[str], kind: str) -> None:
    with pytest.raises(PictureError, match="a PNG with"):
        decode_bytes(HEADERS[kind], "in.png")
    assert capfd.readouterr().err == ""


def animated() -> bytes:
    frames = [Image.fromarray(np.roll(RGB, shift, 0)).convert("P") for shift in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


WHOLE = {
    "GIF": animated(),
    "PNG": saved("PNG"),
    "AVIF": saved("AVIF"),
    "WebP": saved("WEBP"),
    "JPEG 2000": saved("JPEG2000"),
    "JPEG": saved("JPEG", exif=exif(3, 1, b"\6\0\0\0")),
    "BMP": saved("BMP"),
    "TIFF": saved_tiff(),
    "16-bit TIFF": saved_tiff(RGB.astype(np.uint16), compression="deflate"),
    "PPM": saved("PPM"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_bytes_never_are_an_internal_error(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """300 files with up to six changed bytes, some cut; whatever can still be read can be written."""
    monkeypatch.setattr(resources, "available_memory", lambda: 10**8)
    choice = random.Random(kind)
    for _ in range(300):
        data = bytearray(WHOLE[kind])
        for _ in range(choice.randint(1, 6)):
            data[choice.randrange(len(data))] = choice.choice([0, 1, 255, choice.randrange(256)])
        if choice.random() < 0.2:
            del data[choice.randrange(len(data)) :]
        try:
            picture = decode_bytes(bytes(data), "in")
        except (PictureError, MemoryLimitError, MissingPackageError):
            continue
        if picture.width * picture.height < 10_000:
            assert encode(picture, Path("out.png"))
            assert encode(picture, Path("out.tiff"))
    assert capfd.readouterr().err == ""
