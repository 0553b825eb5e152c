"""What a picture's file holds comes out whole: every row, rounded levels, full chroma, colour chunks; or is refused."""

from __future__ import annotations

import hashlib
import io
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import smsr_runtime
from smsr_runtime.media.image import decode_bytes, encode, fitted
from smsr_runtime.media.picture import Picture, eight_bit
from tests.runtime.helpers import chunk, png, write_manifest

GRAY = np.full((3, 4, 3), 50, np.uint8)


@pytest.mark.parametrize("target", ["jpg", "bmp", "ppm"])
@pytest.mark.parametrize(("dtype", "nearly"), [("uint8", 254), ("uint16", 65534)])
def test_one_slightly_transparent_pixel_refuses_a_format_without_alpha(target: str, dtype: str, nearly: int) -> None:
    alpha = np.full((3, 4), nearly + 1, dtype)
    color = GRAY.astype(dtype)
    assert fitted(Picture(color, alpha), Path(f"out.{target}"), 2).alpha is None
    alpha[1, 2] = nearly
    with pytest.raises(smsr_runtime.OutputError, match="expected a format that holds transparency"):
        fitted(Picture(color, alpha), Path(f"out.{target}"), 2)


def test_jpeg_has_a_chroma_sample_for_every_pixel() -> None:
    """The frame header (SOF) names for each of the three components how many samples a block has: 1 x 1."""
    data = encode(Picture(GRAY), Path("out.jpg"))
    start = next(data.index(bytes([0xFF, marker])) for marker in (0xC0, 0xC1, 0xC2) if bytes([0xFF, marker]) in data)
    assert data[start + 9] == 3
    assert [data[start + 11 + 3 * component] for component in range(3)] == [0x11] * 3


def test_16_bits_are_rounded_to_8() -> None:
    """255 * 257 = 65535; half a level is 128.5."""
    levels = np.array([[0, 128, 129, 257, 385, 386, 65406, 65407, 65535]], np.uint16)
    picture = eight_bit(Picture(levels, alpha=levels[:, ::-1]))
    assert picture.color.tolist() == [[0, 0, 1, 1, 1, 2, 254, 255, 255]]
    assert picture.alpha is not None and picture.alpha.tolist() == [[255, 255, 254, 2, 1, 1, 1, 0, 0]]


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 128, 200])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_tiff_holds_all_its_rows(rows: int, dtype: str) -> None:
    """Other readers are the judges: Pillow for 8 bits, tifffile for both."""
    samples = np.random.default_rng(rows).integers(0, np.iinfo(dtype).max, (rows, 5, 3), dtype, endpoint=True)
    data = encode(Picture(samples), Path("out.tiff"))
    assert np.array_equal(tifffile.imread(io.BytesIO(data)), samples)
    if dtype == "uint8":
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(np.asarray(image), samples)


COLOR_CHUNKS = [
    (b"gAMA", struct.pack(">I", 45455)),
    (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
    (b"sRGB", b"\x01"),
    (b"cICP", bytes([9, 16, 0, 1])),
    (b"mDCV", struct.pack(">8H2I", 35400, 14600, 8500, 39850, 6550, 2300, 15635, 16450, 10_000_000, 50)),
    (b"cLLI", struct.pack(">2I", 10_000_000, 4_000_000)),
]


@pytest.mark.parametrize("name", [name.decode() for name, _ in COLOR_CHUNKS])
def test_a_png_keeps_each_of_its_colour_chunks_ahead_of_the_pixels(name: str) -> None:
    kept = dict(COLOR_CHUNKS)[name.encode()]
    source = decode_bytes(png(2, 8, (2, 1), b"\0\1\2\3\4\5\6", (name.encode(), kept)), "in.png")
    result = encode(fitted(source, Path("out.png"), 2), Path("out.png"))
    whole = chunk(name.encode(), kept)
    assert result.count(whole) == 1 and result.index(whole) < result.index(b"IDAT")


@pytest.mark.parametrize("kind", ["jpg", "webp"])
def test_without_pillow_exif_orientation_still_turns_the_picture(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Bright on the left; orientation 6 puts the left on top."""
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 200
    block = Image.Exif()
    block[0x0112] = 6
    stream = io.BytesIO()
    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if kind == "jpg" else {"lossless": True}
    Image.fromarray(pixels).save(stream, "JPEG" if kind == "jpg" else "WEBP", exif=block, **options)
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    picture = decode_bytes(stream.getvalue(), "in")
    assert picture.notes == ["Pillow is not installed: a colour profile and EXIF data, if any, are left out"]
    assert picture.color.shape == (32, 16, 3)
    assert picture.color[:14].min() > 150 and picture.color[18:].max() < 50


OUTSIDE = ["../outside.bin", "golden/../../outside.bin", "golden\\..\\..\\outside.bin", "/", "golden/.."]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_manifest_names_no_file_outside_of_its_bundle(own_bundle: Path, name: str) -> None:
    """Size and hash of the file out there are right: its place alone is wrong."""
    secret = own_bundle.parent / "outside.bin"
    secret.write_bytes(b"secret")
    facts = {"bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
    manifest = smsr_runtime.load(own_bundle).bundle.manifest
    names = {name if name != "/" else str(secret): facts}
    write_manifest(own_bundle, files={**manifest["files"], **names})
    with pytest.raises(smsr_runtime.BundleError, match="expected file names inside the bundle"):
        smsr_runtime.load(own_bundle)
