"""EXIF data and PNG texts go from file to file; Pillow, which has its own reader and writer, is the judge."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

import smsr_runtime
from smsr_runtime import MissingPackageError
from smsr_runtime.media.image import Saving, decode, decode_bytes, encode, fitted
from smsr_runtime.media.picture import Picture
from smsr_runtime.run.upscale import upscale_picture
from tests.runtime.helpers import chunk, png

DATE, ORIGINAL, MODEL, ARTIST = "2026:11:27 10:00:00", "2026:11:26 09:08:07", "Camera 5", "A. Somebody"
LATITUDE = (IFDRational(52), IFDRational(31), IFDRational(1234, 100))
SIZE = (12, 8)  # of the source, (width, height)


def exif(orientation: int = 1, endian: str = "<") -> bytes:
    block = Image.Exif()
    block[0x0110], block[0x0132], block[0x013B], block[0x0112] = MODEL, DATE, ARTIST, orientation
    details = block.get_ifd(0x8769)
    details[0x9003], details[0xA002], details[0xA003], details[0x829A] = ORIGINAL, *SIZE, IFDRational(1, 250)
    details[0x927C] = b"the camera's own notes"
    place = block.get_ifd(0x8825)
    place[1], place[2], place[29] = "N", LATITUDE, "2026:11:26"
    block.endian = endian
    return block.tobytes()


def save(path: Path, block: bytes, **options: Any) -> Path:
    pixels = np.random.default_rng(0).integers(0, 100, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, exif=block, **options)
    return path


@pytest.fixture(scope="module")
def upscaler(bundle: Path) -> smsr_runtime.Upscaler:
    return smsr_runtime.load(bundle, threads=1, library=smsr_runtime.Library.NONE)


def through(upscaler: smsr_runtime.Upscaler, source: Path, target: Path, saving: Saving | None = None) -> Picture:
    picture = fitted(decode(source), target, upscaler.scale, saving or Saving())
    larger = upscale_picture(upscaler, picture, str(source))[0]
    target.write_bytes(encode(larger, target))
    return larger


def assert_kept(path: Path, size: tuple[int, int], camera_notes: bool) -> None:
    with Image.open(path) as image:
        image.load()
        assert image.size == size
        block = image.getexif()
        assert (block[0x0110], block[0x0132], block[0x013B]) == (MODEL, DATE, ARTIST)
        assert block.get(0x0112, 1) == 1
        details, place = block.get_ifd(0x8769), block.get_ifd(0x8825)
        assert (details[0x9003], details[0x829A]) == (ORIGINAL, IFDRational(1, 250))
        assert (details[0xA002], details[0xA003]) == size
        assert (place[1], tuple(place[2]), place[29]) == ("N", LATITUDE, "2026:11:26")
        assert (details.get(0x927C) == b"the camera's own notes") == camera_notes


@pytest.mark.parametrize("source", ["jpg", "png", "webp", "tiff", "avif", "heic"])
@pytest.mark.parametrize("target", ["jpg", "png", "webp", "tiff"])
def test_date_place_and_camera_are_kept(
    upscaler: smsr_runtime.Upscaler, tmp_path: Path, source: str, target: str
) -> None:
    if source == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    save(tmp_path / f"in.{source}", exif())
    result = through(upscaler, tmp_path / f"in.{source}", tmp_path / f"out.{target}")
    assert_kept(tmp_path / f"out.{target}", (24, 16), camera_notes="tiff" not in (source, target))
    assert result.notes == (["not kept: the camera's own notes"] if target == "tiff" != source else [])


@pytest.mark.parametrize("target", ["jpg", "png", "webp", "tiff"])
def test_big_endian_and_turned(upscaler: smsr_runtime.Upscaler, tmp_path: Path, target: str) -> None:
    """As most cameras write it: the stated orientation becomes 1, the stated size that of the upright result."""
    data = exif(6, ">")
    assert data[6:8] == b"MM"
    save(tmp_path / "in.jpg", data)
    through(upscaler, tmp_path / "in.jpg", tmp_path / f"out.{target}")
    assert_kept(tmp_path / f"out.{target}", (16, 24), camera_notes=target != "tiff")


def test_a_16_bit_tiff_s_data_is_kept(upscaler: smsr_runtime.Upscaler, tmp_path: Path) -> None:
    samples = np.full((8, 12, 3), 9000, np.uint16)
    described = [(306, 2, 20, DATE, True), (272, 2, 9, MODEL, True)]
    tifffile.imwrite(tmp_path / "in.tif", samples, photometric="rgb", extratags=described, metadata=None)
    for target in ("png", "tiff"):
        through(upscaler, tmp_path / "in.tif", tmp_path / f"out.{target}")
        block = Picture(samples, exif=decode(tmp_path / f"out.{target}").exif)
        image = Image.Exif()
        image.load(b"Exif\0\0" + (block.exif or b""))
        assert (image[306], image[272]) == (DATE, MODEL)


def test_the_source_s_thumbnail_is_left_out(upscaler: smsr_runtime.Upscaler, tmp_path: Path) -> None:
    block = exif()[6:]
    (first,) = struct.unpack_from("<I", block, 4)
    end = first + 2 + 12 * struct.unpack_from("<H", block, first)[0]
    second = struct.pack("<HHHIII", 1, 0x103, 3, 1, 6, 0)
    save(tmp_path / "in.jpg", b"Exif\0\0" + block[:end] + struct.pack("<I", len(block)) + block[end + 4 :] + second)
    with Image.open(tmp_path / "in.jpg") as image:
        assert image.getexif().get_ifd(-1)
    through(upscaler, tmp_path / "in.jpg", tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as image:
        assert not image.getexif().get_ifd(-1)
    assert_kept(tmp_path / "out.jpg", (24, 16), camera_notes=True)


TEXTS = [
    (b"tEXt", b"Title\0A title"),
    (b"zTXt", b"Comment\0\0" + zlib.compress(b"packed " * 50)),
    (b"iTXt", b"Author\0\0\0de\0\0" + "Jörg".encode()),
]


def test_png_texts_are_kept(upscaler: smsr_runtime.Upscaler, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(png(0, 8, (2, 2), b"\0\1\2\0\3\4", *TEXTS))
    through(upscaler, tmp_path / "in.png", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.text == {"Title": "A title", "Comment": "packed " * 50, "Author": "Jörg"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("target", "note"),
    [("jpg", ["not kept: texts"]), ("tiff", ["not kept: texts"]), ("bmp", ["not kept: EXIF data, texts"])],
)
def test_what_a_format_cannot_keep_is_said_once(tmp_path: Path, target: str, note: list[str]) -> None:
    described = (b"eXIf", b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0132, 2, 4, 0x414141, 0))
    (tmp_path / "in.png").write_bytes(png(0, 8, (2, 2), b"\0\1\2\0\3\4", *TEXTS, described))
    assert fitted(decode(tmp_path / "in.png"), tmp_path / f"out.{target}", 2).notes == note
    stripped = fitted(decode(tmp_path / "in.png"), tmp_path / f"out.{target}", 2, Saving(strip_metadata=True))
    assert (stripped.notes, stripped.exif, stripped.texts) == ([], None, ())


def test_xmp_and_comments_that_are_not_kept_are_said(tmp_path: Path) -> None:
    save(tmp_path / "in.jpg", exif(), xmp=b"<x:xmpmeta/>", comment=b"hello")
    assert fitted(decode(tmp_path / "in.jpg"), tmp_path / "out.jpg", 2).notes == ["not kept: XMP data, a comment"]


def test_exif_data_too_large_for_its_place_is_said(tmp_path: Path) -> None:
    data = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0132, 2, 70000, 26, 0) + bytes(70000)
    (tmp_path / "in.png").write_bytes(png(0, 8, (2, 2), b"\0\1\2\0\3\4", (b"eXIf", data)))
    assert fitted(decode(tmp_path / "in.png"), tmp_path / "out.jpg", 2).notes == ["not kept: EXIF data"]


def test_damaged_exif_data_is_said() -> None:
    assert decode_bytes(png(0, 8, (2, 2), b"\0\1\2\0\3\4", (b"eXIf", b"nothing")), "in").notes == [
        "its EXIF data is damaged: left out"
    ]


@pytest.mark.parametrize("target", ["jpg", "png", "webp", "tiff"])
def test_strip_metadata_leaves_no_trace(run, tmp_path: Path, target: str) -> None:
    save(tmp_path / "in.jpg", exif(6), dpi=(300, 300))
    done = run(tmp_path / "in.jpg", "-o", tmp_path / f"out.{target}", "--strip-metadata")
    assert (done.returncode, done.stderr) == (0, "")
    data = (tmp_path / f"out.{target}").read_bytes()
    assert not any(text.encode("latin-1") in data for text in (DATE, ORIGINAL, MODEL, ARTIST, "2026"))
    with Image.open(tmp_path / f"out.{target}") as image:
        assert image.size == (16, 24)
        assert target == "webp" or round(float(image.info["dpi"][0])) == 300


def test_png_texts_are_stripped(run, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(png(0, 8, (2, 2), b"\0\1\2\0\3\4", *TEXTS))
    assert run(tmp_path / "in.png", "-o", tmp_path / "out.png", "--strip-metadata").returncode == 0
    assert b"tEXt" not in (tmp_path / "out.png").read_bytes()


@pytest.mark.parametrize(("kind", "name"), [("HEIF", "pillow_heif"), ("JXL", "pillow_jxl")])
def test_heic_and_jpeg_xl_are_read_by_their_plugins(monkeypatch: pytest.MonkeyPatch, kind: str, name: str) -> None:
    """Lossless; without the plugin it is named."""
    plugin = pytest.importorskip(name)
    if kind == "HEIF":
        plugin.register_heif_opener()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    stream = io.BytesIO()
    options = {"quality": -1, "chroma": 444, "matrix_coefficients": 0} if kind == "HEIF" else {"lossless": True}
    Image.fromarray(pixels).save(stream, kind, exif=exif(), **options)
    picture = decode_bytes(stream.getvalue(), "in")
    assert np.abs(picture.color.astype(int) - pixels).max() <= 1
    assert picture.exif is not None
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        MissingPackageError, match=f"pip install {name.replace('_jxl', '-jxl-plugin').replace('_', '-')}"
    ):
        decode_bytes(stream.getvalue(), "in")


def test_a_turned_heic_is_turned_once() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, :64] = 200  # bright on the left; orientation 6 puts the left on top
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "HEIF", exif=exif(orientation=6), quality=90)
    color = decode_bytes(stream.getvalue(), "in").color
    assert color.shape == (128, 64, 3)
    assert color[:60].min() > 150
    assert color[70:].max() < 50


def test_more_than_8_bits_that_are_read_as_8_are_said() -> None:
    plugin = pytest.importorskip("pillow_heif")
    for mode, notes in (("RGB", []), ("RGB;16", ["10 bits per channel are read as 8"])):
        stream = io.BytesIO()
        plugin.from_bytes(mode, (64, 64), bytes(64 * 64 * (3 if mode == "RGB" else 6))).save(stream)
        assert decode_bytes(stream.getvalue(), "in").notes == notes


def test_a_text_of_a_bomb_is_kept_packed() -> None:
    packed = zlib.compress(bytes(1 << 22))
    picture = decode_bytes(png(0, 8, (2, 2), b"\0\1\2\0\3\4", (b"zTXt", b"x\0\0" + packed)), "in")
    assert chunk(b"zTXt", b"x\0\0" + packed) in encode(picture, Path("out.png"))
