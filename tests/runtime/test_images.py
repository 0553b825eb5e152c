"""Every kind of picture file goes in and comes out with all it had. The tiny network repeats pixels (see helpers)."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

import smsr_runtime
from smsr_runtime.media.image import decode, encode, fitted
from smsr_runtime.media.picture import Picture
from smsr_runtime.run.upscale import upscale_picture
from tests.runtime.helpers import SHARED, assert_one_line_error, nearest, need, png

ODD = SHARED / "data" / "odd"
UNREADABLE = ("invalid_unknown_compression.png", "truncated_image.png", "truncated_jpeg.jpg")
READABLE = {
    "animated_newtonscradle.gif": (300, 400, 3, "uint8"),
    "bilevel1_hopper.png": (1000, 1000, 1, "uint8"),
    "cmyk_sample.jpg": (200, 200, 3, "uint8"),
    "exif6_hopper.jpg": (256, 256, 3, "uint8"),
    "gray16_hopper.pgm": (256, 256, 1, "uint16"),
    "gray8_macan.png": (1000, 1000, 1, "uint8"),
    "grayalpha8_200x32.png": (64, 400, 2, "uint8"),
    "palette_trns_pil123.png": (300, 324, 4, "uint8"),
    "rgb16_hdr_room.png": (898, 1352, 3, "uint16"),
    "rgb24_hopper.bmp": (256, 256, 3, "uint8"),
    "rgb_deflate.tif": (748, 556, 3, "uint8"),
    "rgb_flower2.webp": (450, 600, 3, "uint8"),
    "rgba8_riaphotographs.png": (1000, 1000, 4, "uint8"),
    "tiny_1x1_gray.png": (2, 2, 1, "uint8"),
    "tiny_2x2_gray.png": (4, 4, 1, "uint8"),
    "tiny_3x3_rgb.png": (6, 6, 3, "uint8"),
    "wide_750x30_gray.png": (60, 1500, 1, "uint8"),
}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def upscaler(bundle: Path) -> smsr_runtime.Upscaler:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMSR_ORT_LIBRARY", "none")
        return smsr_runtime.load(bundle)


def pixels(shape: tuple[int, ...], dtype: str = "uint8") -> NDArray[np.generic]:
    """Random, with red (and gray) at most 100 of 255, where the tiny network only repeats pixels."""
    values = np.random.default_rng(1).integers(0, 101, shape)
    return (values * (257 if dtype == "uint16" else 1)).astype(dtype)


def through(upscaler: smsr_runtime.Upscaler, source: Path, target: Path) -> Picture:
    """The file's whole way, as the command takes it, read again."""
    picture = fitted(decode(source), target, upscaler.scale)
    target.write_bytes(encode(upscale_picture(upscaler, picture, str(source))[0], target))
    return decode(target)


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("extension", ["png", "tiff"])
def test_odd_file_is_upscaled(upscaler: smsr_runtime.Upscaler, tmp_path: Path, name: str, extension: str) -> None:
    need(ODD.is_dir(), "shared/data/odd")
    result = through(upscaler, ODD / name, tmp_path / f"out.{extension}")
    height, width, channels, dtype = READABLE[name]
    color = 1 if channels <= 2 else 3
    assert result.color.shape == ((height, width) if color == 1 else (height, width, 3))
    assert (result.alpha is not None) == (channels != color)
    assert result.color.dtype == dtype


@pytest.mark.parametrize("name", UNREADABLE)
def test_damaged_odd_file_is_one_line(run, tmp_path: Path, name: str) -> None:
    need(ODD.is_dir(), "shared/data/odd")
    assert_one_line_error(run(ODD / name, "-o", tmp_path / "out.png"), 1, name)
    assert not list(tmp_path.iterdir())


def test_odd_list_is_complete() -> None:
    need(ODD.is_dir(), "shared/data/odd")
    assert {path.name for path in ODD.iterdir()} == {*READABLE, *UNREADABLE}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("extension", ["png", "tiff"])
def test_depth_and_channels_are_kept(
    upscaler: smsr_runtime.Upscaler, tmp_path: Path, dtype: str, channels: int, extension: str
) -> None:
    color = pixels((5, 7) if channels < 3 else (5, 7, 3), dtype)
    alpha = pixels((5, 7), dtype) if channels in (2, 4) else None
    source, target = tmp_path / "in.png", tmp_path / f"out.{extension}"
    source.write_bytes(encode(Picture(color, alpha), source))
    kind = fitted(decode(source), target, 2)
    assert np.array_equal(kind.color, color)
    result = upscale_picture(upscaler, kind, "in")[0]
    target.write_bytes(encode(result, target))
    again = decode(target)
    assert np.array_equal(again.color, nearest(color))
    assert alpha is None or np.array_equal(again.alpha, nearest(alpha))


TRANSPARENT_VALUE = {
    "gray 8": (png(0, 8, (2, 1), b"\0\x09\x63", (b"tRNS", b"\0\x09")), [9, 99], [0, 255]),
    "gray 2": (png(0, 2, (2, 1), b"\0\x60", (b"tRNS", b"\0\x01")), [85, 170], [0, 255]),
    "gray 16": (png(0, 16, (2, 1), b"\0\0\x09\x11\x11", (b"tRNS", b"\0\x09")), [9, 4369], [0, 65535]),
    "RGB 8": (png(2, 8, (2, 1), b"\0\1\2\3\4\5\6", (b"tRNS", b"\0\1\0\2\0\3")), [[1, 2, 3], [4, 5, 6]], [0, 255]),
    "palette 1": (
        png(3, 1, (2, 1), b"\0\x40", (b"PLTE", b"\1\2\3\4\5\6"), (b"tRNS", b"\x07")),
        [[1, 2, 3], [4, 5, 6]],
        [7, 255],
    ),
}


@pytest.mark.parametrize("kind", TRANSPARENT_VALUE)
def test_transparent_value_becomes_alpha(tmp_path: Path, kind: str) -> None:
    data, color, alpha = TRANSPARENT_VALUE[kind]
    (tmp_path / "in.png").write_bytes(data)
    picture = decode(tmp_path / "in.png")
    assert picture.color.tolist() == [color]
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [alpha]


def test_colour_under_transparency_stays(upscaler: smsr_runtime.Upscaler, tmp_path: Path) -> None:
    color, alpha = pixels((4, 4, 3)), np.zeros((4, 4), np.uint8)
    source = tmp_path / "in.png"
    source.write_bytes(encode(Picture(color, alpha), source))
    for extension in ("png", "webp", "tiff"):
        result = through(upscaler, source, tmp_path / f"out.{extension}")
        assert result.alpha is not None
        assert not result.alpha.any()
        tolerance = 60 if extension == "webp" else 0
        assert np.abs(result.color.astype(int) - nearest(color)).max() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tiff"])
def test_exif_orientation_is_applied_and_reset(tmp_path: Path, orientation: int, extension: str) -> None:
    """Pillow's own exif_transpose is the judge."""
    from PIL import ImageOps

    source = tmp_path / f"in.{extension}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = np.linspace(0, 90, 6 * 9 * 3).reshape(6, 9, 3).astype(np.uint8)
    options = (
        {"lossless": True} if extension == "webp" else {"quality": 100, "subsampling": 0} if extension == "jpg" else {}
    )
    Image.fromarray(smooth).save(source, exif=exif, **options)
    with Image.open(source) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    picture = decode(source)
    assert picture.color.shape == expected.shape
    assert np.abs(picture.color.astype(int) - expected).max() <= (2 if extension == "jpg" else 0)
    target = tmp_path / "out.jpg"
    target.write_bytes(encode(picture, target))
    with Image.open(target) as image:
        assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("source", ["png", "jpg", "webp", "tiff"])
@pytest.mark.parametrize("target", ["png", "jpg", "webp", "tiff"])
def test_colour_profile_and_resolution_are_kept(
    upscaler: smsr_runtime.Upscaler, tmp_path: Path, source: str, target: str
) -> None:
    Image.fromarray(pixels((6, 8, 3))).save(tmp_path / f"in.{source}", icc_profile=PROFILE, dpi=(300, 300))
    through(upscaler, tmp_path / f"in.{source}", tmp_path / f"out.{target}")
    with Image.open(tmp_path / f"out.{target}") as image:
        image.load()
        assert image.info["icc_profile"] == PROFILE
        if "webp" not in (source, target):
            assert [round(value) for value in image.info["dpi"]] == [300, 300]


def test_16_bit_png_keeps_its_profile(upscaler: smsr_runtime.Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    source.write_bytes(encode(Picture(pixels((3, 4, 3), "uint16"), icc=PROFILE), source))
    for extension in ("png", "tiff"):
        result = through(upscaler, source, tmp_path / f"out.{extension}")
        assert (result.deep, result.icc) == (True, PROFILE)


def test_cmyk_goes_through_its_profile(tmp_path: Path) -> None:
    """A profile that is not one for CMYK is said to be unusable; the profile never reaches the RGB result."""
    Image.fromarray(pixels((8, 8, 4)), "CMYK").save(tmp_path / "in.jpg", icc_profile=PROFILE)
    picture = decode(tmp_path / "in.jpg")
    assert picture.color.shape == (8, 8, 3)
    assert picture.icc is None
    assert "CMYK profile not usable" in picture.notes[0]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"P5 1 1 100\n\x32", [[128]]),
        (b"P5\n# a comment\n2 1\n4095\n\x0f\xff\x00\x00", [[65535, 0]]),
        (b"P6 1 1 1000\n\x03\xe8\x01\xf4\x00\x00", [[[65535, 32768, 0]]]),
        (b"P4 2 1\n\x40", [[255, 0]]),
        (b"P2 2 1 255 7 8\n", [[7, 8]]),
    ],
)
def test_pnm_maximum_is_honoured(tmp_path: Path, data: bytes, expected: list[object]) -> None:
    (tmp_path / "in.pgm").write_bytes(data)
    assert decode(tmp_path / "in.pgm").color.tolist() == expected


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "bmp", "tiff", "gif", "ppm"])
@pytest.mark.parametrize("part", [0, 0.05, 0.5, 0.98])
def test_truncated_picture_is_an_error(tmp_path: Path, extension: str, part: float) -> None:
    whole = tmp_path / f"whole.{extension}"
    Image.fromarray(pixels((40, 50, 3))).save(whole)
    data = whole.read_bytes()
    cut = tmp_path / f"cut.{extension}"
    cut.write_bytes(data[: int(part * len(data))])
    with pytest.raises(smsr_runtime.PictureError, match="expected a whole picture"):
        decode(cut)


def test_truncated_16_bit_tiff_is_an_error(tmp_path: Path) -> None:
    whole = encode(Picture(pixels((90, 50, 3), "uint16")), tmp_path / "x.tiff")
    offset = struct.unpack_from("<I", whole, 4)[0]
    (tmp_path / "cut.tiff").write_bytes(whole[:200] + bytes(offset - 200) + whole[offset:])
    with pytest.raises(smsr_runtime.PictureError):
        decode(tmp_path / "cut.tiff")


def test_web_page_named_png_is_an_error(run, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_text("<html>not found</html>")
    assert_one_line_error(run(tmp_path / "in.png", "-o", tmp_path / "out.png"), 1, "in.png", "recognised")


def test_jpeg_refuses_transparency_but_takes_opaque(run, tmp_path: Path) -> None:
    clear = np.dstack([pixels((4, 4, 3)), np.full((4, 4), 200, np.uint8)])
    Image.fromarray(clear, "RGBA").save(tmp_path / "clear.png")
    Image.fromarray(pixels((4, 4, 3))).convert("RGBA").save(tmp_path / "opaque.png")
    assert_one_line_error(run(tmp_path / "clear.png", "-o", tmp_path / "clear.jpg"), 1, "holds transparency")
    assert not (tmp_path / "clear.jpg").exists()
    assert run(tmp_path / "opaque.png", "-o", tmp_path / "opaque.jpg").returncode == 0


def test_16_bits_to_jpeg_says_so(run, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), pixels((4, 4), "uint16"))
    done = run(tmp_path / "in.png", "-o", tmp_path / "out.jpg")
    assert done.returncode == 0
    assert "16 bits reduced to the 8" in done.stderr
    assert decode(tmp_path / "out.jpg").color.shape == (8, 8)


def test_webp_refuses_what_is_too_long(run, tmp_path: Path) -> None:
    Image.fromarray(pixels((1, 8200))).save(tmp_path / "in.png")
    assert_one_line_error(run(tmp_path / "in.png", "-o", tmp_path / "out.webp"), 1, "16383")


@pytest.mark.parametrize("extension", ["bmp", "ppm", "pgm", "webp", "jpg"])
def test_gray_is_written_in_every_format(upscaler: smsr_runtime.Upscaler, tmp_path: Path, extension: str) -> None:
    Image.fromarray(np.full((4, 6), 80, np.uint8)).save(tmp_path / "in.png")
    result = through(upscaler, tmp_path / "in.png", tmp_path / f"out.{extension}")
    assert result.color.shape[:2] == (8, 12)
    assert np.abs(result.color.astype(int) - 80).max() <= 2
