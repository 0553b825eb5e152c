"""Sizes are read from headers, and refused, before a pixel is decoded; what is packed is unpacked within bounds."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smsr_runtime import MemoryLimitError, PictureError, resources
from smsr_runtime.media.codecs.header import read_header
from smsr_runtime.media.image import decode, decode_bytes
from tests.runtime.helpers import MAIN, assert_one_line_error, chunk, png

HUGE = 20000


def saved(kind: str, size: tuple[int, int] = (53, 37), **options: object) -> bytes:
    """A small picture as Pillow writes it; size as (width, height)."""
    stream = io.BytesIO()
    if kind == "JXL":
        pytest.importorskip("pillow_jxl")
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    gray = options.pop("gray", False)
    Image.new("L" if gray else "RGB", size, 90).save(stream, kind, **options)
    return stream.getvalue()


KINDS = {
    "PNG": ("PNG", {}),
    "JPEG": ("JPEG", {}),
    "JPEG, progressive": ("JPEG", {"progressive": True}),
    "WebP, lossy": ("WEBP", {}),
    "WebP, lossless": ("WEBP", {"lossless": True}),
    "WebP, extended": ("WEBP", {"icc_profile": b"x" * 30}),
    "GIF": ("GIF", {"comment": b"y" * 600}),
    "BMP": ("BMP", {}),
    "PPM": ("PPM", {}),
    "PGM": ("PPM", {"gray": True}),
    "TIFF": ("TIFF", {}),
    "TIFF, big": ("TIFF", {"big_tiff": True}),
    "AVIF": ("AVIF", {}),
    "JPEG 2000": ("JPEG2000", {}),
    "JPEG 2000, code stream": ("JPEG2000", {"no_jp2": True}),
    "HEIC": ("HEIF", {}),
    "JPEG XL": ("JXL", {}),
    "JPEG XL, boxes": ("JXL", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0\0\0"}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(53, 37), (640, 480), (1, 300)], ids=str)
def test_size_is_read_as_pillow_wrote_it(kind: str, size: tuple[int, int]) -> None:
    name, options = KINDS[kind]
    header = read_header(saved(name, size, **options))
    assert header is not None
    coded = tuple(max(side, 64) for side in size) if kind == "HEIC" else size  # cropped after decoding
    assert (header.width, header.height) == coded


def test_sizes_of_kinds_written_by_hand() -> None:
    """A bottom-up BMP of the old kind, a GIF whose first picture sticks out of its screen, comments in a PNM."""
    old_bmp = b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 7, 5, 1, 24)
    top_down = b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 7, -5, 1, 24)
    gif = b"GIF89a" + struct.pack("<HHBBB", 3, 3, 0x80, 0, 0) + bytes(6) + b"!\xfe\x02hi\0" + b","
    gif += struct.pack("<HHHHB", 100, 200, 50, 60, 0)
    sizes = {old_bmp: (5, 7), top_down: (5, 7), gif: (260, 150), b"P4 # 9 9\n 7 # 9\r5 ": (5, 7)}
    for data, size in sizes.items():
        header = read_header(data.ljust(40, b"\0"))
        assert header is not None
        assert (header.height, header.width) == size


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * 20_000_000,
        b"\xff\xd8" + b"\xff\xd0" * 10_000_000,
        b"\0\0\0\x0cftypavif" + struct.pack(">I4s", 0, b"iprp") * 500_000,
        b"\0\0\0\x0cftypavif" + struct.pack(">I4s", 8, b"free") * 2_000_000,
    ],
    ids=["fill bytes", "markers alone", "boxes in boxes", "empty boxes"],
)
def test_a_header_without_end_is_given_up_soon(data: bytes) -> None:
    start = time.process_time()
    assert read_header(data) is None
    assert time.process_time() - start < 1


def test_a_tiff_s_tile_counts_where_it_is_larger() -> None:
    fields = [(256, 3, 1, 8), (257, 3, 1, 8), (322, 4, 1, 70000), (323, 4, 1, 16)]
    data = b"II*\0" + struct.pack("<IH", 8, len(fields)) + b"".join(struct.pack("<HHII", *field) for field in fields)
    header = read_header(data + bytes(4))
    assert header is not None
    assert (header.height, header.width) == (16, 70000)


def enlarged(kind: str) -> bytes:
    """A file of that kind whose header states a huge size, cut off where its pixels would begin."""
    two = struct.pack(">II", HUGE, HUGE)
    return {
        "png": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", two + b"\x08\0\0\0\0"),
        "jpg": b"\xff\xd8\xff\xe0\0\x04ab junk \xff\xff\xc2\0\x11\x08"
        + struct.pack(">HHB", HUGE, HUGE, 3) + bytes(30),
        "webp": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + 2 * (HUGE - 1).to_bytes(3, "little"),
        "gif": b"GIF89a" + struct.pack("<HHBBB", HUGE, HUGE, 0, 0, 0) + b"," + bytes(40),
        "bmp": b"BM" + bytes(12) + struct.pack("<IiiHH", 40, HUGE, HUGE, 1, 24) + bytes(24),
        "ppm": b"P6 %d %d 255\n" % (HUGE, HUGE),
        "tiff": b"II*\0" + struct.pack("<IHHHIIHHII", 8, 2, 256, 4, 1, HUGE, 257, 4, 1, HUGE) + bytes(4),
        "jp2": b"\xff\x4f\xff\x51\0\x29\0\0" + two + bytes(30),
        "avif": b"\0\0\0\x0cftypavif" + struct.pack(">I4sI", 44, b"meta", 0)
        + struct.pack(">I4sI4sI4sI", 32, b"iprp", 24, b"ipco", 20, b"ispe", 0) + two,
        "jxl": b"\xff\x0a" + (2 << 1 | (HUGE - 1) << 3 | 1 << 21).to_bytes(8, "little"),
    }[kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "bmp", "ppm", "tiff", "jp2", "avif", "jxl"])
def test_the_size_is_checked_before_anything_is_decoded(tmp_path: Path, kind: str) -> None:
    """These files have no pixels: whatever decodes first gives another error."""

    def refuse(where: str, height: int, width: int) -> None:
        assert (height, width) == (HUGE, HUGE)
        raise MemoryLimitError(where, "less", "more", "cut it")

    (tmp_path / f"in.{kind}").write_bytes(enlarged(kind))
    with pytest.raises(MemoryLimitError):
        decode(tmp_path / f"in.{kind}", refuse)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "bmp", "ppm", "tiff", "jp2", "avif", "jxl"])
def test_a_picture_that_cannot_be_decoded_in_memory_is_refused_without_a_check(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(resources, "available_memory", lambda: 10**9)
    with pytest.raises(MemoryLimitError, match=r"^some\.file: .*20000x20000.*cut the picture"):
        decode_bytes(enlarged(kind), "some.file")


def test_a_file_larger_than_memory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "in.png").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(MemoryLimitError, match=r"a file of 1024\.0 GiB"):
        decode(tmp_path / "in.png")


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_the_command_refuses_a_huge_picture_at_once(bundle: Path, tmp_path: Path, kind: str) -> None:
    """Within 300 MB of memory, most of it libraries, where decoding takes 400 MB and more."""
    (tmp_path / f"in.{kind}").write_bytes(enlarged(kind))
    peak = "; print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    code = MAIN.replace("sys.exit(main())", "code = main()") + peak + "; sys.exit(code)"
    command = [sys.executable, "-c", code, bundle, tmp_path / f"in.{kind}", "-o", tmp_path / "out.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert_one_line_error(done, 1, f"{HUGE}x{HUGE}")
    assert int(done.stdout) < 300_000
    assert [path.name for path in tmp_path.iterdir()] == [f"in.{kind}"]


def bomb(size: int) -> bytes:
    """`size` zeros, packed by zlib; made without holding them."""
    packer = zlib.compressobj(9)
    piece = bytes(1 << 20)
    return b"".join([packer.compress(piece) for _ in range(size >> 20)] + [packer.flush()])


BOMB = bomb(300 << 20)
PIXELS = zlib.compress(bytes([0, 1, 2, 0, 3, 4]))
BOMBS = {
    "pixel data": png(0, 8, (2, 2), b"", idat=BOMB),
    "pixel data of two chunks": png(0, 8, (2, 2), b"", (b"IDAT", BOMB[:50_000]), idat=BOMB[50_000:]),
    "colour profile": png(0, 8, (2, 2), b"\0\1\2\0\3\4", (b"iCCP", b"x\0\0" + BOMB)),
    "text": png(0, 8, (2, 2), b"\0\1\2\0\3\4", (b"zTXt", b"x\0\0" + BOMB)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_not_unpacked(capfd: pytest.CaptureFixture[str], kind: str) -> None:
    """300 MB in 300 kB: the picture is read, as other readers do, within a few times the file's size."""
    tracemalloc.start()
    start = time.process_time()
    picture = decode_bytes(BOMBS[kind], "in.png")
    seconds = time.process_time() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert picture.color.tolist() == ([[0, 0], [0, 0]] if "pixel" in kind else [[1, 2], [3, 4]])
    assert peak < 40 << 20
    assert seconds < 2
    assert picture.icc is None
    assert picture.notes == (["its colour profile is damaged: left out"] if kind == "colour profile" else [])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("kind", "depth"), [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (4, 8), (6, 16)])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 5), (9, 17)], ids=str)
def test_pixel_data_is_whole_or_an_error(size: tuple[int, int], kind: int, depth: int, interlaced: bool) -> None:
    """Passes of an interlaced picture counted pixel by pixel (PNG, section 8.2); one byte less is too few."""
    order = np.array([list(row) for row in ("16462646", "77777777", "56565656", "77777777") * 2])
    order[4] = list("36463646")
    width, height = size
    where = (
        np.tile(order, (height // 8 + 1, width // 8 + 1))[:height, :width]
        if interlaced
        else np.full((height, width), "1")
    )
    bits = depth * {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    rows = b""
    for number in "1234567":
        for row in where:
            columns = int((row == number).sum())
            if columns:
                rows += bytes(1 + -(-columns * bits // 8))
    whole = png(kind, depth, size, rows, interlaced=interlaced)
    assert decode_bytes(whole, "in.png").color.shape[:2] == (height, width)
    with pytest.raises(PictureError, match="ends early"):
        decode_bytes(png(kind, depth, size, rows[:-1], interlaced=interlaced), "in.png")
